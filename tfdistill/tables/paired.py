"""Means over seeds, and the difference of two rows by the seeds that both have."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measured:
    """A figure over seeds.

    Attributes:
        mean: of the seeds.
        std: the sample deviation, by n − 1; None for one seed.
        n: how many seeds.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Gain:
    """By how much a row is better than its baseline, over the seeds that both have.

    Attributes:
        mean: of the differences, in percentage points; positive where the row is better, whatever the metric.
        half_width: of the 95 % interval around the mean, by Student's t with n − 1 degrees of freedom.
        n: how many seeds are common, 2 or more.
    """

    mean: float
    half_width: float
    n: int


def measured(values: Sequence[float]) -> Measured:
    """The mean and deviation of one value or more."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Measured(statistics.fmean(values), std, len(values))


def paired_gain(own: Mapping[int, float], baseline: Mapping[int, float], larger_is_better: bool = True) -> Gain | None:
    """The mean difference of two rows, and its interval.

    Args:
        own: the row's figure by seed.
        baseline: the other's.
        larger_is_better: False for an error.

    Returns:
        None where fewer than two seeds are common.
    """
    sign = 1 if larger_is_better else -1
    differences = [sign * (own[seed] - baseline[seed]) for seed in sorted(own.keys() & baseline.keys())]
    n = len(differences)
    if n < 2:
        return None
    quantile = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Gain(statistics.fmean(differences), quantile * statistics.stdev(differences) / math.sqrt(n), n)
