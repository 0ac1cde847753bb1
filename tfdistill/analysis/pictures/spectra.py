"""Active neurons: the energy that directions hold, and how many of them hold most of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (6, 2, 1, 2)))
HATCHES = ("", "////", "....", "xx", "++")


def spectra(
    held: Mapping[str, np.ndarray], counts: Mapping[str, int], share: float, looks: Mapping[str, tuple[int, str]]
) -> Figure:
    """The picture: colour and marker tell networks apart, line and hatch the whole map and its halves.

    Args:
        held: the share of the energy that the first directions hold, by representation.
        counts: how many directions hold `share`.
        share: 0..1.
        looks: the number of the network, from 0, and the name of its part.
    """
    parts = list(dict.fromkeys(part for _, part in looks.values()))
    figure = canvas.new_figure(canvas.WIDTH, max(2.8, 0.24 * len(held) + 1.0))
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    for place, (name, values) in enumerate(held.items()):
        network, part = looks[name]
        style, turn = canvas.style(network), parts.index(part) % len(LINES)
        numbers = np.arange(1, len(values) + 1)
        left.plot(
            numbers, 100 * values, color=style.colour, linestyle=LINES[turn], marker=style.marker, ms=3, markevery=0.12
        )
        bar = {"color": style.colour, "hatch": HATCHES[turn], "edgecolor": canvas.BLACK, "linewidth": 0.5}
        right.barh(place, counts[name], 0.66, **bar)
        at = right.get_yaxis_transform()
        right.plot(0.03, place, style.marker, color="white", mec=canvas.BLACK, mew=0.6, transform=at)
        right.annotate(
            str(counts[name]), (counts[name], place), (2, 0), textcoords="offset points", va="center", fontsize=7
        )
    left.axhline(100 * share, color=canvas.BLACK, linestyle=":", linewidth=0.9)
    left.set(xlabel="number of directions", ylabel="energy of the gradients held in %", xscale="log")
    left.xaxis.set_major_formatter("{x:g}")
    right.set_yticks(range(len(held)), [canvas.wrapped(name, 30) for name in held])
    right.set_ylim(len(held) - 0.5, -0.5)
    right.set_xlim(0, 1.15 * max([*counts.values(), 1]))
    right.grid(False, axis="y")
    right.tick_params(axis="y", length=0)
    right.set_xlabel(f"active neurons ({share:.0%} of the energy)")
    for part, line in zip(parts, LINES, strict=False):
        left.plot([], [], color=canvas.BLACK, linestyle=line, label=part)
    if len(parts) > 1:
        left.legend(fontsize=6.5)
    return figure
