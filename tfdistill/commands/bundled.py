"""The files of `configs/`: beside the package in the repository, inside it where it was installed from a wheel."""

from __future__ import annotations

from pathlib import Path

from tfdistill import bounds
from tfdistill.tables import Table, read_table

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent


def configs() -> Path:
    """The folder of flagfiles and tables."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else REPOSITORY / "configs"


def flagfile(name: str) -> Path | None:
    """The flagfile or table of that name, such as `ie_dml`, `small/dml_resnet20`, `configs/ie_dml.flags`.

    Returns:
        Its path; None where there is none.
    """
    return _file(name, ".flags") or table(name)


def table(name: str) -> Path | None:
    """The table of that name, such as `afd_table3` or `configs/afd_table3.toml`.

    Returns:
        Its path; None where there is none.
    """
    return _file(name, ".toml")


def tables() -> list[Table]:
    """Every table, by name.

    Raises:
        TableError: one of the files is wrong.
    """
    return [read_table(path) for path in sorted(configs().glob("*.toml"))]


def _file(name: str, suffix: str) -> Path | None:
    below = Path(name if name.endswith(suffix) else f"{name}{suffix}")
    parts = below.parts[1:] if below.parts[:1] == ("configs",) else below.parts
    if below.is_absolute() or ".." in parts or not name:
        return None
    path = configs().joinpath(*parts)
    return path if path.is_file() else None


def nearest(name: str) -> str:
    """The name of the flagfile, or of the table's row, that is most like `name`."""
    root, there = configs(), tables()
    known = [path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.flags")]
    known += [f"{one.name}:{row}" for one in there for row in one.rows]
    written = name.removeprefix("configs/").removesuffix(".flags").replace(".toml:", ":")
    folder, _, file = written.partition("/")
    if folder in (one.name for one in there):  # a row as if it were a file in a folder of the table's name
        written = f"{folder}:{file}"
    return bounds.nearest(written, sorted(known))
