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
from tfdistill.export import load_for_scoring
from tfdistill.taps import Taps
from tfdistill.tasks import Classification

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
    """

    forward: Callable[[tf.Tensor], dict[str, Taps]]
    image_shape: tuple[int, int, int]
    classes: int
    normalization: data.Normalization

    def require_fitting(self, dataset: data.Dataset) -> None:
        """Refuses a data set of other images or of another number of classes.

        Raises:
            ValueError: says what differs.
        """
        if dataset.image_shape != self.image_shape:
            images, taken = (_product(shape) for shape in (dataset.image_shape, self.image_shape))
            raise ValueError(f"dataset: {dataset.name} has images of {images}, the network takes {taken}")
        if len(dataset.class_names) != self.classes:
            classes = len(dataset.class_names)
            raise ValueError(f"dataset: {dataset.name} has {classes} classes, the network tells {self.classes} apart")


def scorer_of_networks(networks: Sequence[keras.Model], normalization: data.Normalization) -> Scorer:
    """A scorer of networks of ours, which share their input shape and classes."""

    def forward(images: tf.Tensor) -> dict[str, Taps]:
        return {network.name: network(images, training=False) for network in networks}

    first = networks[0]
    compiled = tf.function(forward, autograph=False)
    return Scorer(compiled, tuple(first.input_shape[1:]), Classification().classes(first), normalization)


def scorer_of_saved_model(path: Path, name: str) -> Scorer:
    """A scorer of an exported network, called `name`.

    Raises:
        ValueError: `path` is no SavedModel and holds none, or it takes no images of one size.
    """
    score = load_for_scoring(path)
    output = Classification().output
    signature = score.saved_model.signatures["serving_default"]  # type: ignore[attr-defined]
    shape = signature.structured_input_signature[1]["images"].shape
    answer = signature.structured_outputs[output].shape
    if shape.rank != 4 or None in shape[1:] or answer.rank != 2 or answer[1] is None:
        raise ValueError(f"{path} does not take images of one size, or gives no {output} [batch, classes]")
    return Scorer(lambda images: {name: {output: tf.constant(score(images))}}, tuple(shape[1:]), answer[1], RAW)


def scores(scorer: Scorer, split: data.Split, batch_size: int) -> dict[str, dict[str, float]]:
    """Top-1, top-5 and cross-entropy of each network and, where there are several, of their ensemble.

    Args:
        scorer: of the networks.
        split: the examples; each counts once, whatever the batch size.
        batch_size: examples per batch, 1 or more.

    Returns:
        Per network the mean of each metric over the examples.
    """
    return scores_and_tables(scorer, split, batch_size)[0]


def scores_and_tables(
    scorer: Scorer, split: data.Split, batch_size: int
) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """`scores`, and the task's tables over the same examples: int64 [classes, classes] by `<network>/<table>`."""
    task = Classification()
    sums: dict[str, dict[str, float]] = {}
    tables: dict[str, np.ndarray] = {}
    for batch in data.evaluation_batches(split, batch_size=batch_size, normalization=scorer.normalization):
        taps: dict[str, Taps] = dict(scorer.forward(batch["images"]))
        if len(taps) > 1 and task.ensemble_name and task.ensemble_name not in taps:
            taps[task.ensemble_name] = task.ensemble(list(taps.values()))
        for name, outputs in taps.items():
            added = sums.setdefault(name, dict.fromkeys(task.metric_names, 0.0))
            for metric, values in task.metrics(batch, outputs).items():
                added[metric] += float(tf.reduce_sum(tf.cast(values * batch["weight"], tf.float64)))
            for key, counts in task.tables(batch, outputs).items():
                whole = counts.numpy().astype(np.int64)
                tables[f"{name}/{key}"] = tables.get(f"{name}/{key}", 0) + whole
    means = {name: {metric: total / len(split) for metric, total in row.items()} for name, row in sums.items()}
    return means, tables


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores as the terminal shows them, a line per network."""
    task = Classification()
    rows = [["network", *(task.titles[metric] for metric in task.metric_names)]]
    rows += [[name, *(task.shown(metric, row[metric]) for metric in task.metric_names)] for name, row in found.items()]
    return "\n".join(aligned(rows, right=range(1, len(rows[0]))))


def _product(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
