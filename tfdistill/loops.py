"""How `fit` and `evaluate` run the steps of a distiller, under every strategy.

Keras' own train and test functions fail with several replicas and several steps per execution, and under several
workers. They also run whole executions only: five steps an epoch at four per execution would be eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Results = Callable[[], dict[str, tf.Tensor]]


def training(distiller: keras.Model, results: Results) -> Callable[[Any], dict[str, tf.Tensor]]:
    """A function that takes an execution's steps from an iterator, and no step more than the epoch has left.

    Args:
        distiller: says the phase, the steps per execution and the steps left; counts the steps trained.
        results: gives the logs.
    """
    functions: dict[int, Callable] = {}

    def train(iterator: Any) -> dict[str, tf.Tensor]:
        steps = distiller.steps_per_execution
        if distiller.steps_left is not None:
            steps = min(steps, distiller.steps_left)
            distiller.steps_left -= steps
        if distiller.phase_index not in functions:
            functions[distiller.phase_index] = _steps_in_graph(distiller)
        functions[distiller.phase_index](iterator, tf.constant(steps))
        distiller.steps_trained += steps
        return results()

    return train


def evaluation(distiller: keras.Model, results: Results) -> Callable[[Any], dict[str, tf.Tensor]]:
    """A function that takes the batches of one execution from an iterator, and stops where the data does."""

    @tf.function(autograph=False)
    def run(data: Any) -> None:
        distiller.distribute_strategy.run(distiller.test_step, args=(data,))

    def test(iterator: Any) -> dict[str, tf.Tensor]:
        for done in range(distiller.steps_per_execution):
            data = next(iterator, None)
            if data is None:
                if done == 0:
                    raise StopIteration
                break
            run(data)
        return results()

    return test


def _steps_in_graph(distiller: keras.Model) -> Callable[[Any, tf.Tensor], None]:
    # Without AutoGraph, which would wrap every error of a method in many lines.
    @tf.function(autograph=False)
    def run(iterator: Any, steps: tf.Tensor) -> None:
        def step(done: tf.Tensor) -> tf.Tensor:
            distiller.distribute_strategy.run(distiller.train_step, args=(iterator.get_next(),))
            return done + 1

        tf.while_loop(lambda done: done < steps, step, [tf.constant(0)], parallel_iterations=1)

    return run


class EpochClock(keras.callbacks.Callback):
    """Tells the distiller which epoch begins and how many steps it has.

    Args:
        steps: of an epoch; `None` where only the data knows.
    """

    def __init__(self, steps: int | None) -> None:
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.model.start_epoch(epoch, self.steps)


def steps_in(x: Any, y: Any, batch_size: int | None, share: float) -> int | None:
    """How many steps an epoch of `fit(x, y)` has; `None` where only the data knows.

    Args:
        x: a `tf.data.Dataset`, or an array of examples.
        y: labels, with an array.
        batch_size: of `fit`, with an array.
        share: of the examples that training keeps from `validation_split`.
    """
    if isinstance(x, tf.data.Dataset):
        cardinality = int(x.cardinality())
        return cardinality if cardinality > 0 else None
    if hasattr(x, "shape") and y is not None:
        return math.ceil(math.floor(len(x) * share) / (batch_size or 32))
    return None


def as_batch(data: Any) -> dict[str, tf.Tensor]:
    """A batch as a dict of `images`, `labels` and, if given, `weight`, from a dict or from Keras' tuples.

    Raises:
        ValueError: neither a dict with `images` and `labels` nor a tuple of two or three tensors.
    """
    if isinstance(data, Mapping) and {"images", "labels"} <= set(data):
        return dict(data)
    if isinstance(data, tuple) and len(data) in (2, 3):
        return dict(zip(("images", "labels", "weight"), data, strict=False))
    raise ValueError("data: a batch must be a dict with 'images' and 'labels', or a tuple (images, labels[, weight])")
