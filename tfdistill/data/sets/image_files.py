"""Which files of a folder are images of which class: found by their names and by how they begin."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfdistill.data.dataset import Split, shown_path
from tfdistill.data.transforms.readings import Reading

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".qoi", ".psd"),
)
# For messages.
SUCH_AS = ".jpg, .png or .webp"
# How files begin that are images whatever they are called; bytes 8 to 12 count for those of the second kind.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
CONTAINED = (b"WEBP", b"avif")
# Left behind by operating systems and archives, and nobody's data; what begins with a dot is too.
SYSTEM_NAMES = {
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}


def class_names_of(folder: Path) -> list[str]:
    """The names of the class folders in `folder`, in their order.

    Raises:
        ValueError: there are none, or there is one only.
    """
    names = folders_in(folder)
    if not names:
        inside = "" if folder.name != "train" else f"{folder.name}/"
        raise ValueError(f"data_dir: {folder} has no class folders; image_folder needs {inside}<class>/<image>")
    if len(names) == 1:
        raise ValueError(f"data_dir: {folder} has one class folder only, {names[0]}; a classifier needs two or more")
    return names


def images_of(folder: Path, class_names: list[str], image_size: int, reading: Reading) -> tuple[Split, list[str]]:
    """The images in the class folders, unread, and names of the other files."""
    present = folders_in(folder)
    if not present:
        raise ValueError(f"data_dir: {folder} has no class folders; image_folder needs {folder.name}/<class>/<image>")
    paths: list[str] = []
    labels: list[int] = []
    others: list[str] = []
    for label, class_name in enumerate(class_names):
        if class_name in present:
            found, beside = images_below(folder / class_name)
            if not found:
                raise ValueError(f"data_dir: class folder {folder / class_name} has no images, such as {SUCH_AS}")
            paths += found
            others += beside
            labels += [label] * len(found)
    return Split.of_files(paths, np.array(labels, np.int32), (image_size, image_size, 3), reading), others


def mark_of(names: Sequence[str]) -> str:
    """By which a part is known: a hash of the names of its images, of which any that come or go change it."""
    return hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest()[:16]


def loose_files(root: Path) -> list[str]:
    """Names of the files that lie beside the class folders."""
    return sorted(shown_path(one.path) for one in os.scandir(root) if one.is_file() and _is_someones(one.name))


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the images in a folder and below it, in order, and names of the other files."""
    images: list[str] = []
    others: list[str] = []
    waiting: list[tuple[str, frozenset[str]]] = [(str(folder), frozenset())]
    while waiting:
        current, above = waiting.pop()
        # A link may lead back to where it comes from.
        if (place := os.path.realpath(current)) in above:
            continue
        with os.scandir(current) as entries:
            for entry in entries:
                if not _is_someones(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append((entry.path, above | {place}))
                elif entry.is_file():
                    (images if _is_image(entry.path) else others).append(entry.path)
    return sorted(images), [shown_path(path) for path in sorted(others)]


def _is_someones(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES


def _is_image(path: str) -> bool:
    if path.lower().endswith(EXTENSIONS):
        return True
    try:
        with open(path, "rb") as file:
            beginning = file.read(12)
    except OSError:
        return False
    return beginning.startswith(BEGINNINGS) or beginning[8:] in CONTAINED


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in `folder` that are somebody's, in their order.

    Raises:
        ValueError: a name is no UTF-8.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_someones(path.name))
    for name in names:
        if name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") != name:
            place, above = shown_path(str(folder / name)), shlex.quote(shown_path(str(folder)))
            raise ValueError(
                f"data_dir: the name of the folder {place} is no UTF-8, as from another system; rename it, "
                f"for example by convmv -f latin1 -t utf8 -r --notest {above}"
            )
    return names
