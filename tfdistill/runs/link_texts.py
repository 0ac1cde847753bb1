"""What a user writes for the links of a chain, taken apart: the transfers of each, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdistill.bounds import ArgumentError, check, choose, number, require_one_of, shown
from tfdistill.runs.hyperparameters import hyperparameters_of_transfer
from tfdistill.transfers import TRANSFERS

JOINED = "+"
SWITCH = {"true": True, "false": False}


@dataclass(frozen=True)
class LinkTransfer:
    """A transfer of a link.

    Attributes:
        name: of `TRANSFERS`.
        told: hyper-parameters that this link says.
    """

    name: str
    told: dict[str, Any]


def link_of(text: str) -> list[LinkTransfer]:
    """The transfers of a link, such as "kd:temperature=3+mse".

    Raises:
        ArgumentError: "links", with what is wrong in the text.
    """
    try:
        made = [_transfer(part) for part in text.split(JOINED)]
    except ArgumentError as error:
        raise ArgumentError("links", f"{shown(text)}: {error}") from error
    names = [one.name for one in made]
    if len(set(names)) < len(names):
        raise ArgumentError("links", f"{shown(text)} has a transfer twice")
    return made


def transfer_names(links: Sequence[str]) -> tuple[str, ...]:
    """The transfers that links name, each once."""
    return tuple(dict.fromkeys(one.name for text in links for one in link_of(text)))


def _transfer(text: str) -> LinkTransfer:
    name, *given = text.split(":")
    require_one_of("transfer", name, TRANSFERS)
    known, told = hyperparameters_of_transfer(name), {}
    for argument, equals, value in (one.partition("=") for one in given):
        one = choose(f"{name} hyper-parameter", argument, known)
        if not equals:
            raise ArgumentError(argument, f"has no value; write {name}:{argument}=VALUE")
        read = SWITCH.get(value, value) if one.kind is bool else number(value, one.kind)
        check(argument, read, one.hint, one.bounds)
        told[argument] = float(read) if one.kind is float else read
    return LinkTransfer(name, told)
