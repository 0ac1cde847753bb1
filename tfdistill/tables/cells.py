"""Figures as the cells of a table have them: percent with two digits."""

from __future__ import annotations

from collections.abc import Sequence

from tfdistill.tables.paired import Gain, Measured

MISSING = "–"


def deviated(measured: Measured | None) -> str:
    """Such as "71.72 ± 0.25"; without the deviation for one seed."""
    return figure(measured.mean, measured.std) if measured else ""


def figure(value: float | None, std: float | None = None) -> str:
    """A figure with its deviation, if it has one; "" for none."""
    if value is None:
        return ""
    return f"{value:.2f}" if std is None else f"{value:.2f} ± {std:.2f}"


def gained(gain: Gain | None, n: int) -> str:
    """Such as "+1.20 ± 0.35", with n where only some of the row's `n` seeds are compared."""
    if gain is None:
        return ""
    few = f" (n = {gain.n})" if gain.n != n else ""
    return f"{gain.mean:+.2f} ± {gain.half_width:.2f}{few}"


def percents(values: Sequence[float], stds: Sequence[float] = ()) -> str:
    """Figures of several networks in one cell."""
    deviations = stds if len(stds) == len(values) else [None] * len(values)
    return " / ".join(figure(value, std) for value, std in zip(values, deviations, strict=True))
