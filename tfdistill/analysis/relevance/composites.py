"""Which rule of relevance holds where: composites, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tfdistill.bounds import Number, Share, annotated, check

PixelRule = Literal["bounded", "squared_weights", "gamma", "epsilon"]


@dataclass(frozen=True)
class Composite:
    """A rule for every layer with a kernel, by where it stands.

    Convolutions are counted from the image; dense layers and what has no kernel have the epsilon rule.

    Args:
        pixels: of the layers that read the image. "bounded" is z^B, which measures from the darkest and the brightest
            pixel; "squared_weights" is w^2.
        lower: the share of the other convolutions, the lower ones, that have the gamma rule.
        gamma: how much more those parts of a sum count that have its sign.
        epsilon: what stabilizes sums of upper convolutions, of dense layers and of normalizations that could not be
            folded, as a share of their root mean square in the image.
    """

    pixels: PixelRule = "bounded"
    lower: Share = 0.5
    gamma: Annotated[float, Number(0, 1_000)] = 0.25
    epsilon: Annotated[float, Number(0, 10)] = 0.1

    def __post_init__(self) -> None:
        for name, told in annotated(type(self)).items():
            check(name, getattr(self, name), *told)


COMPOSITES = {
    "epsilon_gamma_bounded": Composite(),
    "epsilon_gamma_squared_weights": Composite("squared_weights"),
    "epsilon_gamma": Composite("gamma"),
    "gamma_bounded": Composite(lower=1.0),
    "epsilon": Composite("epsilon", lower=0.0),
}
