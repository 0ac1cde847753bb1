"""What passes between networks, methods and the engine: names for mappings of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
"""`"images"`, `[batch, height, width, channels]`, and `"labels"` as the task's losses take them.

Where some examples have no label, `"labelled"` says which have one, float32 `[batch]` of 1 and 0.
"""
Taps = Mapping[str, tf.Tensor]
"""What a network returns, by name: `"logits"`, `"embedding"`, `"features"`, `"stage1"`, ..."""
Terms = Mapping[str, tf.Tensor]
"""The terms of a loss by name, each `[batch]`."""
CallModel = Callable[[keras.Model, Any], Any]
"""Calls a network or a helper on its inputs, in the mode of the present phase, and gives its outputs."""

# Of a batch with unlabelled examples: the labels where nobody meets them by chance, and what a loss of theirs is
# multiplied by.
_LABELS, _SUPERVISED = "labels_where_labelled", "supervised_weight"


class PartlyLabelled(dict[str, tf.Tensor]):
    """A batch in which some examples have no label, as terms see it: its labels are not among it.

    What stands in the place of a missing label is no label. `with_labels` gives the labels to whoever leaves the
    unlabelled examples out, by `on_labelled`.
    """

    def __missing__(self, name: str) -> tf.Tensor:
        if name == "labels":
            raise ValueError(
                "labels: some examples of the batch have none, and a term reads them all; a transfer that reads labels "
                "says so by reads_labels = True, and its terms count on labelled examples alone"
            )
        raise KeyError(name)


def with_supervised_weight(batch: Batch, examples: tf.Tensor, labelled: tf.Tensor) -> dict[str, tf.Tensor]:
    """A batch with `"labelled"` and what `on_labelled` multiplies by.

    Args:
        batch: of one replica.
        examples: how many examples all replicas have, float32 scalar.
        labelled: how many of them have a label; where none has, the weight is 0.
    """
    return {**batch, _SUPERVISED: batch["labelled"] * tf.math.divide_no_nan(examples, labelled)}


def on_labelled(batch: Batch, values: tf.Tensor) -> tf.Tensor:
    """The values of a term that reads labels, 0 for unlabelled examples, `[batch]`.

    Those of labelled examples are scaled up, so that the mean over the whole batch is the mean over the labelled
    examples. Where every example has a label they are as they were.

    Args:
        batch: what the values are of.
        values: per example, `[batch]`, finite for whatever class stands in the place of a missing label.
    """
    weight = batch.get(_SUPERVISED)
    return values if weight is None else values * weight


def without_labels(batch: Batch) -> Batch:
    """What terms see of a batch: all of it, or `PartlyLabelled` where some examples have no label."""
    if "labelled" not in batch:
        return batch
    hidden = PartlyLabelled({name: value for name, value in batch.items() if name != "labels"})
    hidden[_LABELS] = batch["labels"]
    return hidden


def with_labels(batch: Batch) -> Batch:
    """A batch with its `"labels"`, for terms that go through `on_labelled`."""
    if _LABELS not in batch:
        return batch
    return {**{name: value for name, value in batch.items() if name != _LABELS}, "labels": batch[_LABELS]}
