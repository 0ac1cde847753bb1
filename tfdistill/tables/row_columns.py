"""The columns of a table's rows: what is read of each row, and what a heading means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfdistill.tables.cells import MISSING, deviated, figure, gained, percents
from tfdistill.tables.paired import Measured
from tfdistill.tables.parts import PartSummary
from tfdistill.tables.summary import RowSummary, Summary

NOUNS = {"accuracy": "accuracy in percent", "error": "error in percent", "mAP": "mean average precision in percent"}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: above it.
        cell: what it has of a row.
        legend: a line below the table; empty where the heading says it all.
    """

    heading: str
    cell: Callable[[RowSummary], str]
    legend: str = ""


def columns_of(summary: Summary, rows: Sequence[RowSummary]) -> Iterable[Column]:
    """Every column that a table of these rows may have, from left to right."""
    most = max((len(row.networks) or len(row.row.paper.networks) for row in rows), default=0)
    several = any(not row.one_kind or len(row.row.paper.networks) > 1 for row in rows)
    yield Column("n", _count)
    if most > 1 and several:
        for index in range(most):
            yield Column(f"network {index + 1}", functools.partial(_network, index))
    yield Column("mean" if most > 1 else NOUNS[summary.table.metric].removesuffix(" in percent"), _mean)
    yield Column("ensemble", lambda row: _of(row, row.ensemble))
    yield Column(
        "best epoch",
        lambda row: deviated(row.mean.best) if row.mean else MISSING,
        "best epoch: each network's own, chosen on the data that are scored, so it is optimistic.",
    )
    yield from _gains(rows)
    yield Column(f"training {summary.table.metric}", lambda row: _part_of(row, lambda part: part.training))
    yield Column(
        "step × baseline",
        lambda row: MISSING if not row.n else "" if row.step_ratio is None else f"{row.step_ratio:.2f}",
        "step × baseline: the median time of a training step by the baseline's; by the sum of several baselines'.",
    )
    if any(row.row.paper.top5 for row in rows):
        yield Column("top-5", lambda row: _top5(row))
    yield from _paper_columns(rows)


def _gains(rows: Sequence[RowSummary]) -> Iterable[Column]:
    """The legend names the baseline where all rows have the same."""
    baselines = {row.row.baseline for row in rows if row.row.baseline}
    titles = {row.row.name: row.row.title for row in rows}
    names = next(iter(baselines)) if len(baselines) == 1 else ()
    over = " and ".join(titles.get(name, name) for name in names) or "the row's baseline"
    yield Column(
        "gain (+ is better)",
        lambda row: gained(row.gain, row.n),
        f"gain: of the mean of the networks over {over}, in percentage points, paired by seed, with the half-width of "
        "its 95 % interval (Student's t); positive where the row is better.",
    )
    yield Column(
        "ensemble gain",
        lambda row: gained(row.ensemble_gain, row.n),
        "ensemble gain: likewise, of the ensemble over the baseline's ensemble.",
    )


def _paper_columns(rows: Sequence[RowSummary]) -> Iterable[Column]:
    yield Column("paper: networks", lambda row: percents(row.row.paper.networks, row.row.paper.networks_std))
    yield Column("paper: mean", lambda row: figure(row.row.paper.mean, row.row.paper.mean_std))
    yield Column("paper: ensemble", lambda row: figure(row.row.paper.ensemble, row.row.paper.ensemble_std))
    yield Column("paper: top-5", lambda row: percents(row.row.paper.top5))
    yield Column("paper: training", lambda row: percents(row.row.paper.training))
    yield Column("paper: teacher", lambda row: figure(row.row.paper.teacher))
    for name in dict.fromkeys(name for row in rows for name in row.row.paper.others):
        yield Column(f"paper: {name}", functools.partial(_other, name))


def _other(name: str, row: RowSummary) -> str:
    value = row.row.paper.others.get(name)
    return "" if value is None else f"{value:g}"


def _count(row: RowSummary) -> str:
    if row.row.needs and not row.n:
        return "not built"
    return str(row.n) if row.n == row.asked else f"{row.n} of {row.asked}"


def _mean(row: RowSummary) -> str:
    return deviated(row.mean.last) if row.mean else MISSING


def _of(row: RowSummary, part: PartSummary | None) -> str:
    return MISSING if not row.n else deviated(part.last) if part else ""


def _network(index: int, row: RowSummary) -> str:
    return _of(row, row.networks[index] if index < len(row.networks) else None)


def _part_of(row: RowSummary, which: Callable[[PartSummary], Measured | None]) -> str:
    found = which(row.mean) if row.mean else None
    return MISSING if not row.n else deviated(found) if found else ""


def _top5(row: RowSummary) -> str:
    means = [part.top5.mean for part in row.networks if part.top5]
    return percents(means) if row.n else MISSING
