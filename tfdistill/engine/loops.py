"""How `fit` and `evaluate` run the steps of a distiller, under every strategy.

Keras' own train and test functions fail with several replicas and several steps per execution, and under several
workers. They also run whole executions only: five steps an epoch at four per execution would be eight.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfdistill.engine.updates import Phase

Results = Callable[[], dict[str, tf.Tensor]]


def training(distiller: keras.Model, results_of: Callable[[Phase], Results]) -> Callable[[Any], dict[str, tf.Tensor]]:
    """A function that takes an execution's steps from an iterator, and no step more than the epoch has left.

    Args:
        distiller: says the phase, the steps per execution and the steps left; counts the steps trained.
        results_of: gives what gives the logs of a phase.
    """
    functions: dict[int, tuple[Callable, Results]] = {}
    taken = _host_counter()

    def train(iterator: Any) -> dict[str, tf.Tensor]:
        steps = distiller.steps_per_execution
        if distiller.steps_left is not None:
            steps = min(steps, distiller.steps_left)
        if distiller.phase_index not in functions:
            make = _steps_without_graph if distiller.run_eagerly else _steps_in_graph
            functions[distiller.phase_index] = make(distiller, taken), results_of(distiller.phase)
        run, results = functions[distiller.phase_index]
        try:
            run(iterator, tf.constant(steps))
        except (tf.errors.OutOfRangeError, StopIteration):
            # The steps before the end of the data have moved weights: they count. The next call finds nothing left.
            steps = int(taken.numpy())
            if steps == 0:
                raise
            _say_where_data_ended(distiller, steps)
        if distiller.steps_left is not None:
            distiller.steps_left -= steps
        distiller.steps_trained += steps
        distiller.optimizers.give(distiller.phase, steps)
        distiller.phases_trained.add(distiller.phase_index)
        logs = results()
        distiller.guard.executed(logs)
        return logs

    return train


def evaluation(
    distiller: keras.Model, step: Callable[[Any], Any], results: Results
) -> Callable[[Any], dict[str, tf.Tensor]]:
    """A function that takes the batches of one execution from an iterator, and stops where the data does.

    Args:
        distiller: says the steps per execution.
        step: scores a batch, in a replica.
        results: gives the logs.
    """

    def run(data: Any) -> None:
        distiller.distribute_strategy.run(step, args=(data,))

    if not distiller.run_eagerly:
        run = tf.function(run, autograph=False)

    def test(iterator: Any) -> dict[str, tf.Tensor]:
        for done in range(distiller.steps_per_execution):
            data = next(iterator, None)
            if data is None:
                if done == 0:
                    raise StopIteration
                break
            run(data)
        distiller.guard.scored()
        return results()

    return test


def _steps_in_graph(distiller: keras.Model, taken: tf.Variable) -> Callable[[Any, tf.Tensor], None]:
    def train(data: Any) -> None:
        with _after(data):
            distiller.train_step(data)

    # Without AutoGraph, which would wrap every error of a method in many lines.
    @tf.function(autograph=False)
    def run(iterator: Any, steps: tf.Tensor) -> None:
        def step(done: tf.Tensor) -> list[tf.Tensor]:
            data = iterator.get_next()
            # In the replicas and between them: what needs no batch, such as a count of steps, must not run without one.
            with _after(data):
                taken.assign_add(1)
                distiller.distribute_strategy.run(train, args=(data,))
            return [done + 1]

        taken.assign(0)  # whatever an execution that failed has left
        tf.while_loop(lambda done: done < steps, step, [tf.constant(0)], parallel_iterations=1)

    return run


def _steps_without_graph(distiller: keras.Model, taken: tf.Variable) -> Callable[[Any, tf.Tensor], None]:
    """As `_steps_in_graph`, one operation after another, as `run_eagerly` asks."""

    def run(iterator: Any, steps: tf.Tensor) -> None:
        taken.assign(0)
        for _ in range(int(steps)):
            data = next(iterator)
            taken.assign_add(1)
            distiller.distribute_strategy.run(distiller.train_step, args=(data,))

    return run


def _after(data: Any) -> contextlib.AbstractContextManager:
    return tf.control_dependencies(tf.nest.flatten(data, expand_composites=True))


def _host_counter() -> tf.Variable:
    """Counts the batches that an execution has taken, in main memory: reading it waits for no other device."""
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.Variable(0, trainable=False, dtype=tf.int64)


def _say_where_data_ended(distiller: keras.Model, steps: int) -> None:
    if distiller.steps_left is not None and steps < distiller.steps_left:
        warnings.warn(
            f"data: it ended {distiller.steps_left - steps} steps before the epoch did, at step "
            f"{distiller.steps_trained + steps}",
            stacklevel=2,
        )


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

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.model.guard.look()
        self.model.guard.look_at_variables(f"at step {self.model.steps_trained}, the end of epoch {epoch + 1}")
