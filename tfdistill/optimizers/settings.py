"""Optimizers and their schedules as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tfdistill.bounds import ArgumentError, require_one_of
from tfdistill.optimizers.checks import (
    DECAY_ON,
    KINDS,
    SCHEDULES,
    DecayOn,
    Kind,
    Schedule,
    require_adam,
    require_momentum,
)


@dataclass(frozen=True)
class OptimizerSettings:
    """Everything that describes an optimizer and its schedule, counted in epochs.

    Args:
        kind: "sgd", "adam" or "adamw".
        learning_rate: the highest rate, above 0.
        momentum: of SGD, 0 to below 1.
        nesterov: of SGD; needs momentum.
        weight_decay: from 0: L2 coefficient in the gradient; with "adamw" decoupled, the share of a weight that a
            step of rate 1 takes away.
        decay_on: "all" variables, or "matrices" (those with more than one dimension).
        schedule: "step" (times `factor` at each milestone), "cosine" (down to 0 at the run's end) or
            "constant".
        milestones: of "step": ascending 0-based epochs, above 0, at whose start the new rate holds. A
            fraction of an epoch is allowed.
        factor: of "step", above 0.
        warmup_epochs: of "cosine": length of a linear rise from 0, in epochs, from 0.
        betas: of Adam and AdamW, each 0 to below 1.
        epsilon: of Adam and AdamW, above 0.
        restart_momentum: of SGD and "step": whether momentum starts anew at each milestone.
        clip_norm: largest global norm of an update's gradient, from 0; 0: no limit.
        span: epochs of the training that milestones and warm-up are meant for, from 0: in one of another length they
            stay at their shares of it, see `over`. 0: they are epochs of whatever training there is.

    Raises:
        ValueError: if a value is out of range, or belongs to another schedule.
    """

    kind: Kind = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_on: DecayOn = "all"
    schedule: Schedule = "constant"
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_epochs: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    restart_momentum: bool = False
    clip_norm: float = 0.0
    span: float = 0.0

    def __post_init__(self) -> None:
        require_one_of("kind", self.kind, KINDS)
        require_one_of("decay_on", self.decay_on, DECAY_ON)
        require_one_of("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ArgumentError(name, f"must be a finite number above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs", "clip_norm", "span"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(name, f"must be a finite number from 0, got {getattr(self, name)}")
        require_momentum(self.momentum, self.nesterov)
        require_adam(self.betas, self.epsilon)
        self._require_schedule()

    def stretched(self, by: float) -> OptimizerSettings:
        """The same settings for a run `by` times as long: milestones and warm-up stay at their shares of it."""
        return replace(
            self,
            milestones=tuple(milestone * by for milestone in self.milestones),
            warmup_epochs=self.warmup_epochs * by,
        )

    def over(self, epochs: float) -> OptimizerSettings:
        """The settings as a training of so many epochs has them: stretched, where they are meant for another."""
        return replace(self.stretched(epochs / self.span), span=0.0) if self.span else self

    def without_drops(self) -> OptimizerSettings:
        """The settings without milestones: of "step" the first rate, for good."""
        return replace(self, schedule="constant", milestones=()) if self.schedule == "step" else self

    def of_kind(self, kind: str) -> OptimizerSettings:
        """The same schedule for an optimizer of `kind`; of another than these settings', at `DEFAULTS`.

        A rate or decay that suits one optimizer does not suit another, so neither is taken over.
        """
        if kind == self.kind:
            return self
        return replace(
            DEFAULTS[kind],
            decay_on=self.decay_on,
            schedule=self.schedule,
            milestones=self.milestones,
            factor=self.factor,
            warmup_epochs=self.warmup_epochs,
            clip_norm=self.clip_norm,
            span=self.span,
        )

    def _require_schedule(self) -> None:
        if not all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise ArgumentError("milestones", f"must be ascending epochs above 0, got {self.milestones}")
        if bool(self.milestones) != (self.schedule == "step"):
            raise ArgumentError(
                "milestones",
                f"must be given for schedule 'step' and for no other, got {self.milestones} for {self.schedule!r}",
            )
        if self.warmup_epochs and self.schedule != "cosine":
            raise ArgumentError("warmup_epochs", f"needs schedule 'cosine', got schedule {self.schedule!r}")


# Of PyTorch, but for SGD, whose rate nobody leaves at PyTorch's.
DEFAULTS: dict[str, OptimizerSettings] = {
    "sgd": OptimizerSettings(),
    "adam": OptimizerSettings("adam", 0.001),
    "adamw": OptimizerSettings("adamw", 0.001, weight_decay=0.01),
}
