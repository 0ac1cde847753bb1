"""Optimizers and ways to train as plain values, and the papers' own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import keras

from tfdistill.optimizers.checks import (
    DECAY_ON,
    KINDS,
    SCHEDULES,
    require_adam,
    require_choice,
    require_momentum,
    require_positive_integer,
)
from tfdistill.optimizers.rules import SGD, Adam
from tfdistill.optimizers.schedules import LearningRate, MultiStep, cosine


@dataclass(frozen=True)
class OptimizerSettings:
    """Everything that describes an optimizer and its schedule, counted in epochs.

    Args:
        kind: "sgd" or "adam".
        learning_rate: the highest rate, above 0.
        momentum: of SGD, 0 to below 1.
        nesterov: of SGD; needs momentum.
        weight_decay: coupled L2 coefficient, from 0.
        decay_on: "all" variables, or "matrices" (those with more than one dimension).
        schedule: "step" (times `factor` at each milestone), "cosine" (down to 0 at the run's end) or
            "constant".
        milestones: of "step": ascending 0-based epochs, above 0, at whose start the new rate holds. A
            fraction of an epoch is allowed.
        factor: of "step", above 0.
        warmup_epochs: of "cosine": length of a linear rise from 0, in epochs, from 0.
        betas: of Adam, each 0 to below 1.
        epsilon: of Adam, above 0.

    Raises:
        ValueError: if a value is out of range, or belongs to another schedule.
    """

    kind: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_on: str = "all"
    schedule: str = "constant"
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_epochs: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS)
        require_choice("decay_on", self.decay_on, DECAY_ON)
        require_choice("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number from 0, got {getattr(self, name)}")
        require_momentum(self.momentum, self.nesterov)
        require_adam(self.betas, self.epsilon)
        self._require_schedule()

    def _require_schedule(self) -> None:
        if not all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise ValueError(f"milestones must be ascending epochs above 0, got {self.milestones}")
        if bool(self.milestones) != (self.schedule == "step"):
            raise ValueError(
                f"milestones must be given for schedule 'step' and for no other, got {self.milestones} for "
                f"{self.schedule!r}"
            )
        if self.warmup_epochs and self.schedule != "cosine":
            raise ValueError(f"warmup_epochs needs schedule 'cosine', got schedule {self.schedule!r}")


@dataclass(frozen=True)
class Protocol:
    """A paper's way to train: an optimizer, a length and a batch size.

    Args:
        settings: the optimizer and its schedule.
        epochs: length of the run the milestones belong to, at least 1.
        batch_size: examples per step over all replicas, at least 1.
        source: where the numbers come from.

    Raises:
        ValueError: if `epochs` or `batch_size` is below 1.
    """

    settings: OptimizerSettings
    epochs: int
    batch_size: int
    source: str

    def __post_init__(self) -> None:
        require_positive_integer("epochs", self.epochs)
        require_positive_integer("batch_size", self.batch_size)

    def scaled(self, epochs: int) -> Protocol:
        """Return this protocol for a run of another length.

        Milestones and warm-up stay at the same fractions of the run. A milestone may fall inside an epoch
        then: drops at 80 and 120 of 160 epochs become 1 and 1.5 of 2.

        Args:
            epochs: the new length, at least 1.

        Returns:
            The scaled protocol; learning rate, decay and batch size stay.

        Raises:
            ValueError: if `epochs` is below 1.
        """
        require_positive_integer("epochs", epochs)
        settings = replace(
            self.settings,
            milestones=tuple(milestone * epochs / self.epochs for milestone in self.settings.milestones),
            warmup_epochs=self.settings.warmup_epochs * epochs / self.epochs,
        )
        return replace(self, settings=settings, epochs=epochs)


PROTOCOLS = {
    "ie_cifar": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=5e-4, schedule="step", milestones=(80, 120)),
        epochs=160,
        batch_size=128,
        source="Huang et al., Revisiting Knowledge Distillation, section 4.1; weight decay: their code",
    ),
    "dml_original": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=5e-4, schedule="step", milestones=(60, 120, 180)),
        epochs=200,
        batch_size=64,
        source="Zhang et al., Deep Mutual Learning, CIFAR-100; weight decay: the code of Huang et al.",
    ),
}


def build(
    settings: OptimizerSettings, *, steps_per_epoch: int, epochs: int, name: str | None = None
) -> keras.optimizers.Optimizer:
    """Make the optimizer that the settings describe.

    Args:
        settings: kind, rates and schedule. A milestone at or after `epochs` is never reached; see
            `Protocol.scaled`.
        steps_per_epoch: optimizer steps in an epoch, at least 1.
        epochs: length of the run, at least 1; "cosine" ends there.
        name: the optimizer's name.

    Returns:
        An optimizer without variables: call its `build` on the variables it moves, under the strategy's
        scope, before the first step. Its schedule counts the steps of this optimizer.

    Raises:
        ValueError: if `steps_per_epoch` or `epochs` is below 1, or the warm-up fills the run.
    """
    require_positive_integer("steps_per_epoch", steps_per_epoch)
    require_positive_integer("epochs", epochs)
    rate = _learning_rate(settings, steps_per_epoch, epochs)
    if settings.kind == "sgd":
        return SGD(rate, settings.momentum, settings.nesterov, settings.weight_decay, settings.decay_on, name=name)
    return Adam(rate, *settings.betas, settings.epsilon, settings.weight_decay, settings.decay_on, name=name)


def _learning_rate(settings: OptimizerSettings, steps_per_epoch: int, epochs: int) -> LearningRate:
    """Return the settings' rate, its epochs turned into steps."""
    if settings.schedule == "constant":
        return float(settings.learning_rate)
    if settings.schedule == "cosine":
        warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
        return cosine(settings.learning_rate, epochs * steps_per_epoch, warmup_steps)
    milestones = [max(1, round(milestone * steps_per_epoch)) for milestone in settings.milestones]
    return MultiStep(settings.learning_rate, milestones, settings.factor)
