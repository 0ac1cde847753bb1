"""Images with boxes, as annotation files say them: checked, counted and brought into splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from absl import logging
from PIL import Image, UnidentifiedImageError

from tfdistill.bounds import like, shown
from tfdistill.data.checking import reason, some, unreadable_positions
from tfdistill.data.dataset import CLASS, DIFFICULT, Loaded, Split, shown_path
from tfdistill.data.duplicate_files import files_in_two_parts
from tfdistill.data.reading import into_memory
from tfdistill.data.transforms.orientation import TAG
from tfdistill.data.transforms.readings import Reading

Purpose = Literal["train", "score"]
LONGEST_NAME = 200
# A photograph that lies on its side in its file: whether, once rows and columns are exchanged, each of them runs
# backwards.
SIDEWAYS = {5: (False, False), 6: (False, True), 7: (True, True), 8: (True, False)}


@dataclass(frozen=True)
class Annotated:
    """An image and the objects in it, as they are written.

    Args:
        path: of the image.
        said_in: what the objects are written in, for messages.
        boxes: (top, left, bottom, right) in pixels, the last ones behind the object: float64 [objects, 4].
        classes: their names.
        difficult: which of them neither count nor harm.
        size: (height, width) in pixels, as it is written; None where it is not.
    """

    path: Path
    said_in: str
    boxes: np.ndarray
    classes: Sequence[str]
    difficult: Sequence[bool]
    size: tuple[int, int] | None


def loaded_of(
    root: Path,
    parts: Mapping[Path, Sequence[Annotated]],
    class_names: Sequence[str],
    image_size: int,
    max_pixels: int,
) -> Loaded:
    """Training and test part, whose images are squeezed to one size, and whose labels are objects in shares of them.

    A box that reaches beyond its image is clipped, one without area or with swapped corners left out; a warning counts
    both. An image without objects stays. A class that is not trained or not scored, and test images that are training
    images too, are told of.

    Args:
        root: the folder of all, for messages.
        parts: by the file that lists them, the images of the training part, then those of the test part.
        class_names: in the order of the labels.
        image_size: height and width of a batch's images, in pixels.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        ValueError: a class is unknown, an image cannot be read, or it has another size than is written; there is
            nothing to train or to score on. One line names the file.
    """
    for name in class_names:
        _require_name(name, next(iter(parts)))
    labels = []
    for (source, images), purpose in zip(parts.items(), get_args(Purpose), strict=True):
        rows, bad = _labels_of(images, class_names, source)
        check_classes(rows, class_names, source, purpose, bad)
        labels.append(rows)
    reading, shape = Reading("resize", max_pixels=max_pixels), (image_size, image_size, 3)
    paths = [[str(image.path) for image in images] for images in parts.values()]
    splits = [
        readable_split(Split.of_files(some_paths, rows, shape, reading))
        for some_paths, rows in zip(paths, labels, strict=True)
    ]
    if told := files_in_two_parts(paths):
        logging.warning("%s: %s", root, told)
    return Loaded(splits[0], splits[1], tuple(class_names))


def _require_name(name: str, source: Path) -> None:
    """Names stand in tables, pictures and exports."""
    if not name.isprintable() or not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(
            f"data_dir: a class of {source} has the name {shown(name)}; it must have 1 to {LONGEST_NAME} printable "
            "characters"
        )


def _labels_of(images: Sequence[Annotated], class_names: Sequence[str], source: Path) -> tuple[np.ndarray, str]:
    """Rows of objects, float32 [images, objects, 6], and how many bad boxes there are in words; "" for none."""
    if not images:
        raise ValueError(f"data_dir: {source} names no image")
    numbers = {name: number for number, name in enumerate(class_names)}
    clipped = dropped = 0
    found = []
    for image in images:
        objects, outside, without_area = _objects(image, numbers)
        found.append(objects)
        clipped, dropped = clipped + outside, dropped + without_area
    bad = (
        f"boxes cut at the border of their images: {clipped}; left out, as outside, without area or with swapped "
        f"corners: {dropped}"
    )
    return packed(found), bad if clipped or dropped else ""


def packed(found: Sequence[np.ndarray]) -> np.ndarray:
    """The objects of images, each [objects, 6], as labels: float32 [images, objects, 6], filled up with padding."""
    labels = np.zeros([len(found), max(1, *map(len, found)), 6], np.float32)
    labels[..., CLASS] = -1
    for rows, objects in zip(labels, found, strict=True):
        rows[: len(objects)] = objects
    return labels


def check_classes(
    labels: np.ndarray, class_names: Sequence[str], source: object, purpose: Purpose, bad: str = ""
) -> None:
    """Warns of bad boxes, and of classes of which nothing counts.

    Args:
        labels: objects, [images, objects, 6].
        class_names: in the order of the labels.
        source: the part, for messages.
        purpose: what it is for; difficult objects are not scored.
        bad: what there is of bad boxes, in words.

    Raises:
        ValueError: nothing counts at all.
    """
    counts = labels[..., CLASS] >= 0
    if purpose == "score":
        counts &= labels[..., DIFFICULT] == 0
    present = np.unique(labels[..., CLASS][counts]).astype(int)
    if not len(present):
        aside = ", difficult ones aside" if purpose == "score" else ""
        also = f"; {bad}" if bad else ""
        raise ValueError(f"data_dir: no image of {source} has an object to {purpose} on{aside}{also}")
    if bad:
        logging.warning("%s: %s", source, bad)
    if absent := [name for number, name in enumerate(class_names) if number not in present]:
        logging.warning("%s: there is no object to %s on of %s", source, purpose, some(absent))


def readable_split(split: Split) -> Split:
    """The split, in memory where it is small.

    Raises:
        ValueError: an image cannot be read; the line names the first.
    """
    bad = unreadable_positions(split)
    if len(bad):
        raise ValueError(f"data_dir: {split.place(bad[0])} cannot be read: {reason(split, bad[0])}")
    return into_memory(split)


def _objects(image: Annotated, numbers: Mapping[str, int]) -> tuple[np.ndarray, int, int]:
    """Rows of labels, how many boxes were clipped, and how many left out."""
    if unknown := next((name for name in image.classes if name not in numbers), None):
        raise ValueError(f"data_dir: {image.said_in} has the unknown class {shown(unknown)!r}{like(unknown, numbers)}")
    size, orientation = _size_and_orientation(image)
    if not len(image.boxes):
        return np.zeros([0, 6], np.float32), 0, 0
    limits = np.array(size * 2, np.float64)
    inside = np.clip(image.boxes, 0.0, limits)
    # As labels have them, lest a box of less than a float32 knows has no area there.
    shares = (inside / limits).astype(np.float32)
    has_area = (shares[:, 2:] > shares[:, :2]).all(axis=1)
    clipped = (inside != image.boxes).any(axis=1) & has_area
    others = [[numbers[name], difficult] for name, difficult in zip(image.classes, image.difficult, strict=True)]
    rows = np.concatenate([_turned(shares, orientation), np.array(others, np.float32)], axis=1)
    return rows[has_area], int(clipped.sum()), int((~has_area).sum())


def _size_and_orientation(image: Annotated) -> tuple[tuple[int, int], int]:
    """Height and width that the boxes are measured by, and how these lie beside the image as it is shown.

    A photograph that lies on its side in its file is turned when it is read. Tools measure it so, or as it lies.
    """
    name = shown_path(str(image.path))
    try:
        with Image.open(image.path) as opened:
            width, height = opened.size
            orientation = _orientation(opened)
    except FileNotFoundError:
        raise ValueError(f"data_dir: {image.said_in} is about {name}, which is not there") from None
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"data_dir: {name} cannot be read: {' '.join(str(error).split())}") from None
    upright = (width, height) if orientation in SIDEWAYS else (height, width)
    if image.size in (None, upright):
        return upright, 1
    if image.size != (height, width):
        said = f"{image.size[1]:g}x{image.size[0]:g}"
        raise ValueError(
            f"data_dir: {image.said_in} says that {name} has {said} pixels, it has {upright[1]}x{upright[0]}"
        )
    return image.size, orientation


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(TAG, 1)
    except Exception:  # damaged EXIF data, which turns no image
        return 1


def _turned(boxes: np.ndarray, orientation: int) -> np.ndarray:
    """Corners of an image as it lies in its file, [objects, 4] in shares, as corners of the image that is shown."""
    if orientation not in SIDEWAYS:
        return boxes
    top, left, bottom, right = boxes.T
    rows, columns = (left, right), (top, bottom)
    rows, columns = (
        (1 - end, 1 - start) if backwards else (start, end)
        for backwards, (start, end) in zip(SIDEWAYS[orientation], (rows, columns), strict=True)
    )
    return np.stack([rows[0], columns[0], rows[1], columns[1]], axis=1)
