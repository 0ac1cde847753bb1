"""The pictures of one table: which ones there are, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdistill.tables.outcome import Outcome
from tfdistill.tables.pictures.bars import bars
from tfdistill.tables.pictures.canvas import publishable
from tfdistill.tables.pictures.curves import curves
from tfdistill.tables.pictures.figures import is_numeric, shown_rows
from tfdistill.tables.pictures.files import beside, save
from tfdistill.tables.pictures.heat_map import heat_map
from tfdistill.tables.pictures.sweep import sweep
from tfdistill.tables.summary import Summary
from tfdistill.tables.table import Grid, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(table: Table, summary: Summary, outcomes: Sequence[Outcome], path: Path) -> list[Path]:
    """Draws a table.

    FILE.png is the grid's picture, or bars where there is none; FILE_rows.png has bars of the rows beside a grid, and
    FILE_curves.png the test curves of runs that were scored more than once.

    Args:
        table: with its rows and perhaps a grid.
        summary: what its runs gave.
        outcomes: these runs.
        path: FILE.png, or .svg or .pdf.

    Returns:
        The files written, `path` first; none where no run is finished.

    Raises:
        FileError: a file cannot be written.
    """
    if not any(one.mean for one in summary.rows.values()):
        return []
    with publishable():
        pictures = {file: figure for file, figure in _figures(table, summary, outcomes, path).items() if figure}
        for file, figure in pictures.items():
            save(figure, file)
    return list(pictures)


def said(files: Sequence[Path]) -> str:
    """One line on what `draw` has written."""
    if not files:
        return "no picture: no run is finished"
    return f"drawn: {', '.join(map(str, files))}"


def _figures(table: Table, summary: Summary, outcomes: Sequence[Outcome], path: Path) -> dict[Path, Figure | None]:
    rows = shown_rows(summary)
    cells, others = [one for one in rows if one.row.cell], [one for one in rows if not one.row.cell]
    found: dict[Path, Figure | None] = {}
    if table.grid is not None and any(one.mean for one in cells):
        found[path] = _grid_figure(summary, table.grid)
        if any(one.mean for one in others):
            found[beside(path, "rows")] = bars(summary, outcomes, others)
    else:
        found[path] = bars(summary, outcomes, others or cells)
    found[beside(path, "curves")] = curves(summary)
    return found


def _grid_figure(summary: Summary, grid: Grid) -> Figure:
    """Lines where an axis, and no other, is of numbers; a heat map of any other two axes."""
    if len(grid.axes) == 1 or sum(map(is_numeric, grid.axes)) == 1:
        return sweep(summary, grid)
    return heat_map(summary, grid)
