"""The options of analyses: each is a flag of the command, and a field that Python code sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from tfdistill.analysis.relevance.composites import COMPOSITES
from tfdistill.bounds import ArgumentError, Bounds, Filled, Number, check, one_of

# Of the last map: all channels, those that inherit, and those that explore.
HALVES = ("whole", "inheritance", "exploration")


def option(default: Any, text: str, bounds: Bounds | None = None, *, unset: str = "", value: str = "") -> Any:
    """A field of `Options`.

    Args:
        default: its value where nobody says another.
        text: what its flag's help says, in whole sentences.
        bounds: of the value, or of each element of a list.
        unset: what a default of 0 or nothing stands for.
        value: what help writes for a value, such as CLASS,CLASS,CLASS.
    """
    return dataclasses.field(default=default, metadata={"text": text, "bounds": bounds, "unset": unset, "value": value})


@dataclass(frozen=True)
class Options:
    """What a user may choose; an analysis reads what concerns it."""

    examples: int = option(
        0,
        "Number of examples, taken evenly from the whole part.",
        Number(0, 100_000_000),
        unset="all, or as many as the analysis takes by itself",
    )
    taps: tuple[str, ...] = option(
        (), "Taps of the networks that are looked at.", Filled("a tap"), unset="the analysis' own", value="TAP,TAP"
    )
    classes: tuple[str, ...] = option(
        (),
        "Classes that are looked at, by name or number.",
        Filled("a class"),
        unset="the first ones; of heat maps all",
        value="A,B,C",
    )
    bins: int = option(10, "Bins of a reliability diagram, all of one width.", Number(1, 1_000))
    density_bins: int = option(300, "Bins of a density.", Number(1, 100_000))
    halves: bool = option(
        True, "Look at the halves of the last feature map too: those that inherit and explore, or the first and second."
    )
    sigmas: tuple[float, ...] = option(
        (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05), "Deviations of the noise on the weights.", Number(0, 1_000)
    )
    draws: int = option(5, "Noises of each deviation.", Number(5, 10_000))
    seed: int = option(0, "Seed of the noise.", Number(0, 2**31 - 1), unset="the same noise every time")
    gradient_share: float = option(
        0.95, "Share of the gradients' energy that active neurons hold.", Number(0, 1, above=True)
    )
    images: int = option(16, "Images of each network in pictures of examples.", Number(1, 256))
    explain: str = option(
        "label",
        "Class whose logit heat maps explain: label, which is the right one, predicted, or one class for all images.",
        Filled("label, predicted or a class"),
        value="label|predicted|CLASS",
    )
    channels: tuple[str, ...] = option(
        (),
        "Channels of the last map whose relevance is drawn.",
        one_of(HALVES),
        unset="all of these that the network has",
        value=",".join(HALVES),
    )
    composite: str = option(
        "epsilon_gamma_bounded",
        f"Rules of relevance, by the name of their composite: {', '.join(COMPOSITES)}.",
        one_of(COMPOSITES),
        value="NAME",
    )
    lower: float | None = option(
        None, "Share of the convolutions that has the gamma rule.", Number(0, 1), unset="the composite's"
    )
    gamma: float | None = option(None, "Gamma of the gamma rule.", Number(0, 1_000), unset="the composite's")
    epsilon: float | None = option(
        None,
        "Epsilon of the epsilon rule, as a share of a layer's root mean square.",
        Number(0, 10),
        unset="the composite's",
    )

    def __post_init__(self) -> None:
        kinds = kinds_of_options()
        for one in dataclasses.fields(self):
            given = getattr(self, one.name)
            check(one.name, given, kinds[one.name], one.metadata["bounds"])
            # What is asked for twice would be counted twice.
            if isinstance(given, tuple) and (twice := [value for value in given if given.count(value) > 1]):
                raise ArgumentError(one.name, f"has {twice[0]} twice; give each once")


def kinds_of_options() -> Mapping[str, Any]:
    """The type of each option by its name."""
    return get_type_hints(Options)
