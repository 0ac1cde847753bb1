"""What pictures draw beside a summary's means: each seed, the paper's mean, why a row has nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from tfdistill.tables.outcome import ENSEMBLE, Outcome
from tfdistill.tables.parts import has_ensemble, percent
from tfdistill.tables.summary import RowSummary, Summary
from tfdistill.tables.table import Axis, Figures, Metric


def single_seeds(outcomes: Iterable[Outcome], row: str, metric: Metric, *, ensemble: bool) -> list[float]:
    """A row's figure after the last epoch for each finished seed, ascending by seed, in percent of the metric.

    Args:
        outcomes: of the whole table.
        row: the row's name.
        metric: the table's.
        ensemble: that of the ensemble instead of the networks' mean; nothing where a run has none.
    """
    found = []
    for one in sorted(outcomes, key=lambda one: one.seed):
        if one.row != row or one.state != "finished" or one.scores is None:
            continue
        scores = one.scores
        names = scores.networks if not ensemble else (ENSEMBLE,) * has_ensemble(scores)
        if names:
            found.append(statistics.fmean(percent(scores.last[name], metric) for name in names))
    return found


def paper_mean(paper: Figures) -> float | None:
    """The paper's mean of the networks: as printed, or else of the figures that it prints for each."""
    return paper.mean if paper.mean is not None else average(paper.networks)


def average(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return statistics.fmean(values) if values else None


def shown_rows(summary: Summary) -> list[RowSummary]:
    """The rows to draw: those asked for, and where no row that can be run was left out, those that are not built."""
    whole = all(one.asked or one.row.needs for one in summary.rows.values())
    return [one for one in summary.rows.values() if one.asked or (whole and one.row.needs)]


def is_numeric(axis: Axis) -> bool:
    """Whether an axis's values are numbers, ∞ among them, rather than methods."""
    return bool(axis.values) or all(_is_number(label) for label in axis.labels)


def _is_number(label: str) -> bool:
    try:
        float(label.replace("∞", "inf").replace("−", "-"))
    except ValueError:
        return False
    return True


def why_empty(one: RowSummary) -> str:
    """Why a row without a finished run has none, in a word or two."""
    if one.row.needs:
        return "not built yet"
    states = one.states or {}
    return next((state for state in ("failed", "refused") if states.get(state)), "missing")
