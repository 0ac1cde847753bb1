"""Images of examples in rows, with a heading for each group and a caption below each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8
CAPTION_WIDTH = 15


@dataclass(frozen=True, eq=False)
class Row:
    """A group of images.

    Attributes:
        title: above it.
        images: uint8 [count, H, W, C] of 1 or 3 channels; may be none.
        captions: lines of text below each image, [count].
    """

    title: str
    images: np.ndarray
    captions: Sequence[str]


def examples(groups: Sequence[Row], legend: str) -> Figure:
    """The picture.

    Args:
        groups: one below the other, each in rows of 8 images.
        legend: what the captions say, below all.
    """
    counts = [max(-(-len(one.images) // COLUMNS), 1) for one in groups]
    heights = [1.16 * count + 0.3 for count in counts]
    figure = canvas.new_figure(canvas.WIDTH, sum(heights) + 0.25)
    panels = figure.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, one, count in zip(panels, groups, counts, strict=True):
        panel.suptitle(canvas.wrapped(one.title, 110), fontsize=8, x=0.01, ha="left")
        places = panel.subplots(count, COLUMNS, squeeze=False)
        for axes in places.flat:
            axes.set_axis_off()
        for axes, pixels, caption in zip(places.flat, one.images, one.captions, strict=False):
            shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            lines = [line if len(line) <= CAPTION_WIDTH else _short(line) for line in caption.split("\n")]
            told = "\n".join(lines).replace("$", r"\$")
            axes.text(0.5, -0.05, told, transform=axes.transAxes, ha="center", va="top", fontsize=5.8)
        if not len(one.images):
            places[0, 0].text(0, 0.5, "none", style="italic", color=canvas.GREY)
    figure.supxlabel(legend, fontsize=6.5, color=canvas.GREY)
    return figure


def _short(line: str) -> str:
    """A name that is too long loses its end, and keeps the figure behind it."""
    name, space, figure = line.rpartition(" ")
    tail = space + figure if figure.endswith("%") else ""
    name = name if tail else line
    return f"{name[: CAPTION_WIDTH - len(tail) - 1]}…{tail}"
