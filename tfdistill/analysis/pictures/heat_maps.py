"""Grids of heat maps: a row for each image, a column for each network; colours that stay apart in grey too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.heat_maps import Found, Pictured
from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches of a map, and of the two lines below it.
SIDE, TEXT = 1.05, 0.34
LONGEST = 17
# From dark to bright, so that grey keeps the order; blue and yellow, which every kind of colour-blindness tells apart.
DIVERGING = ("#08103c", "#123a8c", "#4f7cc4", "#a9aeb4", "#dfb24a", "#fbdc60", "#fffbd0")


def activations(pictured: Pictured, *, over: bool) -> Figure:
    """Maps of Grad-CAM, 0..1.

    Args:
        pictured: images and maps.
        over: whether the image, in grey, lies below the map.
    """

    def draw(axes: Axes, place: int, found: Found) -> None:
        if over:
            axes.imshow(_grey(pictured.images[place]), cmap="gray", vmin=-0.3, vmax=1.1, interpolation="nearest")
        one = found.maps[place]
        axes.imshow(one, cmap="viridis", vmin=0, vmax=1, alpha=0.55 if over else 1, interpolation="bilinear")
        if over and one.max() > 0:
            axes.contour(one, levels=[0.5], colors="white", linewidths=0.8)

    words = "Grad-CAM: 0 least, 1 greatest of an image" + (" (white line: 0.5)" if over else "")
    return _grid(pictured, draw, words, "viridis", [0, 0.5, 1])


def relevances(pictured: Pictured) -> Figure:
    """Maps of relevance, each on a scale of its own that is symmetric around 0."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("blue_grey_yellow", list(DIVERGING))

    def draw(axes: Axes, place: int, found: Found) -> None:
        most = float(np.abs(found.maps[place]).max()) or 1.0
        axes.imshow(found.maps[place] / most, cmap=colours, vmin=-1, vmax=1, interpolation="nearest")

    words = "relevance, as a share of the largest of a map: above 0 for the class, below 0 against it"
    return _grid(pictured, draw, words, colours, [-1, 0, 1])


def _grid(
    pictured: Pictured, draw: Callable[[Axes, int, Found], None], words: str, colours: Any, ticks: list[float]
) -> Figure:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    columns, rows = len(pictured.columns) + 1, len(pictured.images)
    heads = [canvas.wrapped(title, LONGEST) for title in pictured.columns]
    top = 0.14 * max(head.count("\n") + 1 for head in heads)
    width = max(columns * SIDE * 1.08, 4.6)
    height = rows * (SIDE + TEXT) + top + 0.65
    figure = canvas.new_figure(width, height)
    # Titles of several lines reach further up than the layout believes.
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - 0.1 / height))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for place, line in enumerate(grid):
        _show(line[0], pictured.images[place])
        _below(line[0], _cut(pictured.class_names[pictured.labels[place]]))
        for axes, found in zip(line[1:], pictured.columns.values(), strict=True):
            draw(axes, place, found)
            _below(axes, _said(found, place, pictured))
    for axes, head in zip(grid[0, 1:], heads, strict=True):
        axes.set_title(head)
    grid[0, 0].set_title("image and label")
    colours = ScalarMappable(Normalize(ticks[0], ticks[-1]), colours)
    bar = figure.colorbar(colours, ax=grid, orientation="horizontal", shrink=0.6, aspect=45, fraction=0.02, pad=0.01)
    bar.set_ticks(ticks)
    bar.set_label(canvas.wrapped(words, int(width * 15)), fontsize=7)
    return figure


def _said(found: Found, place: int, pictured: Pictured) -> str:
    """The explained class with its probability; below it another one that the network prefers."""
    said, names = found.explained, pictured.class_names
    own, preferred = int(said.classes[place]), int(said.predicted[place])
    lines = [f"{_cut(names[own])} {said.probabilities[place]:.0%}"]
    if own != preferred:
        lines.append(f"says {_cut(names[preferred])} {said.confidences[place]:.0%}")
    return "\n".join(lines)


def _cut(name: str) -> str:
    """A class's name, `$` kept, of a length that fits below a map."""
    name = name.replace("_", " ")
    return (name if len(name) <= LONGEST - 5 else f"{name[: LONGEST - 6]}…").replace("$", r"\$")


def _below(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, fontsize=6.5, labelpad=2, linespacing=1.05)


def _show(axes: Axes, image: np.ndarray) -> None:
    """An image [height, width, channels] of one channel or three; of others their mean."""
    pixels = image if image.shape[-1] == 3 else np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    axes.imshow(pixels, vmin=0, vmax=1, interpolation="nearest")


def _grey(image: np.ndarray) -> np.ndarray:
    """How bright the pixels are: Rec. 601 for red, green and blue."""
    return image @ np.array([0.299, 0.587, 0.114]) if image.shape[-1] == 3 else image.mean(axis=-1)
