"""A row beside its baselines: the gain over the seeds that both have, and what a step costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tfdistill.tables.outcome import ENSEMBLE, Scores
from tfdistill.tables.paired import Gain, paired_gain
from tfdistill.tables.parts import DIGITS, has_ensemble, percent
from tfdistill.tables.table import Metric


def gain(scores: Mapping[int, Scores], others: Sequence[Mapping[int, Scores]], metric: Metric) -> Gain | None:
    """The mean of the networks over the baseline's; where each network has a baseline, over the mean of these.

    Args:
        scores: by seed, of the row's finished runs.
        others: likewise, of each of its baselines.
        metric: the table's.

    Returns:
        None without a baseline, and where fewer than two seeds are common.
    """
    if not others:
        return None
    common = set.intersection(*(set(one) for one in others))
    baseline = {
        seed: statistics.fmean(_last(other[seed], other[seed].networks, metric) for other in others) for seed in common
    }
    own = {seed: _last(one, one.networks, metric) for seed, one in scores.items()}
    return paired_gain(own, baseline, larger_is_better=metric != "error")


def ensemble_gain(scores: Mapping[int, Scores], others: Sequence[Mapping[int, Scores]], metric: Metric) -> Gain | None:
    """The ensemble over the baseline's; None where that is several rows: networks trained alone have no ensemble."""
    if len(others) != 1:
        return None
    own, baseline = (
        {seed: _last(one, [ENSEMBLE], metric) for seed, one in runs.items() if has_ensemble(one)}
        for runs in (scores, others[0])
    )
    return paired_gain(own, baseline, larger_is_better=metric != "error")


def _last(scores: Scores, networks: Sequence[str], metric: Metric) -> float:
    return statistics.fmean(percent(scores.last[name], metric) for name in networks)


def step_seconds(scores: Mapping[int, Scores]) -> float | None:
    """The median time of a training step over the seeds; None where no run says it."""
    times = [round(one.step_seconds, DIGITS) for one in scores.values() if one.step_seconds is not None]
    return statistics.median(times) if times else None


def step_ratio(scores: Mapping[int, Scores], others: Sequence[Mapping[int, Scores]]) -> float | None:
    """The time of a step by the baseline's. Several baselines are trained one after the other: their times add up."""
    own, times = step_seconds(scores), [step_seconds(one) for one in others]
    known = [one for one in times if one is not None]
    return own / sum(known) if own is not None and known and len(known) == len(times) else None
