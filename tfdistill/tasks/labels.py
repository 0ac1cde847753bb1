"""Class labels in the forms that data sets and loaders give them, and what is no class."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

NO_NUMBERS = "labels: must be class numbers from 0 to {} or one-hot rows, not strings"


def class_labels(labels: tf.Tensor, classes: int) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Labels as the losses take them, and which of them are no class.

    Args:
        labels: `[batch]` or `[batch, 1]` of any integer or float type, as `keras.datasets` and loaders give them; or a
            distribution over the classes `[batch, classes]` of any type.
        classes: how many there are.

    Returns:
        labels: `[batch]` of int32 or int64, with 0 in the place of what is no class, so that every device computes the
            same; or `[batch, classes]` of a float type.
        wrong: `[batch]`, true where a label is none of 0 to classes - 1; `None` with distributions.

    Raises:
        ValueError: the labels are no numbers.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string:
        raise ValueError(NO_NUMBERS.format(classes - 1))
    if labels.shape.rank == 2 and labels.shape[1] == 1 and classes > 1:
        labels = tf.squeeze(labels, axis=1)
    if labels.shape.rank != 1:
        return (labels if labels.dtype.is_floating else tf.cast(labels, tf.float32)), None
    wrong = tf.zeros(tf.shape(labels), tf.bool)
    if labels.dtype.is_floating:
        wrong = labels != tf.floor(labels)
        labels = tf.cast(tf.where(tf.math.is_finite(labels), labels, tf.cast(-1, labels.dtype)), tf.int64)
    elif labels.dtype not in (tf.int32, tf.int64):
        labels = tf.cast(labels, tf.int64 if labels.dtype.size > 2 else tf.int32)
    wrong |= (labels < 0) | (labels >= classes)
    return tf.where(wrong, tf.zeros_like(labels), labels), wrong


def first_wrong(labels: Any, classes: int) -> int | None:
    """The place of the first label of an array that is no class; `None`: there is none, or they are distributions."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1 and classes > 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        return None
    wrong = ~((array >= 0) & (array < classes) & (np.floor(array) == array))
    return int(np.argmax(wrong)) if wrong.any() else None


def complaint(label: float, place: str, classes: int) -> str:
    """One line on a label that is no class.

    Args:
        label: as it was given.
        place: where it stands, such as "example 3".
        classes: how many there are.
    """
    remedy = "; labels numbered from 1 need 1 subtracted" if label == classes else ""
    return f"labels: {label:g} at {place} is no class, the {classes} classes are 0 to {classes - 1}{remedy}"


def require_classes(labels: Any, classes: int, place: str = "example") -> None:
    """Refuses an array of labels of which one is no class; what is no array is looked at in its batches.

    Args:
        labels: of all examples, in a form that `class_labels` takes.
        classes: how many there are.
        place: what an entry is, for the message.

    Raises:
        ValueError: names the first label that is no class, and its place; or the labels are no numbers.
    """
    if getattr(getattr(labels, "dtype", None), "kind", "") in ("U", "S", "O"):
        raise ValueError(NO_NUMBERS.format(classes - 1))
    if hasattr(labels, "shape") and (wrong := first_wrong(labels, classes)) is not None:
        label = float(np.ravel(np.asarray(labels))[wrong])
        raise ValueError(complaint(label, f"{place} {wrong}", classes))
