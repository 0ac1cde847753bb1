"""What a network is served to answer: the one place where exports of classifiers and of detectors differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.encoded import Shape


class FilesRead(NamedTuple):
    """What has become of a batch of image files.

    Attributes:
        images: uint8 [batch, height, width, channels], black where an image cannot be read.
        valid: bool [batch], true where it can.
        sizes: height and width in pixels that each upright image had, int32 [batch, 2]; None where nobody asks.
    """

    images: tf.Tensor
    valid: tf.Tensor
    sizes: tf.Tensor | None = None


class Compared(NamedTuple):
    """How far a SavedModel's answers are from the live network's.

    Attributes:
        differences: the largest one by name.
        fault: what else is wrong, to follow "the SavedModel's" and what images these are; empty where nothing is.
    """

    differences: Mapping[str, float]
    fault: tuple[str, str] | None = None


class Answer(Protocol):
    """From a network's taps to the outputs of its signatures, and how these are proved right."""

    @property
    def taps(self) -> Sequence[str]:
        """The taps that it is made of."""

    @property
    def taps_signature(self) -> str:
        """The signature that gives these taps themselves; empty where none does."""

    def classes(self, network: keras.Model) -> int:
        """How many classes a network tells apart.

        Raises:
            ValueError: it lacks a tap, or one has another shape; the message begins with "network".
        """

    def require_values(self, network: keras.Model) -> None:
        """Refuses a network whose taps have the right shapes and mean something else.

        Raises:
            ValueError: names the layer.
        """

    def reading(self, reading: Reading | str, image_shape: Shape) -> Reading:
        """How image files are brought to the network's size.

        Args:
            reading: what has been asked for.
            image_shape: (height, width, channels) that the network takes.

        Raises:
            ValueError: there is no such reading, or it does not go with the answer.
        """

    def outputs(self, taps: Mapping[str, tf.Tensor], image_shape: Shape) -> dict[str, tf.Tensor]:
        """What images of the network's size are answered, each `[batch, ...]`.

        Args:
            taps: in float32.
            image_shape: as of `reading`.
        """

    def read(self, encoded: tf.Tensor, image_shape: Shape, reading: Reading) -> FilesRead:
        """A batch of image files, strings [batch], with what `of_files` needs to know of them."""

    def of_files(self, outputs: Mapping[str, tf.Tensor], read: FilesRead) -> dict[str, tf.Tensor]:
        """What files are answered, from the outputs of the images that were read of them."""

    def unread(self, outputs: Mapping[str, tf.Tensor], valid: tf.Tensor) -> dict[str, tf.Tensor]:
        """The outputs with what says "nothing" where an image is not valid."""

    def sizes(self, files: Sequence[bytes], image_shape: Shape, reading: Reading) -> np.ndarray | None:
        """What `FilesRead.sizes` is of these files, as this process has it."""

    def compared(
        self,
        taps: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        sizes: np.ndarray | None,
        tolerance: float,
    ) -> Compared:
        """Compares a SavedModel's outputs with the live network's taps.

        Args:
            taps: of the live network.
            outputs: of the SavedModel, for the same images.
            sizes: the size in pixels that each image had, [batch, 2], if that is asked for.
            tolerance: up to which differences are rounding.
        """

    def facts(self) -> dict[str, object]:
        """What a model card says of the answer."""
