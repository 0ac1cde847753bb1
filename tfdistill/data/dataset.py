"""The containers: a split of examples, and a dataset of two splits."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from tfdistill.data.transforms.augmentation import Augmentation, BoxAugmentation, Normalization
from tfdistill.data.transforms.readings import Reading

TaskName = Literal["classification", "detection"]
"""What labels are for: a class of each image, or the objects in it."""

# What follows the four corners of an object in its row of the labels.
CLASS, DIFFICULT = 4, 5


class DataUnavailable(ValueError):
    """The data, or the package that reads it, is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class RecordFiles:
    """TFRecord files of serialized `tf.train.Example`, each with an encoded image.

    Args:
        paths: the files.
        image_key: name of the feature that holds the image's bytes.
    """

    paths: tuple[str, ...]
    image_key: str


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled examples: images in memory, or where to read each when a batch needs it.

    Made by `in_memory`, `of_files`, `of_records` and `take`; with other labels, by `dataclasses.replace`.

    Args:
        images: uint8 [N, H, W, C]; or paths of image files [N] (object array of `str`); or for records int64 [N, 3]:
            number of the file, offset and length in bytes.
        labels: class of each example, int32 [N]; or the objects of each, float32 [N, objects, 6]: top, left, bottom
            and right in shares of the image, class, and 1 for a difficult object. A row of class -1 is padding.
        index: position of each example in the original split, int64 [N].
        image_shape: (H, W, C) of a batch's images.
        reading: how an encoded image becomes one of `image_shape`; None for images in memory.
        records: the files that `images` points into; None if it does not.
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    index: np.ndarray = field(repr=False)
    image_shape: tuple[int, int, int]
    reading: Reading | None = None
    records: RecordFiles | None = field(default=None, repr=False)

    @classmethod
    def in_memory(cls, images: np.ndarray, labels: np.ndarray) -> Split:
        """A whole split whose pixels lie in memory.

        Args:
            images: uint8 [N, H, W, C].
            labels: integers [N], or objects, float [N, objects, 6].

        Raises:
            ValueError: if the arrays have other shapes or dtypes.
        """
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 [N, H, W, C], got {images.dtype} {list(images.shape)}")
        height, width, channels = images.shape[1:]
        return cls(images, *_labels_and_index(labels, len(images)), (height, width, channels))

    @classmethod
    def of_files(
        cls, paths: Sequence[str], labels: np.ndarray, image_shape: tuple[int, int, int], reading: Reading | None = None
    ) -> Split:
        """A whole split whose images lie in files, one each.

        Args:
            paths: image files [N].
            labels: integers [N], or objects, float [N, objects, 6].
            image_shape: (H, W, 3).
            reading: how a file becomes an image of that shape; whole, squeezed, if not given.

        Raises:
            ValueError: if the lengths differ.
        """
        labels_and_index = _labels_and_index(labels, len(paths))
        return cls(np.array(paths, object), *labels_and_index, image_shape, reading or Reading("resize"))

    @classmethod
    def of_records(
        cls,
        records: RecordFiles,
        spans: np.ndarray,
        labels: np.ndarray,
        image_shape: tuple[int, int, int],
        reading: Reading,
    ) -> Split:
        """A whole split whose images lie in TFRecord files.

        Args:
            records: the files.
            spans: where each example's record lies, int64 [N, 3]: number of the file, offset, length in bytes.
            labels: integers [N], or objects, float [N, objects, 6].
            image_shape: (H, W, 1 or 3).
            reading: how a record's image becomes one of that shape.

        Raises:
            ValueError: if the lengths differ.
        """
        return cls(spans, *_labels_and_index(labels, len(spans)), image_shape, reading, records)

    @property
    def on_disk(self) -> bool:
        """Whether `images` says where images lie, and not what they are."""
        return self.reading is not None

    @property
    def classes_by_index(self) -> np.ndarray:
        """The class of each example at its place in the original split, int32; -1 at a place that is not here.

        An image of objects is of no class but its own, which is its place.
        """
        found = np.full(int(self.index.max(initial=-1)) + 1, -1, np.int32)
        found[self.index] = self.labels if self.labels.ndim == 1 else self.index
        return found

    @property
    def has_boxes(self) -> bool:
        """Whether labels are objects in boxes, and not one class of each image."""
        return self.labels.ndim == 3

    @property
    def labelled_classes(self) -> np.ndarray:
        """The class of each example, or of each object in all of them, int32 [count]."""
        if not self.has_boxes:
            return self.labels
        found = self.labels[..., 4]
        return found[found >= 0].astype(np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> Split:
        """The examples at these positions, in this order; `index` still points into the original split."""
        return dataclasses.replace(
            self, images=self.images[positions], labels=self.labels[positions], index=self.index[positions]
        )

    def place(self, position: int) -> str:
        """Where the example at this position comes from, in words for an error message."""
        if not self.on_disk:
            return f"example {position}"
        if self.records is None:
            return shown_path(self.images[position])
        number, offset, _ = self.images[position]
        return f"the record at byte {offset} of {self.records.paths[number]}"


def shown_path(path: str) -> str:
    """A path as text that any terminal or file takes; bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _labels_and_index(labels: np.ndarray, examples: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    if labels.ndim == 3 and labels.shape[::2] == (examples, 6) and labels.dtype.kind == "f":
        return labels.astype(np.float32), np.arange(examples)
    if labels.shape != (examples,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be {examples} integers, got {labels.dtype} {list(labels.shape)}")
    return labels.astype(np.int32), np.arange(examples)


class Loaded(NamedTuple):
    """What a source of data gives: its parts, the name of each class in the order of the labels, `Dataset.marks`."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
    validation: Split | None = None
    marks: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with a class or objects each, and how they are prepared unless told otherwise.

    Args:
        name: its name in `DATASETS`.
        image_shape: (H, W, C) of a batch's images.
        class_names: name of each class, in the order of the labels.
        train: the training split.
        test: the test split.
        normalization: its default normalisation.
        augmentation: its default augmentation of training images; where labels are objects, one that moves their boxes.
        validation: the validation split, where the data has one; else a share of `train` may be held out.
        marks: of data that was parted by a seed: for each part, by name, a hash of the names of its examples.
        task: what its labels are for.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: Split
    test: Split
    normalization: Normalization
    augmentation: Augmentation | BoxAugmentation
    validation: Split | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    task: TaskName = "classification"
