"""Images in folders, `root/split/class/image`: finding the files, and leaving out those that cannot be read."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np
from absl import logging

from tfdistill.data.checking import some, without_unreadable
from tfdistill.data.dataset import DataUnavailable, Split, shown_path
from tfdistill.data.reading import into_memory
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading, reading_of

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".qoi", ".psd"),
)
# How files begin that are images whatever they are called; bytes 8 to 12 count for those of the second kind.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
CONTAINED = (b"WEBP", b"avif")
# Left behind by operating systems and archives, and nobody's data; what begins with a dot is too.
SYSTEM_NAMES = {
    *("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
TEST_FOLDERS = ("test", "val", "validation")


def load_image_folder(
    root: Path | None, image_size: int | None, reading: str = "auto", max_pixels: int = MAX_PIXELS
) -> tuple[Split, Split, tuple[str, ...]]:
    """Finds the images below `root/train/class/` and `root/test/class/` (or `val`, or `validation`).

    The classes are the sub-folders of `train`, in the order of their names; images in folders below count for the
    class. Files are images by their extension or by how they begin, and are read by their content. Every image is
    decoded once. One warning per split counts the images that cannot be read or have too many pixels, which are left
    out, and the other files; hidden files and those of operating systems are passed over. Images that are squeezed to
    a small size stay in memory, others are decoded again when a batch needs them.

    Args:
        root: the folder that holds the split folders.
        image_size: height and width of a batch's images, in pixels.
        reading: one of `READINGS`.
        max_pixels: of an image, at most; 0 for any.

    Returns:
        (train, test, class names).

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: if an argument is missing, a split or class folder is missing or empty, a test class is
            not among the training classes, a class has no image that can be read, or a name of a class is no UTF-8.
    """
    if root is None:
        raise ValueError("image_folder needs data_dir, the folder that holds train/ and test/")
    if image_size is None or image_size < 1:
        raise ValueError(f"image_folder needs an image_size of 1 or more pixels, got {image_size}")
    chosen = reading_of(reading, image_size, max_pixels)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir {root} is no folder; image_folder needs one that holds train/ and test/")
    train_folder, test_folder = _split_folder(root, ("train",)), _split_folder(root, TEST_FOLDERS)
    class_names = _folders(train_folder)
    unknown = sorted(set(_folders(test_folder)) - set(class_names))
    if unknown:
        raise ValueError(f"{test_folder} has classes that {train_folder} lacks: {some(unknown)}")
    train = _read_split(train_folder, class_names, image_size, chosen)
    test = _read_split(test_folder, class_names, image_size, chosen)
    if without := _absent(train, class_names):
        raise ValueError(f"{train_folder} has no image that can be read of {some(without)}")
    if not len(test):
        raise ValueError(f"{test_folder} has no image that can be read")
    if without := _absent(test, class_names):
        logging.warning("%s has no images of %s, so nothing is measured there", test_folder, some(without))
    return into_memory(train), into_memory(test), tuple(class_names)


def _read_split(folder: Path, class_names: list[str], image_size: int, reading: Reading) -> Split:
    present = _folders(folder)
    if not present:
        raise ValueError(f"{folder} has no class folders; image_folder needs {folder.name}/<class>/<image>")
    paths: list[str] = []
    labels: list[int] = []
    others: list[str] = []
    for label, class_name in enumerate(class_names):
        if class_name in present:
            found, beside = _images(folder / class_name)
            paths += found
            others += beside
            labels += [label] * len(found)
    split = Split.of_files(paths, np.array(labels, np.int32), (image_size, image_size, 3), reading)
    return without_unreadable(split, str(folder), others)


def _absent(split: Split, class_names: list[str]) -> list[str]:
    counts = np.bincount(split.labels, minlength=len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if count == 0]


def _images(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the images in a class folder and below it, in order, and names of the other files."""
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
    if not images:
        raise ValueError(f"class folder {folder} has no images (such as .jpg, .png or .webp)")
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


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    present = _folders(root)
    for name in names:
        if name in present:
            return root / name
    raise ValueError(f"{root} needs a folder {' or '.join(names)}; found {some(present) or 'no folders'}")


def _folders(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_someones(path.name))
    for name in names:
        if name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") != name:
            place, above = shown_path(str(folder / name)), shlex.quote(shown_path(str(folder)))
            raise ValueError(
                f"data_dir: the name of the folder {place} is no UTF-8, as from another system; rename it, "
                f"for example by convmv -f latin1 -t utf8 -r --notest {above}"
            )
    return names
