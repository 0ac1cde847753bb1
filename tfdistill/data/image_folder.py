"""Images in folders, `root/split/class/image`: finding the files, and leaving out those that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from absl import logging

from tfdistill.data.checking import without_unreadable
from tfdistill.data.dataset import DataUnavailable, Split
from tfdistill.data.reading import into_memory
from tfdistill.data.readings import Reading, reading_of

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
TEST_FOLDERS = ("test", "val", "validation")


def load_image_folder(
    root: Path | None, image_size: int | None, reading: str = "auto"
) -> tuple[Split, Split, tuple[str, ...]]:
    """Finds the images below `root/train/class/` and `root/test/class/` (or `val`, or `validation`).

    The classes are the sub-folders of `train`, in the order of their names. Hidden files, and those without an
    extension of JPEG, PNG, BMP or GIF, are passed over. Every image is decoded once: those that cannot be read are
    left out, and counted in a warning. Images that are squeezed to a small size stay in memory, others are decoded
    again when a batch needs them.

    Args:
        root: the folder that holds the split folders.
        image_size: height and width of a batch's images, in pixels.
        reading: "auto", "resize" or "crop".

    Returns:
        (train, test, class names).

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: if an argument is missing, a split or class folder is missing or empty, a test class is
            not among the training classes, or a class has no image that can be read.
    """
    if root is None:
        raise ValueError("image_folder needs data_dir, the folder that holds train/ and test/")
    if image_size is None or image_size < 1:
        raise ValueError(f"image_folder needs an image_size of 1 or more pixels, got {image_size}")
    chosen = reading_of(reading, image_size)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir {root} is no folder; image_folder needs one that holds train/ and test/")
    train_folder, test_folder = _split_folder(root, ("train",)), _split_folder(root, TEST_FOLDERS)
    class_names = _folders(train_folder)
    unknown = sorted(set(_folders(test_folder)) - set(class_names))
    if unknown:
        raise ValueError(f"{test_folder} has classes that {train_folder} lacks: {_some(unknown)}")
    train = _read_split(train_folder, class_names, image_size, chosen)
    test = _read_split(test_folder, class_names, image_size, chosen)
    if without := _absent(train, class_names):
        raise ValueError(f"{train_folder} has no image that can be read of {_some(without)}")
    if not len(test):
        raise ValueError(f"{test_folder} has no image that can be read")
    if without := _absent(test, class_names):
        logging.warning("%s has no images of %s, so nothing is measured there", test_folder, _some(without))
    return into_memory(train), into_memory(test), tuple(class_names)


def _read_split(folder: Path, class_names: list[str], image_size: int, reading: Reading) -> Split:
    present = _folders(folder)
    if not present:
        raise ValueError(f"{folder} has no class folders; image_folder needs {folder.name}/<class>/<image>")
    paths: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        if class_name in present:
            found = _images(folder / class_name)
            paths += found
            labels += [label] * len(found)
    for path in paths:
        _require_utf8(path)
    split = Split.of_files(paths, np.array(labels, np.int32), (image_size, image_size, 3), reading)
    return without_unreadable(split, str(folder))


def _require_utf8(path: str) -> None:
    """Refuses a name in Latin-1 or the like: TensorFlow opens files by names in UTF-8 only."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"data_dir: the name {path!r} is not in UTF-8, as TensorFlow wants it; rename it") from None


def _absent(split: Split, class_names: list[str]) -> list[str]:
    counts = np.bincount(split.labels, minlength=len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if count == 0]


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        found = sorted(
            entry.path
            for entry in entries
            if entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith(".") and entry.is_file()
        )
    if not found:
        raise ValueError(f"class folder {folder} has no images ({', '.join(EXTENSIONS)})")
    return found


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    present = _folders(root)
    for name in names:
        if name in present:
            return root / name
    raise ValueError(f"{root} needs a folder {' or '.join(names)}; found {_some(present) or 'no folders'}")


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
