"""What a reader is told of a table, whatever shows it: lines above, columns, lines below."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tfdistill.tables.cells import MISSING, deviated, figure, gained, percents
from tfdistill.tables.matrices import matrices
from tfdistill.tables.paired import Measured
from tfdistill.tables.parts import PartSummary
from tfdistill.tables.summary import RowSummary, Summary

NOUNS = {"accuracy": "accuracy in percent", "error": "error in percent", "mAP": "mean average precision in percent"}


@dataclass(frozen=True)
class Block:
    """A table of cells.

    Attributes:
        title: what it is; empty where there is one only.
        headings: of the columns; the first names the rows, all others hold numbers.
        rows: as many cells each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """A table to be shown.

    Attributes:
        title: of the table.
        above: lines before it, what must be seen first at their beginning.
        blocks: the table; of a grid its matrices.
        below: what cells mean, and what is missing.
    """

    title: str
    above: tuple[str, ...]
    blocks: tuple[Block, ...]
    below: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    heading: str
    cell: Callable[[RowSummary], str]
    legend: str = ""


def report(summary: Summary) -> Report:
    """The report of a summary; columns in which no row has anything are left out."""
    shown = [row for row in summary.rows.values() if row.asked or row.row.needs]
    plain = [row for row in shown if not row.row.cell]
    grid = [Block(*told) for told in matrices(summary)] if any(row.row.cell for row in shown) else []
    columns = [column for column in _columns(summary, plain) if any(_said(column.cell(row)) for row in plain)]
    rows = tuple((row.row.title, *(column.cell(row) for column in columns)) for row in plain)
    blocks = [Block("", ("", *(column.heading for column in columns)), rows)] if plain else []
    legends = [column.legend for column in columns if column.legend]
    return Report(
        title=summary.table.title,
        above=tuple(_above(summary)),
        blocks=(*blocks, *grid),
        below=tuple(_below(summary, shown, legends, bool(grid))),
    )


def _said(cell: str) -> bool:
    return cell not in ("", MISSING)


def _above(summary: Summary) -> Iterable[str]:
    table = summary.table
    yield from summary.head
    if table.source:
        runs = f", means of {table.paper_runs} runs" if table.paper_runs else ""
        yield f"Paper: {table.source}{runs}."
    several = "" if summary.epochs == (1,) else "s"
    epochs = f" ({_number(summary.epochs[0])} epoch{several})" if len(summary.epochs) == 1 else ""
    scored = " or ".join(summary.scored_on or ("test",))
    yield (
        f"Figures: {scored} {NOUNS[table.metric]}, after the last epoch{epochs}; "
        "mean ± sample standard deviation over n seeds."
    )
    if summary.seeds:
        yield f"Seeds: {', '.join(map(str, summary.seeds))}."
    yield from table.notes


def _below(summary: Summary, shown: Sequence[RowSummary], legends: Sequence[str], grid: bool) -> Iterable[str]:
    if any(not row.n for row in shown):
        yield f"{MISSING}: no run is finished."
    yield from legends
    if grid:
        yield from _uneven(row for row in shown if row.row.cell)
    for row in shown:
        if row.row.note:
            yield f"{row.row.title}: {row.row.note}"
    for row in shown:
        if row.row.needs:
            yield f"{row.row.title}: not built: {row.row.needs}"
        yield from row.problems
    left_out = len(summary.rows) - len(shown)
    if left_out:
        yield f"Rows of the table that were not asked for: {left_out}."


def _uneven(cells: Iterable[RowSummary]) -> Iterable[str]:
    """A matrix has no column for n."""
    found: dict[int, list[str]] = {}
    for cell in cells:
        if cell.n:
            found.setdefault(cell.n, []).append(cell.row.title)
    if len(found) == 1:
        yield f"Every figure of ours has n = {next(iter(found))}."
    else:
        yield from (f"n = {n}: {'; '.join(titles)}." for n, titles in sorted(found.items()))


def _columns(summary: Summary, rows: Sequence[RowSummary]) -> Iterable[_Column]:
    most = max((len(row.networks) or len(row.row.paper.networks) for row in rows), default=0)
    several = any(not row.one_kind or len(row.row.paper.networks) > 1 for row in rows)
    yield _Column("n", _count)
    if most > 1 and several:
        for index in range(most):
            yield _Column(f"network {index + 1}", functools.partial(_network, index))
    yield _Column("mean" if most > 1 else NOUNS[summary.table.metric].removesuffix(" in percent"), _mean)
    yield _Column("ensemble", lambda row: _of(row, row.ensemble))
    yield _Column(
        "best epoch",
        lambda row: deviated(row.mean.best) if row.mean else MISSING,
        "best epoch: each network's own, chosen on the data that are scored, so it is optimistic.",
    )
    yield from _gains(rows)
    yield _Column(f"training {summary.table.metric}", lambda row: _part_of(row, lambda part: part.training))
    yield _Column(
        "step × baseline",
        lambda row: MISSING if not row.n else "" if row.step_ratio is None else f"{row.step_ratio:.2f}",
        "step × baseline: the median time of a training step by the baseline's; by the sum of several baselines'.",
    )
    if any(row.row.paper.top5 for row in rows):
        yield _Column("top-5", lambda row: _top5(row))
    yield from _paper_columns()


def _gains(rows: Sequence[RowSummary]) -> Iterable[_Column]:
    """The legend names the baseline where all rows have the same."""
    baselines = {row.row.baseline for row in rows if row.row.baseline}
    titles = {row.row.name: row.row.title for row in rows}
    names = next(iter(baselines)) if len(baselines) == 1 else ()
    over = " and ".join(titles.get(name, name) for name in names) or "the row's baseline"
    yield _Column(
        "gain (+ is better)",
        lambda row: gained(row.gain, row.n),
        f"gain: of the mean of the networks over {over}, in percentage points, paired by seed, with the half-width of "
        "its 95 % interval (Student's t); positive where the row is better.",
    )
    yield _Column(
        "ensemble gain",
        lambda row: gained(row.ensemble_gain, row.n),
        "ensemble gain: likewise, of the ensemble over the baseline's ensemble.",
    )


def _paper_columns() -> Iterable[_Column]:
    yield _Column("paper: networks", lambda row: percents(row.row.paper.networks, row.row.paper.networks_std))
    yield _Column("paper: mean", lambda row: figure(row.row.paper.mean, row.row.paper.mean_std))
    yield _Column("paper: ensemble", lambda row: figure(row.row.paper.ensemble, row.row.paper.ensemble_std))
    yield _Column("paper: top-5", lambda row: percents(row.row.paper.top5))
    yield _Column("paper: training", lambda row: percents(row.row.paper.training))
    yield _Column("paper: teacher", lambda row: figure(row.row.paper.teacher))


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


def _number(value: float) -> str:
    return f"{value:g}"
