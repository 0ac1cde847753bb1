"""Checks of what optimizers and their settings are given; each raises ValueError with one line."""

from __future__ import annotations

import math
from typing import Literal, get_args

from tfdistill.bounds import ArgumentError

Kind = Literal["sgd", "adam", "adamw"]
DecayOn = Literal["all", "matrices"]
Schedule = Literal["step", "cosine", "constant"]
KINDS, DECAY_ON, SCHEDULES = get_args(Kind), get_args(DecayOn), get_args(Schedule)


def require_momentum(momentum: float, nesterov: bool) -> None:
    if not 0 <= momentum < 1:
        raise ArgumentError("momentum", f"must be from 0 to below 1, got {momentum}")
    if nesterov and momentum == 0:
        raise ArgumentError("nesterov", "needs a momentum above 0, got momentum 0")


def require_adam(betas: tuple[float, float], epsilon: float) -> None:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ArgumentError("betas", f"must be two numbers from 0 to below 1, got {betas}")
    if not 0 < epsilon < math.inf:
        raise ArgumentError("epsilon", f"must be a finite number above 0, got {epsilon}")


def require_positive_integer(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ArgumentError(name, f"must be a whole number from 1, got {value!r}")
