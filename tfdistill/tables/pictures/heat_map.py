"""Heat maps of a grid of two axes: test and training figures side by side (as Figures 3 and 7 of KL vs MSE)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfdistill.tables.pictures import canvas
from tfdistill.tables.pictures.figures import average, paper_mean, why_empty
from tfdistill.tables.summary import RowSummary, Summary
from tfdistill.tables.table import Axis, Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A longer axis has no figures in its cells, and not every label.
MOST_WRITTEN = 25
Cells = Mapping[tuple[int, int], tuple[float | None, float | None, str]]


def heat_map(summary: Summary, grid: Grid) -> Figure:
    """A picture of a grid of two axes, the longer one to the right.

    Cells have the mean of the networks over seeds, with the paper's figure in brackets below it where there is one; a
    cell without a finished run is hatched and says why. The training figures stand beside where runs have them.

    Args:
        summary: of the table.
        grid: the table's, of two axes.
    """
    down, right = sorted(grid.axes, key=lambda axis: len(axis.labels))
    found = {}
    for labels, name in grid.rows.items():
        at = {axis.name: axis.labels.index(label) for axis, label in zip(grid.axes, labels, strict=True)}
        found[at[down.name], at[right.name]] = summary.rows[name]
    panels = [(canvas.scored(summary), _test(found))]
    if any(ours is not None for ours, _, _ in _training(found).values()):
        panels.append((f"training {summary.table.metric} in %", _training(found)))
    wide = 1.5 + 0.44 * min(len(right.labels), MOST_WRITTEN)
    tall = 0.5 + 0.36 * min(len(down.labels), MOST_WRITTEN)
    figure = canvas.new_figure(max(len(panels) * wide, 4.5), tall + 1.1)
    for (title, cells), axes in zip(panels, figure.subplots(1, len(panels), squeeze=False).flat, strict=True):
        _draw(figure, axes, title, cells, down, right)
    paper = any(told is not None for _, cells in panels for _, told, _ in cells.values())
    canvas.entitle(figure, summary, ["In brackets: the paper's figures."] if paper else [])
    return figure


def _test(found: Mapping[tuple[int, int], RowSummary]) -> Cells:
    return {
        at: (one.mean.last.mean if one.mean else None, paper_mean(one.row.paper), why_empty(one))
        for at, one in found.items()
    }


def _training(found: Mapping[tuple[int, int], RowSummary]) -> Cells:
    return {
        at: (
            one.mean.training.mean if one.mean and one.mean.training else None,
            average(one.row.paper.training),
            why_empty(one),
        )
        for at, one in found.items()
    }


def _draw(figure: Figure, axes: Any, title: str, cells: Cells, down: Axis, right: Axis) -> None:
    shape = len(down.labels), len(right.labels)
    values = [[math.nan] * shape[1] for _ in range(shape[0])]
    for (row, column), (ours, _, _) in cells.items():
        values[row][column] = math.nan if ours is None else ours
    axes.grid(False)
    axes.set_facecolor(canvas.PALE)
    axes.patch.set(hatch="////", edgecolor="white")
    image = axes.imshow(values, cmap="cividis", aspect="auto", interpolation="nearest")
    for axis, ticks, label in ((down, axes.set_yticks, axes.set_ylabel), (right, axes.set_xticks, axes.set_xlabel)):
        step = math.ceil(len(axis.labels) / MOST_WRITTEN)
        ticks(range(0, len(axis.labels), step), [canvas.wrapped(one, 18) for one in axis.labels[::step]])
        label(canvas.wrapped(axis.title, 40))
    if any(len(one) > 5 for one in right.labels):
        axes.tick_params(axis="x", labelrotation=45)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    if max(shape) <= MOST_WRITTEN:
        for (row, column), told in cells.items():
            _write(axes, image, row, column, *told)
    figure.colorbar(image, ax=axes, shrink=0.9, aspect=25, pad=0.02)


def _write(axes: Any, image: Any, row: int, column: int, ours: float | None, paper: float | None, why: str) -> None:
    lines = ["not built" if why == "not built yet" else why] if ours is None else [f"{ours:.2f}"]
    lines += [f"({paper:.2f})"] if paper is not None else []
    # Cividis goes from dark to light evenly.
    dark = ours is not None and image.norm(ours) < 0.5
    colour = "white" if dark else canvas.BLACK
    size = 5.5 if ours is None else 6.5
    axes.text(column, row, "\n".join(lines), ha="center", va="center", fontsize=size, color=colour)
