"""Checks of what optimizers and their settings are given; each raises ValueError with one line."""

from __future__ import annotations

import difflib
import math
from typing import Literal, get_args

Kind = Literal["sgd", "adam", "adamw"]
DecayOn = Literal["all", "matrices"]
Schedule = Literal["step", "cosine", "constant"]
KINDS, DECAY_ON, SCHEDULES = get_args(Kind), get_args(DecayOn), get_args(Schedule)


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def require_momentum(momentum: float, nesterov: bool) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be from 0 to below 1, got {momentum}")
    if nesterov and momentum == 0:
        raise ValueError("nesterov needs a momentum above 0, got momentum 0")


def require_adam(betas: tuple[float, float], epsilon: float) -> None:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be a finite number above 0, got {epsilon}")


def require_positive_integer(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
