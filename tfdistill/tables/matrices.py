"""A grid as tables of cells: matrices of two axes, a column per value of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from tfdistill.tables.cells import MISSING, deviated, gained, percents
from tfdistill.tables.summary import RowSummary, Summary

# Title, headings, rows.
Told: TypeAlias = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]


def matrices(summary: Summary) -> Iterable[Told]:
    """Title, headings and rows of every matrix of a table's grid; none of figures that no cell has."""
    grid = summary.table.grid
    assert grid, "only a grid has cells"
    kinds = _kinds(summary)
    if len(grid.axes) == 1:
        axis = grid.axes[0]
        lines = [(name, *(_cell(cell, summary, (label,)) for label in axis.labels)) for name, cell in kinds.items()]
        told = tuple(line for line in lines if _says(line[1:]))
        yield "", (axis.title, *axis.labels), told
        return
    down, across = grid.axes
    for name, cell in kinds.items():
        rows = tuple((one, *(_cell(cell, summary, (one, other)) for other in across.labels)) for one in down.labels)
        if any(_says(row[1:]) for row in rows):
            yield f"{name}; {down.title} down, {across.title} across", ("", *across.labels), rows


def _kinds(summary: Summary) -> dict[str, Callable[[RowSummary], str]]:
    metric = summary.table.metric
    scored = " or ".join(summary.scored_on or ("test",))
    return {
        f"{scored} {metric}": lambda row: deviated(row.mean.last) if row.mean else MISSING,
        f"gain in {metric}, + is better": lambda row: gained(row.gain, row.n) if row.n else MISSING,
        f"paper: test {metric}": lambda row: percents(row.row.paper.networks),
        f"training {metric}": lambda row: deviated(row.mean.training) if row.mean else MISSING,
        f"paper: training {metric}": lambda row: percents(row.row.paper.training),
    }


def _cell(cell: Callable[[RowSummary], str], summary: Summary, labels: tuple[str, ...]) -> str:
    """Empty where these values' row is not shown."""
    assert summary.table.grid, "only a grid has cells"
    name = summary.table.grid.rows.get(labels)
    return cell(summary.rows[name]) if name else ""


def _says(cells: Iterable[str]) -> bool:
    return any(cell not in ("", MISSING) for cell in cells)
