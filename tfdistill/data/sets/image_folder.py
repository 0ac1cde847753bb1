"""Images in folders, `root/split/class/image`, or `root/class/image` and shares of the parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tfdistill.data.checking import some, without_unreadable
from tfdistill.data.dataset import DataUnavailable, Loaded, Split
from tfdistill.data.duplicate_files import files_in_two_parts
from tfdistill.data.reading import into_memory
from tfdistill.data.selection import parts_by_shares
from tfdistill.data.sets.image_files import class_names_of, folders_in, images_of, loose_files, mark_of
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading, reading_of

TEST_FOLDERS = ("test", "val", "validation")
PARTS = ("training", "validation", "test")


def load_image_folder(
    root: Path | None,
    image_size: int | None,
    reading: str = "auto",
    max_pixels: int = MAX_PIXELS,
    *,
    shares: Sequence[float] = (),
    seed: int = 0,
) -> Loaded:
    """Finds the images below `root/train/class/` and `root/test/class/` (or `val`, or `validation`).

    With `shares` the images lie in `root/class/`, and are parted by them, each class alike. Who is in which part is a
    function of the seed and of the images' names in their order, whether they can be read or not.

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
        shares: of training, perhaps validation, and test; see `parts_by_shares`. None where the folders say it.
        seed: of the parting, 0 or more.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: if an argument is missing, a split or class folder is missing or empty, there is one class only, a
            test class is not among the training classes, a class has no training image that can be read, a name of a
            class is no UTF-8, or `shares` are given for a folder that has a split, or not for one that has none.
    """
    if root is None:
        raise ValueError("data_dir: image_folder needs one, which holds train/ and test/, or classes and a split")
    if image_size is None or image_size < 1:
        raise ValueError("image_size: image_folder needs one, such as 32 pixels, to which its images are brought")
    chosen = reading_of(reading, image_size, max_pixels)
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(
            f"data_dir: {root} is no folder; image_folder needs one with train/ and test/, or classes"
        )
    if shares:
        return _parted(root, image_size, chosen, shares, seed)
    train_folder, test_folder = _split_folder(root, ("train",)), _split_folder(root, TEST_FOLDERS)
    class_names = class_names_of(train_folder)
    unknown = sorted(set(folders_in(test_folder)) - set(class_names))
    if unknown:
        raise ValueError(f"data_dir: {test_folder} has classes that {train_folder} lacks: {some(unknown)}")
    train = _read_split(train_folder, class_names, image_size, chosen)
    test = _read_split(test_folder, class_names, image_size, chosen)
    if without := _absent(train, class_names):
        raise ValueError(f"data_dir: {train_folder} has no image that can be read of {some(without)}")
    if not len(test):
        raise ValueError(f"data_dir: {test_folder} has no image that can be read")
    if without := _absent(test, class_names):
        logging.warning("%s has no images of %s, so nothing is measured there", test_folder, some(without))
    _warn_of_copies(root, [train, test])
    return Loaded(into_memory(train), into_memory(test), tuple(class_names))


def _parted(root: Path, image_size: int, reading: Reading, shares: Sequence[float], seed: int) -> Loaded:
    """The images of a folder of classes, in parts."""
    present = folders_in(root)
    if "train" in present and (own := [name for name in TEST_FOLDERS if name in present]):
        raise ValueError(f"split: {root} has a split of its own, train/ and {own[0]}/; leave --split out")
    if present == ["train"]:
        raise ValueError(f"data_dir: {root} has train/ alone, with the classes in it; give --data_dir={root / 'train'}")
    class_names = class_names_of(root)
    whole, beside = images_of(root, class_names, image_size, reading)
    places = parts_by_shares(whole.labels, shares, seed)
    names = [path.removeprefix(str(root)) for path in whole.images]
    titles = PARTS if len(places) == len(PARTS) else PARTS[::2]
    marks = {title: mark_of([names[one] for one in part]) for title, part in zip(titles, places, strict=True)}
    readable = without_unreadable(whole, str(root), [*loose_files(root), *beside])
    if without := _absent(readable, class_names):
        raise ValueError(f"data_dir: {root} has no image that can be read of {some(without)}")
    # What cannot be read is missing from its part, and moves no other image into another part.
    left = set(readable.images)
    parts = [_numbered(whole.take(part[[path in left for path in whole.images[part]]])) for part in places]
    _check_parts(root, dict(zip(titles, parts, strict=True)), class_names, np.bincount(readable.labels))
    train, *held = map(into_memory, parts)
    return Loaded(train, held[-1], tuple(class_names), held[0] if len(held) == 2 else None, marks)


def _check_parts(root: Path, parts: Mapping[str, Split], class_names: list[str], counts: np.ndarray) -> None:
    """Refuses parts that cannot be trained or scored on, and warns of those that say less than one expects."""
    without = {title: _absent(part, class_names) for title, part in parts.items()}
    numbers = dict(zip(class_names, counts, strict=True))
    for title, names in without.items():
        few = some([f"{name} ({numbers[name]} image{'s' if numbers[name] > 1 else ''} in all)" for name in names])
        if len(names) == len(class_names):
            raise ValueError(f"split: the {title} part of {root} has no image that can be read")
        if names and title == "training":
            raise ValueError(f"split: leaves no training image of {few}; add images, or give training a larger share")
        if names:
            logging.warning("%s: the %s part has no images of %s, so nothing is measured there", root, title, few)
    _warn_of_copies(root, list(parts.values()))


def _warn_of_copies(root: Path, parts: Sequence[Split]) -> None:
    if twice := files_in_two_parts([list(part.images) for part in parts]):
        logging.warning("%s: %s", root, twice)


def _numbered(part: Split) -> Split:
    """A part as a split of its own."""
    return dataclasses.replace(part, index=np.arange(len(part)))


def _read_split(folder: Path, class_names: list[str], image_size: int, reading: Reading) -> Split:
    split, others = images_of(folder, class_names, image_size, reading)
    return without_unreadable(split, str(folder), others)


def _absent(split: Split, class_names: list[str]) -> list[str]:
    counts = np.bincount(split.labels, minlength=len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if count == 0]


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    present = folders_in(root)
    for name in names:
        if name in present:
            return root / name
    without_split = "; classes without a split need one, such as --split=0.8,0.1,0.1" if len(present) > 1 else ""
    if present == ["train"]:
        without_split = f"; to part the training images give --data_dir={root / 'train'} and a --split"
    raise ValueError(
        f"data_dir: {root} needs a folder {' or '.join(names)}; found {some(present) or 'no folders'}{without_split}"
    )
