"""Who learns from whom: plain tables over any items, networks or their indices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Pair(NamedTuple):
    """One learner and the one source it learns from."""

    learner: Any
    source: Any


class Group(NamedTuple):
    """One learner and all the sources it learns from."""

    learner: Any
    sources: tuple[Any, ...]


def all_pairs(items: Iterable[Any]) -> tuple[Group, ...]:
    """Let everyone learn from everyone else, as in deep mutual learning.

    Args:
        items: at least two networks, or their indices.

    Returns:
        One (learner, sources) for each item in order; the sources are the others, in order.

    Raises:
        ValueError: if there are fewer than two items.
    """
    peers = _at_least_two(items)
    return tuple(Group(learner, peers[:k] + peers[k + 1 :]) for k, learner in enumerate(peers))


def cycle(items: Iterable[Any]) -> tuple[Pair, ...]:
    """Pass knowledge around a ring 1 -> 2 -> ... -> K -> 1: everyone learns from the item before.

    Args:
        items: at least two networks, or their indices.

    Returns:
        One (learner, source) for each item in order; the first item's source is the last. Two items form the
        plain mutual pair.

    Raises:
        ValueError: if there are fewer than two items.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", cyclic learning of
        three and more networks.
    """
    peers = _at_least_two(items)
    return tuple(Pair(learner, peers[k - 1]) for k, learner in enumerate(peers))


def _at_least_two(items: Iterable[Any]) -> tuple[Any, ...]:
    peers = tuple(items)
    if len(peers) < 2:
        raise ValueError(f"items must hold at least two learners, got {len(peers)}")
    return peers
