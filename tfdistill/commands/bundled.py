"""The files of `configs/`: beside the package in the repository, inside it where it was installed from a wheel."""

from __future__ import annotations

from pathlib import Path

from tfdistill import bounds
from tfdistill.tables import read_table

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent


def configs() -> Path:
    """The folder of flagfiles."""
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


def _file(name: str, suffix: str) -> Path | None:
    below = Path(name if name.endswith(suffix) else f"{name}{suffix}")
    parts = below.parts[1:] if below.parts[:1] == ("configs",) else below.parts
    if below.is_absolute() or ".." in parts or not name:
        return None
    path = configs().joinpath(*parts)
    return path if path.is_file() else None


def nearest(name: str) -> str:
    """The name of the flagfile that is most like `name`."""
    root = configs()
    known = [path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.flags")]
    for path in sorted(root.glob("*.toml")):
        known += [f"{path.stem}:{row}" for row in read_table(path).rows]
    written = name.removeprefix("configs/").removesuffix(".flags").replace(".toml:", ":")
    return bounds.nearest(written, sorted(known))
