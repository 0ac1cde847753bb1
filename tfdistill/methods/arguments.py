"""Checks of what methods are given."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdistill.bounds import (
    ArgumentError,
    Order,
    RampEpochs,
    Rate,
    Share,
    Temperature,
    TermWeight,
    checked,
    choose,
    one_of,
)
from tfdistill.engine.network_checks import require_networks

__all__ = [
    "ArgumentError",
    "Order",
    "RampEpochs",
    "Rate",
    "Share",
    "Temperature",
    "TermWeight",
    "checked",
    "choose",
    "one_of",
    "require_peers",
]


def require_peers(networks: Sequence[keras.Model]) -> None:
    """Refuses a network alone, which has nobody to learn from, and what is no list of networks.

    Raises:
        ArgumentError: fewer than two networks, or one that `network_checks.require_networks` refuses.
    """
    require_networks(networks)
    if len(networks) < 2:
        raise ArgumentError("networks", f"learning from each other takes two or more, not {len(networks)}")
