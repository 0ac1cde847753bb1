"""The common look of all pictures: sizes, colours that stay apart in grey and for the colour-blind, wrapped titles."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfdistill.tables.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: the text's width in most journals of two columns.
WIDTH = 7.2
# Okabe and Ito, "Color Universal Design", 2008; without their yellow, which white paper swallows.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#666666", "#E8E8E8"
RCPARAMS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "figure.titlesize": 10,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "tfdistill",
}


@dataclass(frozen=True)
class Style:
    """What tells a line from the others, with colours and without."""

    colour: str
    line: Any
    marker: str


FIRST = Style(BLACK, (0, (4, 1.5)), "o")
_LINES = ("-", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)


def style(index: int) -> Style:
    """The style of a line; the first 28 differ."""
    turn, place = divmod(index, len(_COLOURS))
    return Style(_COLOURS[place], _LINES[(index + turn) % len(_LINES)], _MARKERS[place])


@contextmanager
def publishable() -> Iterator[None]:
    """Draws within have our look, whatever a user has set; the user's settings are as they were afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RCPARAMS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, known to no window and to no other part of the process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def wrapped(text: str, width: int) -> str:
    """`text` in lines of so many characters; a dollar sign stays one."""
    lines = textwrap.wrap(" ".join(text.split()), width) or [""]
    return "\n".join(lines).replace("$", r"\$")


def entitle(figure: Figure, summary: Summary, notes: Sequence[str] = ()) -> None:
    """Writes the table's title above; below, in lines, whose the paper's figures are, and what a reader must know."""
    width = figure.get_figwidth()
    figure.suptitle(wrapped(summary.table.title, int(width * 12.5)))
    source = [f"The paper: {summary.table.source}"] if summary.table.source else []
    lines = [wrapped(line, int(width * 18)) for line in (*source, *notes, *summary.head)]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=6.5, color=GREY, x=0.01, ha="left")
    rows = sum(line.count("\n") + 1 for line in lines) * 0.12
    figure.set_figheight(figure.get_figheight() + rows)


def scored(summary: Summary) -> str:
    """The label of an axis of figures, such as "test accuracy in %"."""
    on = " and ".join(summary.scored_on) or "test"
    return f"{on} {summary.table.metric} in %"
