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
)
from tfdistill.engine.network_checks import require_networks
from tfdistill.tasks import Task
from tfdistill.transfers import KerasLoss, Transfer

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
    "require_peers",
    "require_transfers",
]


def require_peers(networks: Sequence[keras.Model], task: Task | None = None) -> None:
    """Refuses a network alone, which has nobody to learn from, and what is no list of networks.

    Args:
        networks: as they were given.
        task: what they are to learn; classification if not given.

    Raises:
        ArgumentError: fewer than two networks, or one that `network_checks.require_networks` refuses.
    """
    require_networks(networks, task)
    if len(networks) < 2:
        raise ArgumentError("networks", f"learning from each other takes two or more, not {len(networks)}")


def require_transfers(transfers: Sequence[Transfer | keras.distillation.DistillationLoss]) -> list[Transfer]:
    """The transfers of a list, in which Keras' losses have become some; refuses what is none, such as a class of them.

    Raises:
        ValueError: names what was given.
    """
    if isinstance(transfers, str) or not isinstance(transfers, Sequence):
        raise ArgumentError("transfers", f"must be a list, such as [KD()], not {transfers!r:.80}")
    losses = keras.distillation.DistillationLoss
    made = [KerasLoss(one) if isinstance(one, losses) else one for one in transfers]
    for place, transfer in enumerate(made, start=1):
        if not isinstance(transfer, Transfer):
            raise ArgumentError("transfers", f"number {place} must be a transfer, such as KD(), not {transfer!r:.80}")
    return made
