"""Checks of what methods are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import keras

from tfdistill.bounds import Number, checked, choose, one_of

__all__ = [
    "RampEpochs",
    "Rate",
    "Share",
    "Temperature",
    "TermWeight",
    "checked",
    "choose",
    "features_of",
    "one_of",
    "require_peers",
]

# Hyper-parameters of one kind have one range. A constructor's annotations state it, `checked` holds it, and the flags'
# help is made from it.
TermWeight = Annotated[float, Number(0, 1_000_000)]
Temperature = Annotated[float, Number(0.001, 1_000)]
Share = Annotated[float, Number(0, 1)]
RampEpochs = Annotated[float, Number(0, 1_000_000)]
Rate = Annotated[float, Number(1e-30, 1_000_000)]


def require_peers(networks: Sequence[keras.Model]) -> None:
    """Refuses a network alone, which has nobody to learn from.

    Raises:
        ValueError: fewer than two networks.
    """
    if len(networks) < 2:
        raise ValueError(f"networks: learning from each other takes two or more, not {len(networks)}")


def features_of(network: keras.Model) -> keras.KerasTensor:
    """The symbolic last feature map, `[batch, height, width, channels]`, of a network.

    Raises:
        ValueError: the network has no tap "features".
    """
    if "features" not in network.output:
        raise ValueError(f"networks: {network.name} has no tap 'features'; it has {', '.join(network.output)}")
    return network.output["features"]
