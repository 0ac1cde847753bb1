"""Square matrices as heat maps: likeness of representations, and which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A larger matrix has no figures in its cells.
MOST_WRITTEN = 20
# More classes are numbered.
MOST_NAMED = 30


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


def draw(
    axes: Any,
    matrix: np.ndarray,
    *,
    written: str = "",
    limits: tuple[float, float] = (0.0, 1.0),
    bent: bool = False,
) -> Any:
    """A matrix in a scale that goes evenly from dark to light.

    Args:
        axes: where it is drawn.
        matrix: [R, C].
        written: how figures are written into the cells; empty for none.
        limits: the ends of the scale.
        bent: a scale of square roots, which shows small values.

    Returns:
        the image, for a colour bar.
    """
    axes.grid(False)
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(0.5 if bent else 1.0, *limits)
    image = axes.imshow(matrix, cmap="cividis", norm=norm, interpolation="nearest")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if written and max(matrix.shape) <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value < sum(limits) / 2 else canvas.BLACK
            axes.text(column, row, written.format(value), ha="center", va="center", fontsize=6.5, color=colour)
    return image


def confusions(found: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Confusion matrices side by side.

    Args:
        found: shares of each true class (row) by the answer (column), 0..1, [K, K], by the network's label.
        names: of the K classes.
    """
    columns = 1 if len(found) == 1 else 2 if len(found) in (2, 4) else 3
    rows, count = -(-len(found) // columns), len(names)
    size = 2.6 if count > MOST_NAMED else max(0.27 * count, 2.0)
    figure = canvas.new_figure((size + 0.9) * columns + 0.9, (size + 1.1) * rows + 0.2)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    named = names if count <= MOST_NAMED else [str(number) for number in range(count)]
    step = 1 if count <= MOST_NAMED else 10 ** max(len(str(count - 1)) - 1, 1)
    for axes, (label, matrix) in zip(places, found.items(), strict=False):
        image = draw(axes, matrix, written="{:.2f}" if count <= 10 else "", bent=count > 10)
        axes.set_xticks(range(0, count, step), named[::step], rotation=0 if count > MOST_NAMED else 90)
        axes.set_yticks(range(0, count, step), named[::step])
        axes.set(title=canvas.wrapped(label, 32), xlabel="answer", ylabel="true class")
    for axes in places[len(found) :]:
        axes.remove()
    figure.colorbar(image, ax=places[: len(found)], shrink=0.8, aspect=25, pad=0.02, label="share of the true class")
    return figure
