"""When a run's epochs begin, end and are scored, in training steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stretch:
    """What one call of `fit` trains: the rest of a begun epoch, whole epochs, or the beginning of a last one.

    Attributes:
        first_epoch: from 0.
        steps_per_epoch: steps of each of its epochs.
        epochs: how many.
    """

    first_epoch: int
    steps_per_epoch: int
    epochs: int

    @property
    def end_epoch(self) -> int:
        """The epoch behind its last one, from 0."""
        return self.first_epoch + self.epochs


@dataclass(frozen=True)
class Timetable:
    """The epochs of a run, whose schedules and ramps span all of them however early it stops.

    Args:
        steps_per_epoch: of every epoch.
        epochs: of the run.
        stop: a step to stop at, whatever the epochs; 0 for none.
        evaluate_every: epochs between two that are scored.
    """

    steps_per_epoch: int
    epochs: int
    stop: int = 0
    evaluate_every: int = 1

    @property
    def planned_steps(self) -> int:
        """Steps of all epochs."""
        return self.steps_per_epoch * self.epochs

    @property
    def total_steps(self) -> int:
        """Steps that are trained."""
        return min(self.stop or self.planned_steps, self.planned_steps)

    @property
    def cut_off_at(self) -> int | None:
        """The step that the training stops at, where that is within an epoch."""
        return self.total_steps if self.is_within_epoch(self.total_steps) else None

    @property
    def scored_epochs(self) -> list[int]:
        """Every so many epochs, and the last that is trained, from 1."""
        last = self.epochs_begun(self.total_steps)
        return [epoch for epoch in range(1, last + 1) if epoch % self.evaluate_every == 0 or epoch == last]

    def epochs_begun(self, step: int) -> int:
        """Epochs that the first `step` steps belong to."""
        return math.ceil(step / self.steps_per_epoch)

    def is_within_epoch(self, step: int) -> bool:
        """Whether an epoch has begun and is not over after `step` steps."""
        return step % self.steps_per_epoch != 0

    def stretches(self, step: int) -> Iterator[Stretch]:
        """What is left to train after `step` steps, a call of `fit` each."""
        while step < self.total_steps:
            epoch, done = divmod(step, self.steps_per_epoch)
            left = self.total_steps - step
            if done or left < self.steps_per_epoch:
                stretch = Stretch(epoch, min(left, self.steps_per_epoch - done), 1)
            else:
                stretch = Stretch(epoch, self.steps_per_epoch, left // self.steps_per_epoch)
            yield stretch
            step += stretch.steps_per_epoch * stretch.epochs

    def unrecorded_epoch(self, step: int, rows: Sequence[Mapping[str, Any]]) -> int:
        """The epoch, from 1, that is over after `step` steps and has no row yet; 0 where there is none.

        Args:
            step: steps trained.
            rows: the record of the epochs.
        """
        over = step > 0 and (not self.is_within_epoch(step) or step == self.total_steps)
        epoch = self.epochs_begun(step)
        return epoch if over and not (rows and rows[-1]["epoch"] == epoch) else 0
