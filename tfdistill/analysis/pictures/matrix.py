"""Square matrices as heat maps: likeness of representations, and which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A larger matrix has no figures in its cells.
MOST_WRITTEN = 16


def likeness(names: Sequence[str], matrix: np.ndarray) -> Figure:
    """CKA of every two representations.

    Args:
        names: of the R representations.
        matrix: 0..1, [R, R].
    """
    count, least = len(names), math.floor(10 * min(matrix.min(), 0.9)) / 10
    figure = canvas.new_figure(min(0.42 * count + 3.6, 12), min(0.42 * max(count, 4) + 0.7, 11))
    axes = figure.add_subplot()
    image = draw(axes, matrix, written="{:.2f}", limits=(least, 1.0))
    numbers = [str(number) for number in range(1, count + 1)]
    axes.set_xticks(range(count), numbers)
    axes.set_yticks(range(count), [f"{canvas.wrapped(one, 34)}  {at}" for one, at in zip(names, numbers, strict=True)])
    figure.colorbar(image, ax=axes, shrink=0.9, aspect=25, pad=0.02, label="linear CKA")
    return figure


def draw(axes: Any, matrix: np.ndarray, *, written: str = "", limits: tuple[float, float] = (0.0, 1.0)) -> Any:
    """A matrix in a scale that goes evenly from dark to light.

    Args:
        axes: where it is drawn.
        matrix: [R, C].
        written: how figures are written into the cells; empty for none.
        limits: the ends of the scale.

    Returns:
        the image, for a colour bar.
    """
    axes.grid(False)
    image = axes.imshow(matrix, cmap="cividis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if written and max(matrix.shape) <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value < sum(limits) / 2 else canvas.BLACK
            axes.text(column, row, written.format(value), ha="center", va="center", fontsize=6.5, color=colour)
    return image
