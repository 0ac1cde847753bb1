"""Test curves over epochs: the mean over seeds as a line, their range as a band (as Figure 2 of DCM draws them)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfdistill.tables.parts import CurvePoint
from tfdistill.tables.pictures import canvas
from tfdistill.tables.pictures.panels import MOST_LINES, Panel, panels_of
from tfdistill.tables.summary import Summary

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves(summary: Summary) -> Figure | None:
    """A picture of the networks' mean over epochs, in panels of at most 8 rows; None where no row has a curve."""
    panels = list(panels_of(summary))
    if not panels:
        return None
    together = _legend_of_all(panels)
    columns = 1 if len(panels) == 1 else 3 if together and len(panels) > 4 else 2
    rows = math.ceil(len(panels) / columns)
    longest = max(sum(line.label.count("\n") + 1.25 for line in panel.lines) for panel in panels)
    height = max(3.4 if columns == 1 else 2.3, 0 if together else 0.125 * longest + 0.4)
    figure = canvas.new_figure(canvas.WIDTH if columns == 1 else 10.0, rows * height + 0.6)
    places = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for panel, axes in zip(panels, places, strict=False):
        _draw_panel(axes, panel)
        axes.tick_params(labelbottom=True, labelleft=True)
        if not together:
            _explain(axes, *axes.get_legend_handles_labels())
    for axes in places[len(panels) :]:
        axes.remove()
    if together:
        found = [axes.get_legend_handles_labels() for axes in places[: len(panels)]]
        handles = {label: handle for told in found for handle, label in zip(*told, strict=True)}
        _explain(places[columns - 1], [handles[label] for label in together], together)
    cut = _cut(places[0], panels)
    for index, axes in enumerate(places[: len(panels)]):
        if index + columns >= len(panels):
            axes.set_xlabel("epoch")
        if index % columns == 0:
            axes.set_ylabel(canvas.scored(summary))
    canvas.entitle(figure, summary, ["Line: mean over seeds. Band: range over seeds.", *cut])
    return figure


def _legend_of_all(panels: Sequence[Panel]) -> list[str]:
    """The labels of a legend that serves all panels, in order; empty where each needs its own."""
    styles: dict[str, canvas.Style] = {}
    for panel in panels:
        for line in panel.lines:
            if styles.setdefault(line.label, line.style) != line.style:
                return []
    return list(styles) if len(panels) > 1 and len(styles) <= MOST_LINES + 1 else []


def _cut(axes: Axes, panels: Sequence[Panel]) -> list[str]:
    """Leaves the first quarter of the epochs out of the common range of figures where it would hide the others.

    Returns:
        A line that says so; none where nothing was cut.
    """
    points = [point for panel in panels for line in panel.lines for point in line.curve]
    begin = max(point.epoch for point in points) // 4
    later = [point for point in points if point.epoch > begin]
    (least, most), (its_least, its_most) = _range(points), _range(later)
    if its_most - its_least > 0.7 * (most - least):
        return []
    margin = 0.05 * (its_most - its_least) or 0.5
    axes.set_ylim(its_least - margin, its_most + margin)
    return [f"The figures are cut to the range of those after epoch {begin}."]


def _range(points: Sequence[CurvePoint]) -> tuple[float, float]:
    return min(point.least for point in points), max(point.largest for point in points)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for line in panel.lines:
        epochs = [point.epoch for point in line.curve]
        axes.plot(
            epochs,
            [point.mean for point in line.curve],
            color=line.style.colour,
            linestyle=line.style.line,
            marker=line.style.marker,
            markersize=3,
            markevery=max(1, len(line.curve) // 8),
            label=line.label,
        )
        axes.fill_between(
            epochs,
            [point.least for point in line.curve],
            [point.largest for point in line.curve],
            color=line.style.colour,
            alpha=0.18,
            linewidth=0,
        )
    axes.set_title(panel.title, loc="left")


def _explain(axes: Axes, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0, handlelength=2.8)
