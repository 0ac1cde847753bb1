"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class MultiStep(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply the learning rate by a factor at each of some steps.

    `rate(step) = learning_rate * factor ** (number of milestones <= step)`: the step whose 0-based number is
    a milestone already runs at the new rate.

    Args:
        learning_rate: the rate before the first milestone.
        milestones: 0-based step numbers, ascending; a number given twice counts twice.
        factor: what each milestone multiplies the rate by.

    Raises:
        ValueError: if the milestones are not ascending.
    """

    def __init__(self, learning_rate: float, milestones: Sequence[int], factor: float = 0.1):
        if list(milestones) != sorted(milestones):
            raise ArgumentError("milestones", f"must be ascending, got {tuple(milestones)}")
        self.learning_rate = learning_rate
        self.milestones = tuple(milestones)
        self.factor = factor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the float32 rate of the step with this 0-based number."""
        rates = [self.learning_rate * self.factor**passed for passed in range(len(self.milestones) + 1)]
        milestones = tf.constant(self.milestones, tf.int64, shape=[len(self.milestones)])
        passed = tf.reduce_sum(tf.cast(milestones <= tf.cast(step, tf.int64), tf.int32))
        return tf.gather(tf.constant(rates, tf.float32), passed)

    def drops_at(self, step: tf.Tensor) -> tf.Tensor:
        """Return whether the step with this 0-based number is a milestone."""
        milestones = tf.constant(self.milestones, tf.int64, shape=[len(self.milestones)])
        return tf.reduce_any(milestones == tf.cast(step, tf.int64))

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "milestones": list(self.milestones),
            "factor": self.factor,
        }


class Later(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule some steps on: `rate(step) = schedule(step + steps)`.

    Args:
        schedule: the one to be moved.
        steps: by how many.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the rate of the step with this 0-based number."""
        return self.schedule(tf.cast(tf.convert_to_tensor(step), tf.int64) + self.steps)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict) -> Later:
        """Return the schedule that `get_config` describes."""
        schedule = keras.optimizers.schedules.deserialize(config["schedule"], {"MultiStep": MultiStep})
        return cls(schedule, config["steps"])


def later(
    schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule as it is `steps` on (or, below 0, before its beginning, where that schedule allows it)."""
    if steps == 0:
        return schedule
    if isinstance(schedule, MultiStep):
        # Milestones that lie behind count as passed: every rate stays what it was, to the bit.
        return MultiStep(schedule.learning_rate, [one - steps for one in schedule.milestones], schedule.factor)
    return Later(schedule, steps)


def cosine(learning_rate: float, steps: int, warmup_steps: int = 0) -> keras.optimizers.schedules.CosineDecay:
    """Let the learning rate fall to 0 along half a cosine, after an optional linear rise from 0.

    `rate(step) = learning_rate * step / warmup_steps` before `warmup_steps`, and from there
    `learning_rate * (1 + cos(pi * (step - warmup_steps) / (steps - warmup_steps))) / 2`.

    Args:
        learning_rate: the highest rate.
        steps: length of the whole run, warm-up included.
        warmup_steps: length of the rise, from 0 (none) to below `steps`.

    Returns:
        Keras' own schedule.

    Raises:
        ValueError: if the warm-up leaves no step for the fall.
    """
    if not 0 <= warmup_steps < steps:
        raise ArgumentError("warmup_steps", f"must be from 0 to below the run's {steps} steps, got {warmup_steps}")
    learning_rate = float(learning_rate)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=learning_rate, warmup_steps=warmup_steps
    )
