"""The containers: a split of examples, and a dataset of two splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfdistill.data.augmentation import Augmentation, Normalization


class DataUnavailable(ValueError):
    """The data, or the package that reads it, is not on this machine; the message says how to get it."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled examples: images in memory, or paths of image files that are decoded when a batch needs them.

    Made by `in_memory`, `of_files` and `take`.

    Args:
        images: uint8 [N, H, W, C], or paths [N] (object array of `str`).
        labels: class of each example, int32 [N].
        index: position of each example in the original split, int64 [N].
        image_shape: (H, W, C) of a batch's images.
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    index: np.ndarray = field(repr=False)
    image_shape: tuple[int, int, int]

    @classmethod
    def in_memory(cls, images: np.ndarray, labels: np.ndarray) -> Split:
        """A whole split whose pixels lie in memory.

        Args:
            images: uint8 [N, H, W, C].
            labels: integers [N].

        Raises:
            ValueError: if the arrays have other shapes or dtypes.
        """
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 [N, H, W, C], got {images.dtype} {list(images.shape)}")
        height, width, channels = images.shape[1:]
        return cls(images, *_labels_and_index(labels, len(images)), (height, width, channels))

    @classmethod
    def of_files(cls, paths: Sequence[str], labels: np.ndarray, image_shape: tuple[int, int, int]) -> Split:
        """A whole split whose images lie in files; a batch's are resized to `image_shape`.

        Args:
            paths: image files [N].
            labels: integers [N].
            image_shape: (H, W, 3).

        Raises:
            ValueError: if the lengths differ.
        """
        return cls(np.array(paths, object), *_labels_and_index(labels, len(paths)), image_shape)

    @property
    def on_disk(self) -> bool:
        """Whether `images` holds paths of files."""
        return self.images.ndim == 1

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> Split:
        """The examples at these positions, in this order; `index` still points into the original split."""
        return Split(self.images[positions], self.labels[positions], self.index[positions], self.image_shape)


def _labels_and_index(labels: np.ndarray, examples: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    if labels.shape != (examples,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be {examples} integers, got {labels.dtype} {list(labels.shape)}")
    return labels.astype(np.int32), np.arange(examples)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset, and how its images are prepared unless told otherwise.

    Args:
        name: its name in `DATASETS`.
        image_shape: (H, W, C) of a batch's images.
        class_names: name of each class, in the order of the labels.
        train: the training split.
        test: the test split.
        normalization: its default normalisation.
        augmentation: its default augmentation of training images.
    """

    name: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train: Split
    test: Split
    normalization: Normalization
    augmentation: Augmentation
