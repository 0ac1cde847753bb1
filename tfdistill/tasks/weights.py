"""Weights of examples, and which have a label: what they may be, and how they weigh the supervised loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.taps import Batch, on_labelled


def weighed(batch: Batch, values: tf.Tensor) -> tf.Tensor:
    """The values of a loss times the weights of the examples, where a batch has some.

    The engine divides their sum by the number of examples, as Keras does, and not by the sum of the weights. Where some
    examples have no label, those count for nothing and the others for more: the mean is that over the labelled ones.

    Args:
        batch: with `"weight"`, `[batch]` of float32, or without.
        values: per example, `[batch]`.
    """
    weight = batch.get("weight")
    return on_labelled(batch, values if weight is None else values * weight)


def readied_weights(batch: Batch) -> dict[str, tf.Tensor]:
    """The batch with its weights, if any, as `[batch]` of float32.

    Raises:
        ValueError: they are not one number per example.
    """
    if "weight" not in batch:
        return dict(batch)
    weight = tf.convert_to_tensor(batch["weight"])
    if weight.shape.rank not in (1, 2) or (weight.shape.rank == 2 and weight.shape[1] != 1):
        raise ValueError(f"sample_weight: must be one number per example, [batch], not {weight.shape}")
    return {**batch, "weight": tf.cast(tf.reshape(weight, [-1]), tf.float32)}


def readied_labelled(batch: Batch) -> dict[str, tf.Tensor]:
    """The batch with `"labelled"`, if it has that, as `[batch]` of float32: 1 for an example with a label, else 0.

    Raises:
        ValueError: it is not one value per example.
    """
    if "labelled" not in batch:
        return dict(batch)
    marks = tf.convert_to_tensor(batch["labelled"])
    if marks.dtype == tf.string or marks.shape.rank not in (1, 2) or (marks.shape.rank == 2 and marks.shape[1] != 1):
        raise ValueError(
            f"labelled: must be 1 or 0 for each example, [batch], not {marks.dtype.name} of shape {marks.shape}"
        )
    return {**batch, "labelled": tf.cast(tf.cast(tf.reshape(marks, [-1]), tf.float32) != 0, tf.float32)}


def require_weights(weights: Any, examples: Any, place: str = "example") -> None:
    """Refuses an array of weights that cannot weigh the examples; what is no array is not looked at.

    Args:
        weights: of all examples, `[examples]` or `[examples, 1]`.
        examples: their images or labels.
        place: what an entry is, for the message.

    Raises:
        ValueError: another number of them than of examples, or one that is negative or no number; names the first.
    """
    if not hasattr(weights, "shape"):
        return
    array = np.asarray(weights)
    if array.ndim == 0 or array.dtype.kind not in "biuf" or array.size != array.shape[0]:
        raise ValueError(f"sample_weight: must be one number per {place}, not an array {array.shape} of {array.dtype}")
    if hasattr(examples, "shape") and len(array) != len(examples):
        raise ValueError(f"sample_weight: has {len(array)} weights for {len(examples)} {place}s")
    right = np.isfinite(array.ravel()) & (array.ravel() >= 0)
    if not right.all():
        first = int(np.argmin(right))
        raise ValueError(f"sample_weight: {array.ravel()[first]:g} at {place} {first}; weights are numbers from 0")
