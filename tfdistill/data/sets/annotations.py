"""Images with boxes, as annotation files say them: checked, counted and brought into a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image, UnidentifiedImageError

from tfdistill.bounds import like
from tfdistill.data.checking import reason, unreadable_positions
from tfdistill.data.dataset import Split, shown_path
from tfdistill.data.duplicate_files import files_in_two_parts
from tfdistill.data.reading import into_memory
from tfdistill.data.transforms.readings import Reading


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


def split_of(
    images: Sequence[Annotated], class_names: Sequence[str], image_size: int, max_pixels: int, title: str
) -> Split:
    """A split whose images are squeezed to one size, and whose labels are objects in shares of their images.

    A box that reaches beyond its image is clipped, one without area or with swapped corners left out; a warning counts
    both. An image without objects stays.

    Args:
        images: of the part, one or more.
        class_names: in the order of the labels.
        image_size: height and width of a batch's images, in pixels.
        max_pixels: of an image, at most; 0 for any.
        title: what messages call the part.

    Raises:
        ValueError: a class is unknown, an image cannot be read, or it has another size than is written; one line names
            the file.
    """
    if not images:
        raise ValueError(f"data_dir: {title} names no image")
    numbers = {name: number for number, name in enumerate(class_names)}
    clipped = dropped = 0
    found = []
    for image in images:
        objects, outside, without_area = _objects(image, numbers)
        found.append(objects)
        clipped, dropped = clipped + outside, dropped + without_area
    labels = np.zeros([len(images), max(1, *map(len, found)), 6], np.float32)
    labels[..., 4] = -1
    for rows, objects in zip(labels, found, strict=True):
        rows[: len(objects)] = objects
    if clipped or dropped:
        logging.warning(
            "%s: boxes cut at the border of their images: %d; left out, as without area or with swapped corners: %d",
            *(title, clipped, dropped),
        )
    split = Split.of_files(
        [str(image.path) for image in images],
        labels,
        (image_size, image_size, 3),
        Reading("resize", max_pixels=max_pixels),
    )
    bad = unreadable_positions(split)
    if len(bad):
        raise ValueError(f"data_dir: {split.place(bad[0])} cannot be read: {reason(split, bad[0])}")
    return into_memory(split)


def warn_of_duplicates(title: str, *parts: Sequence[Annotated]) -> None:
    """Warns of images of the later parts that are of the first, too."""
    if told := files_in_two_parts([[str(image.path) for image in part] for part in parts]):
        logging.warning("%s: %s", title, told)


def _objects(image: Annotated, numbers: Mapping[str, int]) -> tuple[np.ndarray, int, int]:
    """Rows of labels, how many boxes were clipped, and how many left out."""
    if unknown := next((name for name in image.classes if name not in numbers), None):
        raise ValueError(f"data_dir: {image.said_in} has the unknown class {unknown!r}{like(unknown, numbers)}")
    if not len(image.boxes):
        _size_of(image)
        return np.zeros([0, 6], np.float32), 0, 0
    size = np.array(_size_of(image) * 2, np.float64)
    inside = np.clip(image.boxes, 0.0, size)
    has_area = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    clipped = (inside != image.boxes).any(axis=1) & has_area
    others = [[numbers[name], difficult] for name, difficult in zip(image.classes, image.difficult, strict=True)]
    rows = np.concatenate([inside / size, np.array(others, np.float64)], axis=1)
    return rows[has_area], int(clipped.sum()), int((~has_area).sum())


def _size_of(image: Annotated) -> tuple[int, int]:
    """Height and width, as they are written and as the image file begins with them."""
    name = shown_path(str(image.path))
    try:
        with Image.open(image.path) as opened:
            width, height = opened.size
    except FileNotFoundError:
        raise ValueError(f"data_dir: {image.said_in} is about {name}, which is not there") from None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"data_dir: {name} cannot be read: {' '.join(str(error).split())}") from None
    if image.size is None:
        return height, width
    # A photograph that lies on its side in the file is written of as it is shown.
    if image.size not in ((height, width), (width, height)):
        said = f"{image.size[1]}x{image.size[0]}"
        raise ValueError(f"data_dir: {image.said_in} says that {name} has {said} pixels, it has {width}x{height}")
    return image.size
