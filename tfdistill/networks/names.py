"""Networks of one name, told apart."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import keras


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number where one comes more than once: "resnet32_1", "resnet32_2".

    A number whose name is another network's already is passed over.

    Args:
        names: in the order of the networks.
    """
    counts, used = Counter(names), set(names)
    found = []
    for name in names:
        if counts[name] > 1:
            # One number too many for the used ones, so that a free one is among them.
            numbered = (f"{name}_{number}" for number in range(1, len(names) + len(used) + 1))
            name = next(one for one in numbered if one not in used)
            used.add(name)
        found.append(name)
    return found


def tell_apart(networks: Sequence[keras.Model]) -> None:
    """Renames networks that have one name, as the command names them, and warns once of the new names.

    The names of layers and variables stay, so weights, checkpoints of the network and exports are what they were.

    Args:
        networks: models; the same object twice is left to `network_checks`.
    """
    names = distinct([network.name for network in networks])
    renamed = [network.name for network, name in zip(networks, names, strict=True) if network.name != name]
    if not renamed or len({id(network) for network in networks}) < len(networks):
        return
    for network, name in zip(networks, names, strict=True):
        network.name = name
    warnings.warn(f"networks: several are called {renamed[0]}; they are {', '.join(names)} now", stacklevel=3)
