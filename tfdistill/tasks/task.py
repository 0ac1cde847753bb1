"""The noun: what is learned from labels, how it is scored, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.taps import Batch, Taps
from tfdistill.tasks.by_class import ByClass


class Closer(Protocol):
    """Scores of a whole set, image by image and without bounds on memory; see `Task.closer`."""

    def add(self, batch: Batch, taps: Taps) -> None:
        """Adds the examples of a batch; those of weight 0 are left out."""

    def scores(self) -> Mapping[str, float]:
        """What has come of it, by a name among the task's `titles`."""


class Task(Protocol):
    """What the engine, methods and reports ask of a task, such as `Classification`.

    The names of metrics, of a network's answer and of an ensemble stand in tasks alone. Whoever logs, reports or
    watches them takes them from here.
    """

    @property
    def name(self) -> str:
        """Its key in `TASKS`."""

    @property
    def loss_name(self) -> str:
        """The name of the supervised loss among an update's terms, and of its metric among the scores."""

    @property
    def metric_names(self) -> Sequence[str]:
        """What `metrics` gives, in the order in which scores are told."""

    @property
    def training_metric_names(self) -> Sequence[str]:
        """What `training_metrics` gives."""

    @property
    def headline(self) -> str:
        """The metric that results, progress and the choice of a best epoch go by; more of it is better."""

    @property
    def rising(self) -> Sequence[str]:
        """The metrics of which more is better, `headline` among them; of every other score less is."""

    @property
    def titles(self) -> Mapping[str, str]:
        """What a table calls each metric, and what `closer` adds to them."""

    @property
    def picture_names(self) -> Sequence[str]:
        """What `pictures` gives; of a task whose answers nobody has to look at, nothing."""

    @property
    def output(self) -> str:
        """The tap that a network answers with; an ensemble gives it too."""

    @property
    def ensemble_name(self) -> str:
        """What several networks together are called in logs and results; empty where they make no ensemble."""

    def classes(self, network: keras.Model) -> int:
        """How many classes a network tells apart."""

    def check_outputs(self, network: keras.Model, role: str) -> None:
        """Refuses a network without the answer that the task needs.

        Args:
            network: functional, whose outputs are a dict of taps.
            role: "networks" or "teachers", which begins the message.

        Raises:
            ArgumentError: names the network, and what it gives instead.
        """

    def check_values(self, network: keras.Model, role: str) -> None:
        """Refuses a network whose answer is of the right shape and means something else; arguments as above.

        Raises:
            ValueError: names the network and the layer.
        """

    def check_alike(self, first: keras.Model, other: keras.Model, role: str, who: str) -> None:
        """Refuses networks that do not answer the same question.

        Args:
            first: a network.
            other: another one.
            role: as above.
            who: what the two are to each other, such as "peers".

        Raises:
            ArgumentError: names both.
        """

    def readied(self, batch: Batch, classes: int) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The batch with its labels as losses and metrics take them, and which of them are wrong, `[batch]`.

        Args:
            batch: with `"labels"` in any form that data sets give, and perhaps `"weight"`, `[batch]`, or `"labelled"`,
                `[batch]`: the label of an example that has none must not be read, nor be found wrong.
            classes: how many the networks tell apart.
        """

    def to_name(self, labels: tf.Tensor, classes: int) -> tf.Tensor:
        """The number by which a message names each label of a batch that `readied` finds wrong, `[batch]`.

        Args:
            labels: as they were given to `readied`.
            classes: how many the networks tell apart.
        """

    def require_labels(self, labels: Any, classes: int, place: str) -> None:
        """Refuses an array of labels of which one is wrong; what is no array is looked at in its batches.

        Args:
            labels: of all examples, as they were given.
            classes: how many the networks tell apart.
            place: what an entry is, for the message.

        Raises:
            ValueError: names the first, and its place.
        """

    def loss(self, batch: Batch, taps: Taps) -> tf.Tensor:
        """The supervised loss per example, `[batch]`, of a readied batch and one network's taps.

        Where some examples have no label it takes the labels by `taps.with_labels` and goes through `taps.on_labelled`.
        """

    def training_metrics(self, batch: Batch, taps: Taps) -> Mapping[str, tf.Tensor]:
        """What is worth watching on the training batch itself, each `[batch]`."""

    def metrics(self, batch: Batch, taps: Taps) -> Mapping[str, tf.Tensor]:
        """What is scored, each `[batch]`, the supervised loss among it; weights of examples are not in it.

        A score that is no mean over examples has `[batch, ...]`, whatever its `meter` takes.
        """

    def meter(self, metric: str, classes: int, name: str) -> keras.metrics.Metric:
        """What turns a metric's values of all examples of all replicas into its score.

        A mean, for most; where a score is of a whole set of examples and no mean over them, what the metric's values
        are is between `metrics` and this. It counts no example of `sample_weight` 0.

        Args:
            metric: one of `metric_names`.
            classes: how many the networks tell apart.
            name: of what is made.
        """

    def table_shapes(self, classes: int) -> Mapping[str, Sequence[int]]:
        """What `tables` gives, and of which shapes.

        Args:
            classes: how many the networks tell apart.
        """

    def tables(self, batch: Batch, taps: Taps) -> Mapping[str, tf.Tensor]:
        """What is counted by class beside the metrics, to be added up over batches."""

    def counted_by(self, meters: Mapping[str, keras.metrics.Metric]) -> Mapping[str, tf.Tensor]:
        """The tables that a network's meters have counted already.

        Args:
            meters: of `meter`, by metric.
        """

    def by_class(self, tables: Mapping[str, np.ndarray]) -> ByClass | None:
        """What the tables of one network say of each class; None where they say nothing.

        Args:
            tables: of `tables` and `counted_by`, over all batches.
        """

    def closer(self, classes: int) -> Closer | None:
        """What scores a network beside its metrics where time does not matter; None where there is nothing more to say.

        Args:
            classes: how many the network tells apart.
        """

    def chance(self, classes: int) -> float:
        """The headline of a network that guesses, whose images have as many of each class.

        Args:
            classes: how many there are.
        """

    def pictures(
        self, images: np.ndarray, batch: Batch, taps: Taps, class_names: Sequence[str]
    ) -> Mapping[str, Sequence[np.ndarray]]:
        """A few examples as pictures, the truth beside what a network answers.

        Args:
            images: as they were before normalisation, uint8 [batch, height, width, channels].
            batch: the same ones, readied.
            taps: one network's.
            class_names: one for each class.

        Returns:
            by name, a picture of each example, uint8 [height, width, 3] of any one size.
        """

    def ensemble(self, taps: Sequence[Taps]) -> Taps:
        """The answer of several networks together, from each one's taps: `{output: tensor}`."""

    def as_predicted(self, batch: Batch, taps: Taps) -> Batch:
        """The batch with the labels that a network predicts, in the form of those that it has."""

    def same_answers(self, taps: Taps, other: Taps) -> tf.Tensor:
        """Whether two networks give an example the same answer, 0 or 1, `[batch]`."""

    def shown(self, metric: str, value: float) -> str:
        """A score as tables have it, such as "93.10%"."""


def require_same_classes(task: Task, first: keras.Model, other: keras.Model, role: str, who: str) -> None:
    """Refuses networks that tell different numbers of classes apart; arguments as of `Task.check_alike`.

    Raises:
        ArgumentError: names both.
    """
    ours, theirs = task.classes(first), task.classes(other)
    if ours != theirs:
        raise ArgumentError(
            role, f"{first.name} tells {ours} classes apart, {other.name} {theirs}; {who} need the same"
        )
