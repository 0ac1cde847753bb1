"""What methods and transfers can be told: read from the text of their constructors, where it is stated once."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfdistill import lazy
from tfdistill.bounds import Bounds, bounds_of
from tfdistill.declared import Declared, declared
from tfdistill.methods import METHODS
from tfdistill.transfers import TRANSFERS

# What the command gives to constructors by itself.
NOT_HYPERPARAMETERS = ("networks", "teachers", "transfers", "links", "task", "seed", "examples", "name")


@dataclass(frozen=True)
class Hyperparameter:
    """One argument of a method's or transfer's constructor: default, type, bounds, and its docstring's words."""

    default: Any
    kind: type
    text: str
    hint: Any
    bounds: Bounds | None


def hyperparameters(method: str, also: Iterable[str] = ()) -> dict[str, Hyperparameter]:
    """The hyper-parameters of a method and of transfers that are added to it, the latter as "TRANSFER.name"."""
    found = dict(_hyperparameters_of(METHODS, method))
    for transfer in also:
        found |= {f"{transfer}.{name}": one for name, one in hyperparameters_of_transfer(transfer).items()}
    return found


def hyperparameters_of_transfer(transfer: str) -> dict[str, Hyperparameter]:
    """As `hyperparameters`, of a transfer alone."""
    return dict(_hyperparameters_of(TRANSFERS, transfer))


def flag_of(method: str, hyperparameter: str) -> str:
    """The name of a hyper-parameter's flag; that of a transfer, such as "kd.weight", has its owner's name already."""
    return hyperparameter if "." in hyperparameter else f"{method}.{hyperparameter}"


def protocol_of(method: str) -> str:
    """The name of the protocol that a method is trained with where the flags name none."""
    return method_declared(method).attributes["protocol"]


def takes_teachers(method: str) -> bool:
    """Whether there is no such method without a teacher; see `Distiller.learns_from_teachers`."""
    return method_declared(method).attributes.get("learns_from_teachers", False)


def may_take_teachers(method: str) -> bool:
    """Whether the method itself has a use for a teacher."""
    return "teachers" in method_declared(method).names


def trains_in_turn(method: str) -> bool:
    """Whether each network has a training of its own; see `Distiller.trains_in_turn`."""
    return method_declared(method).attributes.get("trains_in_turn", False)


def method_declared(method: str) -> Declared:
    """What a method says of itself."""
    return declared(METHODS, method, NOT_HYPERPARAMETERS)


def _hyperparameters_of(lookup: lazy.Lookup[Any], key: str) -> dict[str, Hyperparameter]:
    said = declared(lookup, key, NOT_HYPERPARAMETERS)
    texts = _argument_texts(said.documentation)
    found = {}
    for name, (default, annotation) in said.arguments.items():
        kind = type(default)
        hint, bounds = bounds_of(annotation) or (kind, None)
        found[name] = Hyperparameter(default, kind, texts[name], hint, bounds)
    return found


@functools.cache
def _argument_texts(docstring: str) -> dict[str, str]:
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section.group(1), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in entries}
