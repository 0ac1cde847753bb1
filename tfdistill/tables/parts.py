"""What a row's finished runs gave: figures of each network, of their mean and of their ensemble, over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfdistill.tables.outcome import ENSEMBLE, Scores
from tfdistill.tables.paired import Measured, measured
from tfdistill.tables.table import Metric

# What a share keeps, so that runs and their record, which is rounded, give the same figures to the bit.
DIGITS = 6


@dataclass(frozen=True)
class CurvePoint:
    """The test figure after an epoch, over the seeds: in percent of the table's metric.

    Attributes:
        epoch: from 1.
        mean: over the seeds.
        least: the smallest of any seed.
        largest: the largest.
    """

    epoch: int
    mean: float
    least: float
    largest: float


@dataclass(frozen=True)
class PartSummary:
    """The figures of a network, of the mean of a row's networks, or of their ensemble; in percent of the metric.

    Attributes:
        name: "mean", "ensemble", or the network's, as the runs call it.
        last: after the last epoch.
        best: at the best of all scored epochs. The epoch is chosen on the data that are scored, as many papers do,
            and each network has its own, so this is optimistic.
        top5: after the last epoch; None where the task has none.
        training: on the last epoch's augmented training images; None for an ensemble, or where runs do not say.
        curve: every epoch that was scored in the runs of all seeds.
    """

    name: str
    last: Measured
    best: Measured
    top5: Measured | None = None
    training: Measured | None = None
    curve: tuple[CurvePoint, ...] = ()


def percent(share: float, metric: Metric) -> float:
    """A score in 0..1 as the table's figures have it: an error is what an accuracy lacks."""
    rounded = round(share, DIGITS)
    return 100 * (1 - rounded) if metric == "error" else 100 * rounded


def has_ensemble(scores: Scores) -> bool:
    """Whether a run has one that says something: that of one network is the network."""
    return len(scores.networks) > 1 and ENSEMBLE in scores.last


def parts_of(scores: Mapping[int, Scores], metric: Metric) -> dict[str, Any]:
    """The fields `networks`, `mean` and `ensemble` of a row whose runs gave these scores."""
    if not scores:
        return {}
    names = next(iter(scores.values())).networks
    together = all(has_ensemble(one) for one in scores.values())
    return {
        "networks": tuple(_part(name, [name], scores.values(), metric) for name in names),
        "mean": _part("mean", names, scores.values(), metric),
        "ensemble": _part(ENSEMBLE, [ENSEMBLE], scores.values(), metric) if together else None,
    }


def _part(name: str, networks: Sequence[str], scores: Collection[Scores], metric: Metric) -> PartSummary:
    """The figures of the mean of some networks."""

    def over_seeds(which: Callable[[Scores], Mapping[str, float]]) -> Measured | None:
        values = [_mean(which(one), networks, metric) for one in scores]
        there = [value for value in values if value is not None]
        return measured(there) if len(there) == len(values) else None

    last, best = over_seeds(lambda one: one.last), over_seeds(lambda one: one.best)
    assert last and best, "a finished run has both"
    return PartSummary(
        name=name,
        last=last,
        best=best,
        top5=over_seeds(lambda one: one.top5),
        training=over_seeds(lambda one: one.training),
        curve=_curve([dict(one.curve) for one in scores], networks, metric),
    )


def _mean(shares: Mapping[str, float], networks: Sequence[str], metric: Metric) -> float | None:
    """In percent; None where a network has no score."""
    if not all(name in shares for name in networks):
        return None
    return statistics.fmean(percent(shares[name], metric) for name in networks)


def _curve(
    curves: Sequence[Mapping[int, Mapping[str, float]]], networks: Sequence[str], metric: Metric
) -> tuple[CurvePoint, ...]:
    points = []
    for epoch in sorted(set.intersection(*(set(one) for one in curves))):
        values = [_mean(one[epoch], networks, metric) for one in curves]
        there = [value for value in values if value is not None]
        if len(there) == len(values):
            points.append(CurvePoint(epoch, statistics.fmean(there), min(there), max(there)))
    return tuple(points)
