"""Lines with bands: a mean and its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.curves import SEED
from tfdistill.tables.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# How many times as large the largest value is as the smallest where a scale of powers of ten is taken.
WIDE = 20
# Where a legend hides no line.
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.3}


def bands(places: Sequence[float], found: Mapping[str, np.ndarray], along: str, up: str) -> Figure:
    """A line for each network: the mean over draws, and their range as a band.

    Args:
        places: along the axis, [P].
        found: [P, draws] by the network's label.
        along: label of the axis.
        up: label of the other.
    """
    figure = canvas.new_figure(4.6, 3.2)
    axes = figure.add_subplot()
    for place, (label, values) in enumerate(found.items()):
        band(axes, places, values, label, canvas.style(place))
    axes.set(xlabel=along, ylabel=up)
    axes.legend()
    return figure


def band(axes: Axes, places: Sequence[float], values: np.ndarray, label: str, style: canvas.Style) -> None:
    """One line of means with the range of the values [P, draws] around it; NaN where there is none."""
    axes.plot(
        places, np.nanmean(values, axis=1), color=style.colour, linestyle=style.line, marker=style.marker, label=label
    )
    if values.shape[1] > 1:
        limits = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
        axes.fill_between(places, *limits, color=style.colour, alpha=0.18, linewidth=0)


def over_epochs(lines: Mapping[str, tuple[Sequence[int], np.ndarray]], agreed: Sequence[Mapping[str, Any]]) -> Figure:
    """Test accuracy over epochs, and beside it the agreement of peers where there are some.

    Args:
        lines: epochs and accuracies [epochs, runs], 0..1, by the network's label.
        agreed: rows of "first", "second", "epoch", "equal", "divergence", "divergence_back".
    """
    figure = canvas.new_figure(canvas.WIDTH if agreed else 4.8, 3.0 + 0.2 * len(lines))
    widths = (1.5, 1, 1) if agreed else (1,)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for place, (name, (epochs, values)) in enumerate(lines.items()):
        runs = f" ({values.shape[1]} runs)" if values.shape[1] > 1 else ""
        band(panels[0], epochs, 100 * values, canvas.wrapped(name + runs, 44), canvas.style(place))
    panels[0].set(xlabel="epoch", ylabel="accuracy on held-out examples in %")
    panels[0].legend(fontsize=6.5, **ABOVE)
    pairs: dict[str, dict[tuple[str, str], list[Mapping[str, Any]]]] = {}
    for one in agreed:
        pair = one["first"], one["second"]
        pairs.setdefault(_named(*pair), {}).setdefault(pair, []).append(one)
    for place, (name, seeds) in enumerate(pairs.items()):
        for number, own in enumerate(seeds.values()):
            style, epochs = canvas.style(place), [one["epoch"] for one in own]
            told: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "marker": style.marker}
            label = canvas.wrapped(name, 30) if number == 0 else None
            panels[1].plot(epochs, [100 * one["equal"] for one in own], label=label, **told)
            panels[2].plot(epochs, [one["divergence"] for one in own], **told)
            panels[2].plot(epochs, [one["divergence_back"] for one in own], mfc="white", **told)
    if agreed:
        panels[1].set(xlabel="epoch", ylabel="equal answers in %", ylim=(0, 100))
        panels[1].legend(fontsize=6.5, **ABOVE)
        for axes in panels[1:]:
            axes.set_xlim(panels[0].get_xlim())
        panels[2].set(xlabel="epoch", ylabel="KL in nats (hollow: reversed)")
        _scale(panels[2], [one[name] for one in agreed for name in ("divergence", "divergence_back")])
    return figure


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A scale from 0; where the values are of several sizes, one of powers of ten, which shows the small ones too."""
    if min(values) > 0 and max(values) > WIDE * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.15 * max(values) + 1e-9)


def _named(first: str, second: str) -> str:
    """What two networks are called together, those of several seeds alike."""
    one, other = (SEED.sub("", label) for label in (first, second))
    run, colon, _ = one.rpartition(":")
    return run if colon and other.startswith(f"{run}:") else f"{one} and {other}"
