"""Reliability diagrams: accuracy over confidence, a column for each network and a row for each part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.analysis.calibration import Reliability
from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def diagrams(found: Mapping[str, Mapping[str, tuple[Reliability, float]]]) -> Figure:
    """The diagrams of networks, by their label and the part of the data.

    Args:
        found: for each the numbers and the temperature of the probabilities.
    """
    parts = list(dict.fromkeys(name for one in found.values() for name in one))
    figure = canvas.new_figure(max(2.1 * len(found) + 0.6, 4.0), 2.1 * len(parts) + 0.7)
    grid = figure.subplots(len(parts), len(found), squeeze=False, sharex=True, sharey=True)
    for column, (label, own) in enumerate(found.items()):
        for row, part in enumerate(parts):
            axes = grid[row, column]
            if part in own:
                draw(axes, *own[part])
            else:
                axes.set_axis_off()
            if row == 0:
                axes.set_title(canvas.wrapped(label, 28))
            if column == 0:
                axes.set_ylabel(f"{part}\naccuracy")
            if row == len(parts) - 1:
                axes.set_xlabel("confidence")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def draw(axes: Axes, one: Reliability, temperature: float) -> None:
    """One diagram: bars of accuracy, what they lack or have too much of, and the line of a calibrated network."""
    width = 1 / len(one.counts)
    there = one.counts > 0
    middles = (one.edges[:-1] + width / 2)[there]
    accuracy, confidence = one.accuracy[there], one.confidence[there]
    axes.bar(middles, accuracy, width, color=canvas.SKY, edgecolor=canvas.BLACK, linewidth=0.5, label="accuracy")
    axes.bar(
        middles,
        np.abs(confidence - accuracy),
        width,
        bottom=np.minimum(accuracy, confidence),
        color="none",
        edgecolor=canvas.VERMILLION,
        linewidth=0.8,
        hatch="////",
        label="gap to the mean confidence",
    )
    axes.plot([0, 1], [0, 1], "--", color=canvas.BLACK, linewidth=0.9, label="calibrated")
    told = [f"ECE {100 * one.error:.2f} %", f"accuracy {100 * one.mean_accuracy:.1f} %"]
    told += [f"T = {temperature:.2f}"] if temperature != 1 else []
    axes.text(0.03, 0.97, "\n".join(told), transform=axes.transAxes, va="top", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
