"""Files of pictures: which endings there are, how the pictures of one table are called, how one is written."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

from tfdistill.bounds import shown
from tfdistill.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without the date and the library's version, the same table gives the same bytes.
METADATA = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Date": None, "Creator": None},
}
ENDINGS = tuple(METADATA)


def require_picture(flag: str, path: str | Path) -> None:
    """Refuses a file that no picture can be; costs no import of the drawing library. The folder is not looked at.

    Args:
        flag: the name that the message begins with.
        path: of the picture.

    Raises:
        ValueError: the ending, or an environment without matplotlib; in one line.
    """
    file = Path(path)
    if file.suffix.lower() not in ENDINGS:
        raise ValueError(f"{flag}: must be a file that ends with .png, .svg or .pdf, not {shown(str(path))}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(f"{flag}: needs matplotlib, which is not installed here; install it, or leave {flag} out")


def beside(path: Path, what: str) -> Path:
    """The file of another picture of the same table: FILE_curves.png beside FILE.png."""
    return path.with_name(f"{path.stem}_{what}{path.suffix}")


def save(figure: Figure, path: Path) -> None:
    """Writes a picture by its file's ending.

    Raises:
        FileError: the file system refused; an old file is untouched.
    """
    ending = path.suffix.lower()
    content = io.BytesIO()
    figure.savefig(content, format=ending[1:], metadata=METADATA[ending])
    write_bytes(path, content.getvalue())
