"""Single-label image classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import ArgumentError
from tfdistill.networks.probabilities import require_logits
from tfdistill.taps import Batch, Taps, with_labels
from tfdistill.tasks.by_class import ByClass
from tfdistill.tasks.confusion import by_class, confusion
from tfdistill.tasks.labels import class_labels, require_classes
from tfdistill.tasks.task import require_same_classes
from tfdistill.tasks.weights import readied_labelled, readied_weights, weighed


class Classification:
    """Cross-entropy as the supervised loss; top-1, top-5 and cross-entropy as the metrics."""

    name = "classification"
    loss_name = "cross_entropy"
    headline = "accuracy"
    training_metric_names = ("accuracy",)
    metric_names = ("accuracy", "top5", "cross_entropy")
    rising = ("accuracy", "top5")
    titles: ClassVar[dict[str, str]] = {"accuracy": "top-1", "top5": "top-5", "cross_entropy": "cross-entropy"}
    output = "logits"
    ensemble_name = "ensemble"

    def classes(self, network: keras.Model) -> int:
        """How many classes a network tells apart."""
        return int(network.output["logits"].shape[-1])

    def check_outputs(self, network: keras.Model, role: str) -> None:
        """Refuses a network that gives no logits of two classes or more; see `Task`."""
        # A Sequential that was never called has no `output`.
        outputs = network.outputs[0] if isinstance(network, keras.Sequential) else network.output
        if not isinstance(outputs, dict) or "logits" not in outputs:
            raise ArgumentError(
                role,
                f"{network.name} must return a dict of taps with 'logits', not "
                f"{', '.join(outputs) if isinstance(outputs, dict) else described(outputs)}; see network_from()",
            )
        shape = tuple(getattr(outputs["logits"], "shape", ()))
        if len(shape) != 2 or shape[1] is None or shape[1] < 2:
            raise ArgumentError(
                role, f"{network.name}: logits must be [batch, classes] of 2 classes or more, not {shape}"
            )

    def check_values(self, network: keras.Model, role: str) -> None:
        """Refuses probabilities for logits; see `Task`."""
        require_logits(network.inputs[0], network.output["logits"], f"{role}: {network.name}")

    def check_alike(self, first: keras.Model, other: keras.Model, role: str, who: str) -> None:
        """Refuses networks that tell different numbers of classes apart; see `Task`."""
        require_same_classes(self, first, other, role, who)

    def readied(self, batch: Batch, classes: int) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The batch with labels as losses and metrics take them, and which of them are no class; see `class_labels`.

        What stands in the place of a label that an example does not have is read by nobody: it becomes class 0, or a
        distribution of zeros, and is never wrong.

        Args:
            batch: with `"labels"` in any of the forms that data sets give.
            classes: how many the networks tell apart.
        """
        labels, wrong = class_labels(batch["labels"], classes)
        found = readied_labelled(readied_weights({**batch, "labels": labels}))
        if "labelled" in found:
            known = found["labelled"] != 0
            found["labels"] = tf.where(known if wrong is not None else known[:, None], labels, tf.zeros_like(labels))
            wrong = None if wrong is None else wrong & known
        return found, wrong

    def to_name(self, labels: tf.Tensor, classes: int) -> tf.Tensor:
        """The labels themselves; see `Task`."""
        return labels

    def require_labels(self, labels: Any, classes: int, place: str) -> None:
        """Refuses what is no class; see `Task`."""
        require_classes(labels, classes, place)

    def loss(self, batch: Batch, taps: Taps) -> tf.Tensor:
        """Cross-entropy per example, `[batch]`, of `taps["logits"]` against `batch["labels"]`, times its weight.

        Of an unlabelled example it is 0, and of the others so much larger that the mean over the batch is the mean over
        the labelled examples.
        """
        return weighed(batch, losses.cross_entropy(with_labels(batch)["labels"], taps["logits"]))

    def training_metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """What is worth watching on the training batch itself, per example; the engine leaves unlabelled ones out."""
        return {"accuracy": losses.top_k_correct(_hard(batch["labels"]), taps["logits"], 1)}

    def metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """Top-1 and top-5 hits and the cross-entropy, each per example, `[batch]`."""
        labels, logits = _hard(batch["labels"]), taps["logits"]
        return {
            "accuracy": losses.top_k_correct(labels, logits, 1),
            "top5": losses.top_k_correct(labels, logits, 5),
            "cross_entropy": losses.cross_entropy(batch["labels"], logits),
        }

    def meter(self, metric: str, classes: int, name: str) -> keras.metrics.Metric:
        """The mean over the examples; see `Task`."""
        return keras.metrics.Mean(name=name)

    def table_shapes(self, classes: int) -> dict[str, tuple[int, ...]]:
        """The confusion matrix; see `Task`."""
        return {"confusion": (classes, classes)}

    def tables(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """What of a batch is counted by class: which classes were taken for which; examples of weight 0 are not."""
        return {"confusion": confusion(_hard(batch["labels"]), taps["logits"], batch.get("weight"))}

    # The confusion matrix says more than single images would.
    picture_names = ()

    def pictures(
        self, images: np.ndarray, batch: Batch, taps: Taps, class_names: Sequence[str]
    ) -> dict[str, Sequence[np.ndarray]]:
        """Nothing is drawn; see `Task`."""
        return {}

    def counted_by(self, meters: Mapping[str, keras.metrics.Metric]) -> dict[str, tf.Tensor]:
        """Nothing: means know no classes; see `Task`."""
        return {}

    def by_class(self, tables: Mapping[str, np.ndarray]) -> ByClass | None:
        """Accuracy of each class, from the confusion matrix; see `Task`."""
        return by_class(tables["confusion"]) if "confusion" in tables else None

    def closer(self, classes: int) -> None:
        """Nothing; see `Task`."""
        return

    def chance(self, classes: int) -> float:
        """One in as many as there are classes; see `Task`."""
        return 1 / classes

    def ensemble(self, taps: Sequence[Taps]) -> Taps:
        """The ensemble of several networks: the mean of their logits (the papers' ensemble accuracy)."""
        return {"logits": tf.add_n([tf.cast(one["logits"], tf.float32) for one in taps]) / len(taps)}

    def as_predicted(self, batch: Batch, taps: Taps) -> Batch:
        """The batch with the class of the largest logit, as a number or one-hot, in place of each label."""
        labels, classes = batch["labels"], tf.argmax(taps["logits"], axis=-1)
        if labels.shape.rank == 1:
            return {**batch, "labels": tf.cast(classes, labels.dtype)}
        return {**batch, "labels": tf.one_hot(classes, labels.shape[1], dtype=labels.dtype)}

    def same_answers(self, taps: Taps, other: Taps) -> tf.Tensor:
        """Whether the largest logit is that of the same class, 0 or 1, `[batch]`."""
        first, second = (tf.argmax(one["logits"], axis=-1) for one in (taps, other))
        return tf.cast(first == second, tf.float32)

    def shown(self, metric: str, value: float) -> str:
        """Hits in percent, the cross-entropy with four decimals."""
        return f"{value:.2%}" if metric in self.rising else f"{value:.4f}"


def described(outputs: Any) -> str:
    """What a model gives, in words."""
    if isinstance(outputs, keras.KerasTensor):
        return f"a tensor {tuple(outputs.shape)}"
    return f"a {type(outputs).__name__} of {len(outputs)}"


def _hard(labels: tf.Tensor) -> tf.Tensor:
    return labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1, output_type=tf.int32)
