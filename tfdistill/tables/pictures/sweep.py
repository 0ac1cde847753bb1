"""Sweeps along an axis of a grid (IE-KD, Table 5), with a line for each value of the other (KL vs MSE, Figure 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfdistill.tables.parts import PartSummary
from tfdistill.tables.pictures import canvas
from tfdistill.tables.pictures.figures import is_numeric, paper_mean, why_empty
from tfdistill.tables.summary import RowSummary, Summary
from tfdistill.tables.table import Axis, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETWORKS = "mean of the networks"
# From this ratio of the largest to the smallest value on, an axis is logarithmic.
LOGARITHMIC = 50


def sweep(summary: Summary, grid: Grid) -> Figure:
    """A picture of the networks' mean along an axis, with the deviation over seeds.

    With one axis, the ensemble is a second line; with two, the axis of methods gives a line for each of its values.
    The paper's figures are hollow, on a thin line; a cell without a finished run is named at the axis.

    Args:
        summary: of the table.
        grid: of one axis; or of two, one of which is numeric.
    """
    along = next((axis for axis in grid.axes if is_numeric(axis)), grid.axes[0])
    others = [axis for axis in grid.axes if axis is not along]
    lines: dict[str, dict[int, RowSummary]] = {}
    for labels, name in grid.rows.items():
        told = dict(zip((axis.name for axis in grid.axes), labels, strict=True))
        line = told[others[0].name] if others else NETWORKS
        lines.setdefault(line, {})[along.labels.index(told[along.name])] = summary.rows[name]
    figure = canvas.new_figure(canvas.WIDTH, 4.2)
    axes = figure.add_subplot()
    places = _scale(axes, along)
    handles: list[Any] = []
    for index, (label, cells) in enumerate(lines.items()):
        handles += _draw_line(axes, places, cells, canvas.wrapped(label, 30), canvas.style(index))
    if not others:
        ensembles = {at: one.ensemble for at, one in lines[NETWORKS].items() if one.ensemble}
        handles += _draw_means(axes, places, ensembles, "ensemble", canvas.style(1))
    handles += _draw_baselines(axes, summary, grid)
    axes.set_xlabel(canvas.wrapped(along.title, 80))
    axes.set_ylabel(canvas.scored(summary))
    title = canvas.wrapped(others[0].title, 30) if others else None
    axes.legend(handles=handles, title=title, handlelength=3, loc="upper left", bbox_to_anchor=(1.01, 1.02))
    canvas.entitle(figure, summary, _missing(along, lines))
    return figure


def _scale(axes: Axes, along: Axis) -> list[float]:
    """Where each value stands: at itself where all are numbers, else one after the other."""
    values = list(along.values)
    if not values or not all(math.isfinite(one) for one in values):
        values = [float(index) for index in range(len(along.labels))]
    elif min(values) > 0 and max(values) / min(values) >= LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xticks(values, along.labels)
    axes.set_xticks([], minor=True)
    return values


def _draw_line(
    axes: Axes, places: Sequence[float], cells: Mapping[int, RowSummary], label: str, style: canvas.Style
) -> list[Any]:
    ours = _draw_means(axes, places, {at: one.mean for at, one in cells.items() if one.mean}, label, style)
    papers = {at: paper_mean(one.row.paper) for at, one in cells.items()}
    told = [(places[at], figure) for at, figure in sorted(papers.items()) if figure is not None]
    if not told:
        return ours
    drawn = axes.plot(
        *zip(*told, strict=True),
        color=style.colour,
        linestyle=":",
        linewidth=0.8,
        marker=style.marker,
        markerfacecolor="white",
        label=f"{label}, the paper's",
    )
    return [*ours, *drawn]


def _draw_means(
    axes: Axes, places: Sequence[float], parts: Mapping[int, PartSummary], label: str, style: canvas.Style
) -> list[Any]:
    """The line has a gap where a value has no figure."""
    if not parts:
        return []
    there = [parts.get(at) for at in range(len(places))]
    drawn = axes.errorbar(
        places,
        [math.nan if one is None else one.last.mean for one in there],
        yerr=[0.0 if one is None else one.last.std or 0.0 for one in there],
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        capsize=2.5,
        elinewidth=0.9,
        label=label,
    )
    return [drawn]


def _draw_baselines(axes: Axes, summary: Summary, grid: Grid) -> list[Any]:
    """A line across for every row that is no cell and that cells are compared with."""
    named = {name for row in grid.rows.values() for name in summary.rows[row].row.baseline}
    found = [one for name, one in summary.rows.items() if name in named and not one.row.cell]
    lines = (canvas.BLACK, canvas.GREY)
    return [
        axes.axhline(
            one.mean.last.mean,
            color=lines[index % 2],
            linestyle=("--", "-.")[index // 2 % 2],
            linewidth=1,
            label=canvas.wrapped(one.row.title, 30),
        )
        for index, one in enumerate(found)
        if one.mean is not None
    ]


def _missing(along: Axis, lines: Mapping[str, Mapping[int, RowSummary]]) -> list[str]:
    """A line on the values without a figure of ours, for each reason."""
    found: dict[str, list[str]] = {}
    for label, cells in lines.items():
        of_line: dict[str, list[str]] = {}
        for at, one in sorted(cells.items()):
            if one.mean is None:
                of_line.setdefault(why_empty(one), []).append(along.labels[at])
        for why, values in of_line.items():
            of = "" if len(lines) == 1 else f"{label} at "
            found.setdefault(why, []).append(of + ", ".join(values))
    return [f"{why.capitalize()}: {'; '.join(told)}." for why, told in found.items()]
