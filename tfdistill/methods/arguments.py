"""Checks of what methods are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import keras

from tfdistill.bounds import Number, checked, choose, one_of
from tfdistill.network_checks import require_networks

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
    """Refuses a network alone, which has nobody to learn from, and what is no list of networks.

    Raises:
        ValueError: fewer than two networks, or one that `network_checks.require_networks` refuses.
    """
    require_networks(networks)
    if len(networks) < 2:
        raise ValueError(f"networks: learning from each other takes two or more, not {len(networks)}")


def features_of(network: keras.Model) -> keras.KerasTensor:
    """The symbolic last feature map, `[batch, height, width, channels]`, of a network.

    Raises:
        ValueError: the network has no tap "features", or one that is no map of a known size.
    """
    if "features" not in network.output:
        raise ValueError(f"networks: {network.name} has no tap 'features'; it has {', '.join(network.output)}")
    features = network.output["features"]
    if len(features.shape) != 4 or None in features.shape[1:]:
        raise ValueError(
            f"networks: {network.name}: 'features' must be [batch, height, width, channels] of one size, not "
            f"{tuple(features.shape)}; build it for images of one size"
        )
    return features
