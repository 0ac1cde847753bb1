"""Scores of networks, or of a SavedModel, on a split of a data set: every example once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data
from tfdistill.columns import aligned
from tfdistill.export import load_export
from tfdistill.taps import Batch, Taps
from tfdistill.tasks import TASKS, Task

# What a SavedModel takes: pixels in 0..255, normalised by itself.
RAW = data.NORMALIZATIONS["raw"]


@dataclass(frozen=True, eq=False)
class Scorer:
    """Something that turns images into a task's answers, and what images it takes.

    Attributes:
        forward: images [batch, height, width, channels] to taps, the task's answer among them, per network.
        image_shape: (height, width, channels).
        classes: how many it tells apart.
        normalization: of the images it takes.
        task: what its answers are.
    """

    forward: Callable[[tf.Tensor], dict[str, Taps]]
    image_shape: tuple[int, int, int]
    classes: int
    normalization: data.Normalization
    task: Task

    def require_fitting(self, dataset: data.Dataset) -> None:
        """Refuses a data set of other images or of another number of classes.

        Raises:
            ValueError: says what differs.
        """
        if dataset.image_shape != self.image_shape:
            images, taken = (_product(shape) for shape in (dataset.image_shape, self.image_shape))
            raise ValueError(f"dataset: {dataset.name} has images of {images}, the network takes {taken}")
        if dataset.task != self.task.name:
            raise ValueError(f"dataset: {dataset.name} is for {dataset.task}, the network for {self.task.name}")
        if len(dataset.class_names) != self.classes:
            classes = len(dataset.class_names)
            raise ValueError(f"dataset: {dataset.name} has {classes} classes, the network tells {self.classes} apart")


def scorer_of_networks(networks: Sequence[keras.Model], normalization: data.Normalization, task: Task) -> Scorer:
    """A scorer of networks of ours, which share their input shape and classes."""

    def forward(images: tf.Tensor) -> dict[str, Taps]:
        return {network.name: network(images, training=False) for network in networks}

    first = networks[0]
    compiled = tf.function(forward, autograph=False)
    return Scorer(compiled, tuple(first.input_shape[1:]), task.classes(first), normalization, task)


def scorer_of_saved_model(path: Path, name: str) -> Scorer:
    """A scorer of an exported network, called `name`.

    Raises:
        ValueError: `path` is no SavedModel and holds none, or it takes no images of one size.
    """
    loaded = load_export(path)

    def forward(images: tf.Tensor) -> dict[str, Taps]:
        return {name: {output: tf.constant(value) for output, value in loaded(images).items()}}

    return Scorer(forward, loaded.image_shape, loaded.classes, RAW, TASKS[loaded.task]())


def scores(scorer: Scorer, split: data.Split, batch_size: int) -> dict[str, dict[str, float]]:
    """The task's metrics of each network and, where several make one, of their ensemble.

    Args:
        scorer: of the networks.
        split: the examples; each counts once, whatever the batch size.
        batch_size: examples per batch, 1 or more.

    Returns:
        Per network the score of each metric over the examples, and what the task scores more closely (`Task.closer`).
    """
    return scores_and_tables(scorer, split, batch_size)[0]


def scores_and_tables(
    scorer: Scorer, split: data.Split, batch_size: int
) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """`scores`, and the task's tables over the same examples, whole numbers, by `<network>/<table>`."""
    task = scorer.task
    counts: dict[str, _Counted] = {}
    for batch in data.evaluation_batches(split, batch_size=batch_size, normalization=scorer.normalization):
        batch = task.readied(batch, scorer.classes)[0]
        taps: dict[str, Taps] = dict(scorer.forward(batch["images"]))
        if len(taps) > 1 and task.ensemble_name and task.ensemble_name not in taps:
            taps[task.ensemble_name] = task.ensemble(list(taps.values()))
        for name, outputs in taps.items():
            counts.setdefault(name, _Counted(task, scorer.classes)).add(batch, outputs)
    tables = {f"{name}/{table}": whole for name, one in counts.items() for table, whole in one.tables().items()}
    return {name: one.scores(len(split)) for name, one in counts.items()}, tables


class _Counted:
    """What is counted of one network: means in float64, and meters where a score is no mean."""

    def __init__(self, task: Task, classes: int) -> None:
        self.task, self._closer = task, task.closer(classes)
        meters = {name: task.meter(name, classes, name) for name in task.metric_names}
        self._meters = {name: meter for name, meter in meters.items() if type(meter) is not keras.metrics.Mean}
        self._sums = {name: 0.0 for name in meters if name not in self._meters}
        self._scored: set[str] = set()
        self._tables: dict[str, np.ndarray] = {}

    def add(self, batch: Batch, taps: Taps) -> None:
        for name, values in self.task.metrics(batch, taps).items():
            self._scored.add(name)
            if name in self._sums:
                self._sums[name] += float(tf.reduce_sum(tf.cast(values * batch["weight"], tf.float64)))
            else:
                self._meters[name].update_state(values, sample_weight=batch["weight"])
        for name, counts in self.task.tables(batch, taps).items():
            self._tables[name] = self._tables.get(name, 0) + counts.numpy().astype(np.int64)
        if self._closer:
            self._closer.add(batch, taps)

    def scores(self, examples: int) -> dict[str, float]:
        means = {name: total / examples for name, total in self._sums.items()}
        others = {name: float(meter.result()) for name, meter in self._meters.items()}
        closer = self._closer.scores() if self._closer else {}
        scored = [name for name in self.task.metric_names if name in self._scored]
        return {name: {**means, **others}[name] for name in scored} | dict(closer)

    def tables(self) -> dict[str, np.ndarray]:
        counted = self.task.counted_by(self._meters)
        return {**self._tables, **{name: table.numpy().astype(np.int64) for name, table in counted.items()}}


def table(found: Mapping[str, Mapping[str, Any]], task: Task) -> str:
    """Scores as the terminal shows them, a line per network.

    Args:
        found: of `scores`.
        task: whose they are.
    """
    metrics = [name for name in task.titles if all(name in row for row in found.values())]
    rows = [["network", *(task.titles[metric] for metric in metrics)]]
    rows += [[name, *(task.shown(metric, row[metric]) for metric in metrics)] for name, row in found.items()]
    return "\n".join(aligned(rows, right=range(1, len(rows[0]))))


def _product(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
