"""The flagfiles of `configs/`: beside the package in the repository, inside it where it was installed from a wheel."""

from __future__ import annotations

from pathlib import Path

from tfdistill import bounds

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent


def configs() -> Path:
    """The folder of flagfiles."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else REPOSITORY / "configs"


def flagfile(name: str) -> Path | None:
    """The flagfile of that name, such as `ie_dml`, `afd_table3/afd_resnet20_resnet20` or `configs/ie_dml.flags`.

    Returns:
        Its path; None where there is none.
    """
    below = Path(name if name.endswith(".flags") else f"{name}.flags")
    parts = below.parts[1:] if below.parts[:1] == ("configs",) else below.parts
    if below.is_absolute() or ".." in parts or not name:
        return None
    path = configs().joinpath(*parts)
    return path if path.is_file() else None


def nearest(name: str) -> str:
    """The name of the flagfile that is most like `name`."""
    root = configs()
    known = sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.flags"))
    written = name.removeprefix("configs/").removesuffix(".flags")
    return bounds.nearest(written, known)
