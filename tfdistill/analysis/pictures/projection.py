"""Examples of three classes in the plane of the classes' means: a panel for each network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.analysis.projection import Projection
from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS, MARKERS = (canvas.BLUE, canvas.ORANGE, canvas.GREEN), ("o", "^", "s")
COLUMNS = 3


def planes(found: Mapping[str, Projection], labels: np.ndarray, names: Mapping[int, str]) -> Figure:
    """The picture.

    Args:
        found: by the network's label.
        labels: of the points, [N].
        names: of the three classes, by their number.
    """
    columns = 2 if len(found) == 4 else min(len(found), COLUMNS)
    rows = -(-len(found) // columns)
    figure = canvas.new_figure(2.5 * columns + 0.3, 2.5 * rows + 0.5)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (label, one) in zip(places, found.items(), strict=False):
        for (number, name), colour, marker in zip(names.items(), COLOURS, MARKERS, strict=True):
            points = one.points[labels == number]
            axes.scatter(*points.T, s=9, c=colour, marker=marker, alpha=0.6, linewidths=0, label=name)
        axes.plot(*one.means.T, "P", color="white", mec=canvas.BLACK, mew=0.9, ms=7, ls="none", label="mean of a class")
        axes.set_title(f"{canvas.wrapped(label, 32)}\nspread {one.spread:.2f}")
        axes.set(xlabel="along t₂ − t₁", ylabel="across", aspect="equal", adjustable="datalim")
    for axes in places[len(found) :]:
        axes.remove()
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=2 if columns == 1 else 4)
    return figure
