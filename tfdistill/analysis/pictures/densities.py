"""Densities of what logits are made of: a panel for each quantity, a line for each network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {
    "sum": "sum of the logits",
    "absolute_sum": "|sum of the logits|",
    "distance": "distance of logits ‖z − z$_t$‖ to the teacher's",
    "norm": "norm ‖r‖ of the penultimate layer",
    "lead": "lead of the true class's logit",
}


# Of a bin as it is drawn, on average over the bins of a density; fewer would draw their own noise.
EXAMPLES = 30


def merged(found: np.ndarray, examples: int) -> np.ndarray:
    """A density [B] in so many times wider bins, a divisor of B, that they have enough examples."""
    divisors = (one for one in range(1, len(found) + 1) if len(found) % one == 0)
    factor = next((one for one in divisors if examples * one >= EXAMPLES * len(found)), len(found))
    return found.reshape(-1, factor).mean(axis=1)


def densities_of(found: Mapping[str, Mapping[str, Any]], examples: int) -> Figure:
    """The picture.

    Args:
        found: for each quantity the "edges" of the bins, [B + 1], and of the "networks" each density, [B], by label.
        examples: how many each is of.
    """
    names = [name for name in AXES if name in found]
    labels = list(dict.fromkeys(label for by in found.values() for label in by["networks"]))
    styles = {label: canvas.style(place) for place, label in enumerate(labels)}
    rows = -(-len(names) // 2)
    figure = canvas.new_figure(canvas.WIDTH, 2.1 * rows + 0.4)
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, name in zip(places, names, strict=False):
        edges, own = found[name]["edges"], found[name]["networks"]
        for label in (one for one in labels if one in own):
            style = styles[label]
            drawn = merged(own[label], examples)
            limits = np.linspace(edges[0], edges[-1], len(drawn) + 1)
            axes.stairs(drawn, limits, color=style.colour, linestyle=style.line, linewidth=1.1, label=label)
        axes.set_xlabel(AXES[name])
        axes.set_ylabel("density")
        axes.set_ylim(bottom=0)
    for axes in places[len(names) :]:
        axes.remove()
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(len(labels), 4))
    return figure
