"""Which rows share a panel of a picture of curves, and how each is drawn there."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tfdistill.tables.parts import CurvePoint
from tfdistill.tables.pictures import canvas
from tfdistill.tables.pictures.figures import is_numeric
from tfdistill.tables.summary import RowSummary, Summary
from tfdistill.tables.table import Axis, Grid

MOST_LINES = 8
LABEL_WIDTH = 26


@dataclass(frozen=True)
class Line:
    """A row in a panel."""

    label: str
    curve: Sequence[CurvePoint]
    style: canvas.Style


@dataclass(frozen=True)
class Panel:
    """Rows in one pair of axes."""

    title: str
    lines: tuple[Line, ...]


def has_curve(row: RowSummary) -> bool:
    """Whether the row was scored after two epochs or more."""
    return row.mean is not None and len(row.mean.curve) > 1


def panels_of(summary: Summary) -> Iterator[Panel]:
    """Every row that has a curve, in panels of at most 8 rows; none where no row has one."""
    rows = [one for one in summary.rows.values() if has_curve(one)]
    if not rows:
        return
    baselines = {name for one in rows for name in one.row.baseline}
    grid = summary.table.grid
    if len(rows) <= MOST_LINES:
        yield _panel(rows, baselines)
    elif grid is not None and len(grid.axes) == 2 and any(one.row.cell for one in rows):
        beside = [one for one in rows if not one.row.cell]
        yield from _panels_of_grid(grid, rows, [one for one in beside if one.row.name in baselines])
        yield from _panels_of_rows([one for one in beside if one.row.name not in baselines], baselines)
    else:
        yield from _panels_of_rows(rows, baselines)


def _panels_of_rows(rows: Sequence[RowSummary], baselines: Collection[str]) -> Iterator[Panel]:
    """The rows of one baseline together, with it."""
    groups: dict[tuple[str, ...], list[RowSummary]] = {}
    for one in rows:
        names = one.row.baseline or ((one.row.name,) if one.row.name in baselines else ())
        groups.setdefault(names, []).append(one)
    for names, group in groups.items():
        first = [one for one in rows if one.row.name in names]
        others = [one for one in group if one not in first]
        room = max(MOST_LINES - len(first), 1)
        for begin in range(0, max(len(others), 1), room):
            yield _panel([*first, *others[begin : begin + room]], baselines)


def _panel(rows: Sequence[RowSummary], baselines: Collection[str]) -> Panel:
    """Baselines are black; the others take the styles in turn."""
    styles = itertools.count()
    return Panel(
        "",
        tuple(
            _line(one.row.title, one, canvas.FIRST if one.row.name in baselines else canvas.style(next(styles)))
            for one in rows
        ),
    )


def _panels_of_grid(grid: Grid, rows: Sequence[RowSummary], first: Sequence[RowSummary]) -> Iterator[Panel]:
    """A panel for each value of the longer axis, a line for each of the other; `first` stand in every panel."""
    along, across = sorted(grid.axes, key=lambda axis: len(axis.labels))
    references = [_line(one.row.title, one, canvas.FIRST) for one in first]
    for label in across.labels:
        cells = {one.row.cell[along.name]: one for one in rows if one.row.cell.get(across.name) == label}
        lines = [
            _line(_named(along, value), cells[value], canvas.style(place))
            for place, value in enumerate(along.labels)
            if value in cells
        ]
        if lines:
            yield Panel(canvas.wrapped(_named(across, label), 50), (*references, *lines))


def _named(axis: Axis, label: str) -> str:
    return f"{axis.title} {label}" if is_numeric(axis) else label


def _line(label: str, one: RowSummary, style: canvas.Style) -> Line:
    assert one.mean, "a row without a run has no curve"
    return Line(canvas.wrapped(label, LABEL_WIDTH), one.mean.curve, style)
