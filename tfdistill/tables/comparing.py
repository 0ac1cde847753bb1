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
        None without a baseline, and where fewer than two seeds are common and scored on the same data.
    """
    if not others:
        return None
    seeds = _common(scores, others)
    baseline = {
        seed: statistics.fmean(_last(other[seed], other[seed].networks, metric) for other in others) for seed in seeds
    }
    own = {seed: _last(scores[seed], scores[seed].networks, metric) for seed in seeds}
    return paired_gain(own, baseline, larger_is_better=metric != "error")


def ensemble_gain(scores: Mapping[int, Scores], others: Sequence[Mapping[int, Scores]], metric: Metric) -> Gain | None:
    """The ensemble over the baseline's; None where that is several rows: networks trained alone have no ensemble."""
    if len(others) != 1:
        return None
    own, baseline = (
        {seed: _last(runs[seed], [ENSEMBLE], metric) for seed in _common(scores, others) if has_ensemble(runs[seed])}
        for runs in (scores, others[0])
    )
    return paired_gain(own, baseline, larger_is_better=metric != "error")


def _common(scores: Mapping[int, Scores], others: Sequence[Mapping[int, Scores]]) -> list[int]:
    """The seeds that all have, scored on the same data: a test figure is no match for one of held-out images."""
    return [
        seed
        for seed, one in scores.items()
        if all(seed in other and other[seed].scored_on == one.scored_on for other in others)
    ]


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
