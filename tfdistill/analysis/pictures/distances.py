"""Distances of feature maps as bars: a panel for each measure, a bar for each two networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "l1": "L1: mean |a − b|",
    "l2": "L2: mean (a − b)²",
    "cosine": "cosine of whole maps",
    "pixel_cosine": "cosine per pixel",
}


def distances(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The picture.

    Args:
        rows: as `FeatureDistance` finds them.
    """
    several = len({row["tap"] for row in rows}) > 1
    names = [f"{row['first']} and {row['second']}" + (f", {row['tap']}" if several else "") for row in rows]
    figure = canvas.new_figure(canvas.WIDTH, 0.34 * len(rows) + 1.0)
    panels = figure.subplots(1, len(TITLES), sharey=True, squeeze=False)[0]
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        values = [row[name] for row in rows]
        axes.barh(range(len(rows)), values, 0.62, color=canvas.SKY, edgecolor=canvas.BLACK, linewidth=0.5)
        for place, value in enumerate(values):
            end = "left" if value >= 0 else "right"
            axes.annotate(
                f"{value:.3f}",
                (value, place),
                (2 if value >= 0 else -2, 0),
                textcoords="offset points",
                va="center",
                ha=end,
                fontsize=6.5,
            )
        axes.set_xlim(min(0.0, 1.35 * min(values)), max(1.35 * max(values), 1e-6))
        axes.set_title(title)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(rows)), [canvas.wrapped(one, 30) for one in names])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    taps = ", ".join(dict.fromkeys(row["tap"] for row in rows))
    figure.supxlabel(f"distance or cosine of {taps}, mean over examples (no unit)", fontsize=8)
    return figure
