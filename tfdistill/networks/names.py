"""Networks of one name, told apart."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def distinct(names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """The names, with a number where one comes more than once: "resnet32_1", "resnet32_2".

    A number whose name is another network's already is passed over.

    Args:
        names: in the order of the networks.
        taken: other models' names, which no network gets with its number.
    """
    counts, used = Counter(names), {*names, *taken}
    found = []
    for name in names:
        if counts[name] > 1:
            # One number too many for the used ones, so that a free one is among them.
            numbered = (f"{name}_{number}" for number in range(1, len(names) + len(used) + 1))
            name = next(one for one in numbered if one not in used)
            used.add(name)
        found.append(name)
    return found


def teacher_names(teachers: Sequence[str], networks: Collection[str]) -> list[str]:
    """Names for teachers that no network and no other teacher has: "resnet20_teacher" where a network is "resnet20".

    Args:
        teachers: their own names.
        networks: the learners' names, which stay.
    """
    return distinct([f"{name}_teacher" if name in networks else name for name in teachers], networks)


def tell_teachers_apart(teachers: Sequence[keras.Model], networks: Sequence[keras.Model]) -> None:
    """Renames teachers that have the name of a network or of each other, see `teacher_names`; warns once of it.

    Args:
        teachers: models, each given once.
        networks: the learners, and teachers whose names stay.
    """
    names = teacher_names([one.name for one in teachers], [network.name for network in networks])
    renamed = [one.name for one, name in zip(teachers, names, strict=True) if one.name != name]
    for teacher, name in zip(teachers, names, strict=True):
        teacher.name = name
    if renamed:
        warnings.warn(f"teachers: {renamed[0]} is another model's name; they are {', '.join(names)} now", stacklevel=4)


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
