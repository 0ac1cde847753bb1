"""The class whose logit is explained, image by image, and what a network says of it."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.networks.taps import tap_of

PREDICTED: Literal["predicted"] = "predicted"
# A class for each image, one for all, or the one that the network predicts.
Classes = Sequence[int] | np.ndarray | int | Literal["predicted"]


@dataclass(frozen=True, eq=False)
class Explained:
    """What a network says of some images.

    Attributes:
        classes: int64 [images], those whose logits are explained.
        scores: float32 [images], these logits.
        probabilities: float32 [images], 0..1, of these classes.
        predicted: int64 [images], the classes of the largest logits.
        confidences: float32 [images], 0..1, the probabilities of these.
    """

    classes: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    confidences: np.ndarray


def explained(network: keras.Model, logits: tf.Tensor, classes: Classes) -> Explained:
    """The classes that are meant, and what the network says of them.

    Args:
        network: whose logits these are.
        logits: [images, classes].
        classes: see `Classes`.

    Raises:
        ArgumentError: a class that the network does not tell apart, or a logit that is no number.
    """
    values = np.asarray(tf.cast(logits, tf.float32))
    if not np.isfinite(values).all():
        raise ArgumentError("network", f"{network.name} gives logits that are no numbers; were its weights damaged?")
    predicted = values.argmax(axis=1)
    chosen = predicted if isinstance(classes, str) else np.broadcast_to(np.asarray(classes, np.int64), predicted.shape)
    rows = np.arange(len(values))
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    shares = shares / shares.sum(axis=1, keepdims=True)
    return Explained(chosen, values[rows, chosen], shares[rows, chosen], predicted, shares[rows, predicted])


def joined(parts: Sequence[Explained]) -> Explained:
    """What is said of several batches, as of one."""
    columns = zip(*(vars(one).values() for one in parts), strict=True)
    return Explained(*(np.concatenate(column) for column in columns))


def batches(
    network: keras.Model, images: Any, classes: Classes, batch_size: int
) -> Iterator[tuple[tf.Tensor, Classes]]:
    """The images, float32 and a few at a time, with the classes that are asked for.

    Args:
        network: that reads the images.
        images: [images, height, width, channels], as the network reads them.
        classes: see `Classes`.
        batch_size: the most images at a time, 1 or more.

    Raises:
        ArgumentError: there is no image, they are no images of the network's size, not finite, or the classes are
            none that it tells apart, or not as many as images.
    """
    values = np.asarray(images)
    own = tuple(network.inputs[0].shape[1:])
    if (
        values.ndim != 4
        or not len(values)
        or any(a not in (None, b) for a, b in zip(own, values.shape[1:], strict=True))
    ):
        raise ArgumentError("images", f"must be [images, {', '.join(map(str, own))}], one or more, not {values.shape}")
    if not np.isfinite(values).all():
        raise ArgumentError("images", "hold values that are no numbers")
    chosen = _checked(classes, len(values), tap_of(network, "logits").shape[-1])
    if batch_size < 1:
        raise ArgumentError("batch_size", f"must be at least 1, not {batch_size}")
    for start in range(0, len(values), batch_size):
        part = slice(start, start + batch_size)
        yield tf.constant(values[part], tf.float32), chosen if isinstance(chosen, str) else chosen[part]


def _checked(classes: Classes, images: int, known: int) -> np.ndarray | Literal["predicted"]:
    if isinstance(classes, str):
        if classes != PREDICTED:
            raise ArgumentError("classes", f"must be {PREDICTED!r}, or classes in 0..{known - 1}, not {classes!r}")
        return classes
    given = np.asarray(classes)
    if given.dtype.kind not in "iu" or given.shape not in ((), (images,)):
        raise ArgumentError(
            "classes", f"must be an integer for each of {images} images, or one for all, not {classes!r}"
        )
    if given.min() < 0 or given.max() >= known:
        wrong = operator.index(given[(given < 0) | (given >= known)].flat[0]) if given.shape else int(given)
        raise ArgumentError("classes", f"must be in 0..{known - 1}, which the network tells apart, not {wrong}")
    return np.broadcast_to(given.astype(np.int64), (images,))
