"""Bars: a row's networks and their ensemble, over seeds, with the paper's figures and the baseline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.tables.outcome import Outcome
from tfdistill.tables.paired import Measured
from tfdistill.tables.pictures import canvas
from tfdistill.tables.pictures.figures import paper_mean, single_seeds, why_empty
from tfdistill.tables.summary import RowSummary, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETWORKS, ENSEMBLE, DEVIATION = "mean of the networks", "ensemble", "± deviation over seeds"
SEED, PAPER, BASELINE = "one seed", "the paper's", "baseline's networks"
LEGEND = (NETWORKS, DEVIATION, PAPER, ENSEMBLE, SEED, BASELINE)
TITLE_WIDTH = 36
# Inches for one line of text, and for one bar.
LINE, BAR = 0.15, 0.15


def bars(summary: Summary, outcomes: Sequence[Outcome], rows: Iterable[RowSummary]) -> Figure:
    """A picture of rows below each other, in the order given.

    Every row has a bar for the mean of its networks after the last epoch and one for their ensemble, both with the
    sample deviation and a dot per seed; a diamond for the paper's figure; a dashed line for its baseline. A row without
    a finished run says why.

    Args:
        summary: of the table.
        outcomes: of all rows.
        rows: those to draw, one or more.
    """
    rows = list(rows)
    titles = [canvas.wrapped(one.row.title, TITLE_WIDTH) for one in rows]
    lines = sum(max(2 * BAR, LINE * (title.count("\n") + 1)) + 0.08 for title in titles)
    figure = canvas.new_figure(canvas.WIDTH, lines + 1.5)
    axes = figure.add_subplot()
    for place, one in enumerate(rows):
        _draw_row(axes, place, one, summary, outcomes)
    _draw_baselines(axes, rows, summary)
    axes.set_yticks(range(len(rows)), titles)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    start = _start(axes)
    axes.set_xlabel(canvas.scored(summary) + (f" (the axis starts at {start:g})" if start else ""))
    _explain(axes)
    canvas.entitle(figure, summary)
    return figure


def _draw_row(axes: Axes, place: int, one: RowSummary, summary: Summary, outcomes: Sequence[Outcome]) -> None:
    paper = one.row.paper
    has_ensemble = one.ensemble is not None or paper.ensemble is not None
    offset = 0.2 if has_ensemble else 0.0
    metric, name = summary.table.metric, one.row.name
    if one.mean is not None:
        seeds = single_seeds(outcomes, name, metric, ensemble=False)
        _draw_bar(axes, place - offset, one.mean.last, seeds, NETWORKS, canvas.SKY, "")
    else:
        axes.text(
            0.01,
            place - offset,
            why_empty(one),
            transform=axes.get_yaxis_transform(),
            va="center",
            style="italic",
            color=canvas.GREY,
        )
    if one.ensemble is not None:
        seeds = single_seeds(outcomes, name, metric, ensemble=True)
        _draw_bar(axes, place + offset, one.ensemble.last, seeds, ENSEMBLE, canvas.ORANGE, "////")
    for figure, std, y in (
        (paper_mean(paper), paper.mean_std, place - offset),
        (paper.ensemble, paper.ensemble_std, place + offset),
    ):
        if figure is not None:
            _draw_paper(axes, figure, std, y)
    _write_figures(axes, place, one, offset)


def _draw_bar(
    axes: Axes, y: float, figure: Measured, seeds: Sequence[float], label: str, colour: str, hatch: str
) -> None:
    axes.barh(
        y, figure.mean, height=0.38, color=colour, edgecolor=canvas.BLACK, linewidth=0.5, hatch=hatch, label=label
    )
    if figure.std is not None:
        axes.errorbar(
            figure.mean,
            y,
            xerr=figure.std,
            fmt="none",
            ecolor=canvas.BLACK,
            elinewidth=0.9,
            capsize=2,
            label=DEVIATION,
        )
    # Below each other, so that equal ones are seen.
    step = 0.28 / max(len(seeds) - 1, 1)
    heights = [y + (index - (len(seeds) - 1) / 2) * step for index in range(len(seeds))]
    axes.plot(seeds, heights, "o", color="white", mec=canvas.BLACK, mew=0.6, ms=2.6, label=SEED, zorder=3)


def _draw_paper(axes: Axes, figure: float, std: float | None, y: float) -> None:
    axes.errorbar(
        figure,
        y,
        xerr=std,
        fmt="D",
        color=canvas.VERMILLION,
        mec="white",
        mew=0.5,
        ms=5,
        elinewidth=0.9,
        label=PAPER,
        zorder=4,
    )


def _draw_baselines(axes: Axes, rows: Sequence[RowSummary], summary: Summary) -> None:
    """A line at the baseline's mean, along the neighbours that are compared with the same baseline."""
    places = {one.row.name: place for place, one in enumerate(rows)}
    for names, group in itertools.groupby(rows, key=lambda one: one.row.baseline or (one.row.name,)):
        found = [summary.rows[name].mean for name in names]
        means = [one.last.mean for one in found if one is not None]
        compared = [places[one.row.name] for one in group]
        others = [place for place in compared if rows[place].row.name not in names]
        if not others or len(means) < len(names):
            continue
        # The baseline itself, where it stands just before the others.
        first = min(compared) - (min(compared) - 1 in [places.get(name) for name in names])
        value = sum(means) / len(means)
        axes.vlines(
            value,
            first - 0.45,
            max(compared) + 0.45,
            colors=canvas.GREEN,
            linestyles="--",
            linewidth=1.2,
            label=BASELINE,
            zorder=2.5,
        )


def _write_figures(axes: Axes, place: int, one: RowSummary, offset: float) -> None:
    """The figures in words, right of the bars."""
    for part, y in ((one.mean, place - offset), (one.ensemble, place + offset)):
        if part is not None:
            std = "" if part.last.std is None else f" ± {part.last.std:.2f}"
            runs = f"  n = {part.last.n}" if part is one.mean else ""
            axes.text(
                1.01,
                y,
                f"{part.last.mean:.2f}{std}{runs}",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=6.5,
            )


def _explain(axes: Axes) -> None:
    """A legend above the axes that has each kind of mark once."""
    handles, labels = axes.get_legend_handles_labels()
    told = dict(zip(labels, handles, strict=True))
    names = [name for name in LEGEND if name in told]
    axes.legend(
        [told[name] for name in names],
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.4,
        ncols=3,
    )


def _start(axes: Axes) -> float:
    """Sets where the axis of figures starts and ends, and returns the first: 0, unless all figures are far from it."""
    ends = [float(one) for line in axes.lines for one in np.asarray(line.get_xdata(), float)]
    paths = [path for lines in axes.collections for path in lines.get_paths()]
    ends += [float(one) for path in paths for one in np.asarray(path.vertices, float)[:, 0]]
    least, most = (min(ends), max(ends)) if ends else (0.0, 100.0)
    span = max(most - least, 1.0)
    start = 0.0
    if least > 2 * span:
        step = 10 ** math.floor(math.log10(span))
        start = max(0.0, math.floor((least - 0.25 * span) / step) * step)
    axes.set_xlim(start, most + 0.05 * (most - start))
    return start
