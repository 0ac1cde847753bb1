"""Single-label image classification."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfdistill import losses
from tfdistill.taps import Batch, Taps
from tfdistill.tasks.confusion import confusion
from tfdistill.tasks.labels import class_labels
from tfdistill.tasks.weights import readied_weights, weighed


class Classification:
    """Cross-entropy as the supervised loss; top-1, top-5 and cross-entropy as the metrics."""

    loss_name = "cross_entropy"
    headline = "accuracy"
    training_metric_names = ("accuracy",)
    metric_names = ("accuracy", "top5", "cross_entropy")
    rising = ("accuracy", "top5")
    """The metrics of which more is better; of every other score less is."""

    def readied(self, batch: Batch, classes: int) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The batch with labels as losses and metrics take them, and which of them are no class; see `class_labels`.

        Args:
            batch: with `"labels"` in any of the forms that data sets give.
            classes: how many the networks tell apart.
        """
        labels, wrong = class_labels(batch["labels"], classes)
        return readied_weights({**batch, "labels": labels}), wrong

    def loss(self, batch: Batch, taps: Taps) -> tf.Tensor:
        """Cross-entropy per example, `[batch]`, of `taps["logits"]` against `batch["labels"]`, times its weight."""
        return weighed(batch, losses.cross_entropy(batch["labels"], taps["logits"]))

    def training_metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """What is worth watching on the training batch itself, per example."""
        return {"accuracy": losses.top_k_correct(_hard(batch["labels"]), taps["logits"], 1)}

    def metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """Top-1 and top-5 hits and the cross-entropy, each per example, `[batch]`."""
        labels, logits = _hard(batch["labels"]), taps["logits"]
        return {
            "accuracy": losses.top_k_correct(labels, logits, 1),
            "top5": losses.top_k_correct(labels, logits, 5),
            "cross_entropy": losses.cross_entropy(batch["labels"], logits),
        }

    table_names = ("confusion",)
    """What `tables` gives: numbers `[classes, classes]`, which are added up over the batches of a scoring."""

    def tables(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """What of a batch is counted by class: which classes were taken for which; examples of weight 0 are not."""
        return {"confusion": confusion(_hard(batch["labels"]), taps["logits"], batch.get("weight"))}

    def ensemble(self, taps: Sequence[Taps]) -> Taps:
        """The ensemble of several networks: the mean of their logits (the papers' ensemble accuracy)."""
        return {"logits": tf.add_n([tf.cast(one["logits"], tf.float32) for one in taps]) / len(taps)}


def _hard(labels: tf.Tensor) -> tf.Tensor:
    return labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1, output_type=tf.int32)
