"""Checks of what methods are given."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import keras

T = TypeVar("T")


def choose(argument: str, value: str, choices: Mapping[str, T]) -> T:
    """`choices[value]`, or one line that names the argument and the nearest choice.

    Raises:
        ValueError: `value` is no key of `choices`.
    """
    if value in choices:
        return choices[value]
    nearest = difflib.get_close_matches(value, choices, n=1, cutoff=0.0)
    raise ValueError(f"{argument}: {value!r} is none of {', '.join(choices)}; nearest: {nearest[0]}")


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
