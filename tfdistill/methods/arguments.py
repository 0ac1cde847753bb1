"""Checks of what methods are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import keras

from tfdistill.bounds import Number, checked, choose, one_of
from tfdistill.engine.network_checks import require_networks

__all__ = [
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

# Hyper-parameters of one kind have one range. A constructor's annotations state it, `checked` holds it, and the flags'
# help is made from it.
TermWeight = Annotated[float, Number(0, 1_000_000)]
Temperature = Annotated[float, Number(0.001, 1_000)]
Share = Annotated[float, Number(0, 1)]
RampEpochs = Annotated[float, Number(0, 1_000_000)]
Rate = Annotated[float, Number(1e-30, 1_000_000)]
Order = Literal["alternating", "joint"]


def require_peers(networks: Sequence[keras.Model]) -> None:
    """Refuses a network alone, which has nobody to learn from, and what is no list of networks.

    Raises:
        ValueError: fewer than two networks, or one that `network_checks.require_networks` refuses.
    """
    require_networks(networks)
    if len(networks) < 2:
        raise ValueError(f"networks: learning from each other takes two or more, not {len(networks)}")
