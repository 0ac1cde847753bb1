"""What `--help` prints: every flag below its heading, with what it takes and what it is where it is not given."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from tfdistill.bounds import Choice, Filled, Number, described, require_one_of, without_none
from tfdistill.commands.flag_kinds import Description, Flags
from tfdistill.methods import METHODS
from tfdistill.optimizers import PROTOCOLS
from tfdistill.runs.fields import PROTOCOLS_OWN
from tfdistill.runs.hyperparameters import protocol_of
from tfdistill.runs.link_texts import transfer_names
from tfdistill.transfers import TRANSFERS

WIDTH, NARROWEST = 80, 40
INDENT, TEXT = " " * 2, " " * 6


def usage(program: str, values: Flags) -> str:
    """The flags of a command in groups, in lines of the terminal's width, of 80 columns where there is none.

    The flags of methods and transfers are many. Those of the chosen ones are shown, by `--method` and `--also`, and
    how to see the others.

    Raises:
        ValueError: no method has the chosen name.
    """
    width = max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)
    lines = [f"usage: {program} [--flagfile=FILE] [--flag=value ...]"]
    means = meanings(values)
    groups: dict[str, dict[str, Description]] = {}
    for name, one in values.descriptions.items():
        if "." not in name or name.partition(".")[0] in chosen_owners(values):
            groups.setdefault(one.group, {})[name] = one
    groups["Help"] = groups.pop("Help")  # to the end
    for title, flags in groups.items():
        lines += ["", title]
        for name, one in flags.items():
            lines += entry(name, one, means.get(name, ""), width)
    if "method" in values:
        lines += ["", *_of_others(values, width)]
    return "\n".join(lines)


def entry(name: str, one: Description, meaning: str, width: int) -> list[str]:
    """A flag's lines: how it is written, and below that its text.

    Args:
        name: the flag's.
        one: what is said of it.
        meaning: what its default stands for in this command line, such as "128 in ie_cifar"; may be empty.
        width: columns of the longest line.
    """
    texts = [" ".join(filter(None, [_sentence(one.text), _bounds(one)])), _default(name, one, meaning)]
    wrapped = [line for text in texts for line in _wrapped(text, width, TEXT)]
    return [f"{INDENT}{_written(name, one, width - len(INDENT))}", *wrapped]


def chosen_owners(values: Flags) -> set[str]:
    """The method and the transfers that the command line names."""
    if "method" not in values:
        return set()
    transfers = (*(values["also"].value or ()), *transfer_names(values["links"].value or ()))
    return {*([_method(values)] if values["method"].present else []), *transfers}


def meanings(values: Flags) -> Mapping[str, str]:
    """What defaults stand for, by flag, as method and protocol of the command line have it."""
    if "method" not in values:
        return {}
    method = _method(values)
    protocol = str(values["protocol"].value or protocol_of(method))
    require_one_of("protocol", protocol, PROTOCOLS)
    said = {**vars(PROTOCOLS[protocol].settings), **vars(PROTOCOLS[protocol])}
    said["optimizer"] = said["kind"]
    found = {
        name: f"{_plain(name, said[name])} in {protocol}"
        for name, one in values.descriptions.items()
        if one.unset == PROTOCOLS_OWN and name in said
    }
    return {**found, "protocol": f"{protocol_of(method)} for {method}"}


def _method(values: Flags) -> str:
    method = str(values["method"].value)
    require_one_of("method", method, METHODS)
    return method


def _of_others(values: Flags, width: int) -> list[str]:
    """How to see the flags of methods and transfers that are not chosen."""
    having = {name.partition(".")[0] for name in values.descriptions if "." in name}
    chosen = chosen_owners(values)
    texts = []
    methods, transfers = (", ".join(one for one in names if one in having - chosen) for names in (METHODS, TRANSFERS))
    if methods:
        texts.append(f"--help --method=NAME prints the flags of a method too: {methods}.")
    if transfers:
        texts.append(f"--help --also=NAME prints those of a transfer: {transfers}.")
    return [line for text in texts for line in _wrapped(text, width)]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _written(name: str, one: Description, width: int) -> str:
    """The flag as a user writes it."""
    bare, _ = without_none(one.kind)
    if bare is bool:
        return f"--{name}, --no{name}" if name not in ("help", "list") else f"--{name}"
    element = get_args(bare)[0] if get_origin(bare) is tuple else bare
    value = one.value
    if not value and isinstance(one.bounds, Choice) and len(choices := "|".join(one.bounds.names)) < width - len(name):
        value = choices
    elif not value:
        value = one.bounds.what.split()[1].upper() if isinstance(one.bounds, Filled) else _noun(element)
        value = value if element is bare else f"{value},{value}"
    return f"--{name}={value}"


def _noun(kind: Any) -> str:
    return {int: "N", float: "NUMBER"}.get(kind, "TEXT")


def _sentence(text: str) -> str:
    """A text that begins with a capital, unless that would change what it names, and ends with a full stop."""
    first, _, _ = text.partition(" ")
    text = text if not first.isalpha() or not first.islower() or len(first) == 1 else text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _bounds(one: Description) -> str:
    """A sentence on what a number may be."""
    if not isinstance(one.bounds, Number):
        return ""
    wanted = described(one.kind, one.bounds)
    return f"{wanted[0].upper()}{wanted[1:]}."


def _default(name: str, one: Description, meaning: str) -> str:
    """A sentence on what the flag is where it is not given."""
    if name in ("help", "list", "explain"):
        return ""
    unset = f"{one.unset} ({meaning})" if meaning else one.unset
    shown = "" if one.default is None else _plain(name, one.default)
    if one.default and not isinstance(one.default, bool):
        unset = ""  # A value other than nothing needs no words.
    return f"Default: {', '.join(filter(None, [shown, unset])) or 'empty'}."


def _plain(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple | list):
        return ",".join(_plain(name, one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
