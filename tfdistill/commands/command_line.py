"""Flags, made from `RunConfig` and the methods' constructors."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from tfdistill.bounds import nearest, require_one_of, shown
from tfdistill.columns import aligned
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.flagfiles import Expanded, expanded
from tfdistill.commands.usage import chosen_owners
from tfdistill.data import AUGMENTATIONS, DATASETS, TFDS_PATTERN, TFDS_SUMMARY
from tfdistill.declared import Declared, declared
from tfdistill.devices.memory import is_out_of_memory, out_of_memory
from tfdistill.export import ExportError
from tfdistill.methods import METHODS
from tfdistill.networks import APPLICATIONS, DETECTORS, NETWORKS
from tfdistill.runs.config import RunConfig, field_types
from tfdistill.runs.fields import GROUPS
from tfdistill.runs.hyperparameters import (
    NOT_HYPERPARAMETERS,
    Hyperparameter,
    hyperparameters,
    hyperparameters_of_transfer,
    takes_teachers,
)
from tfdistill.runs.link_texts import transfer_names
from tfdistill.transfers import TRANSFERS

# Flags of what is added to a run: who gives one twice means both.
ADDED = ("also", "teacher", "augmentation")
# The methods that a transfer's name stands for: with a teacher, and of a transfer that needs none.
DISTILLATION, SUPERVISED = "distillation", "supervised"
# The method that --chain is short for.
CHAIN = "chain"


def run_flags() -> Flags:
    """A flag per field of `RunConfig`, one per hyper-parameter of every method and transfer, `--list` and `--help`."""
    values = Flags()
    kinds = field_types()
    for group in GROUPS:
        for one in dataclasses.fields(group):
            told = {name: one.metadata[name] for name in ("unset", "value")}
            texts = (one.metadata["help"], one.metadata["bounds"])
            define(values, one.name, one.default, kinds[one.name], *texts, group=group.__doc__ or "", **told)
    for name, told_of in every_hyperparameter().items():
        owner = name.partition(".")[0]
        group_of = f"Method {owner}" if owner in METHODS else f"Transfer {owner}"
        define(values, name, told_of.default, told_of.hint, told_of.text, told_of.bounds, group=group_of)
    text = "Train the networks one after another, each taught by the one before it: short for --method=chain."
    define(values, "chain", False, bool, text, group=GROUPS[0].__doc__ or "")
    define(values, "list", False, bool, "Print methods, transfers, networks and data sets, and exit.", group="Help")
    define_help(values)
    return values


def require_file(flag: str, text: str) -> None:
    """Refuses what no file can be written to.

    Raises:
        ValueError: names the flag.
    """
    file = Path(text)
    if not file.name or (file.exists() and not file.is_file()) or not file.absolute().parent.is_dir():
        raise ValueError(f"{flag}: must be a file in a folder that exists, not {shown(text)}")


def require_folder(flag: str, text: str) -> None:
    """Refuses what is no folder, and can be made none.

    Raises:
        ValueError: names the flag.
    """
    folder = Path(text).absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{flag}: must be a folder that can be written, not {shown(text)}")


def define_help(values: Flags) -> None:
    """The flags that every command has."""
    define(values, "help", False, bool, "Print the flags, and exit.", group="Help")


def parse(values: Flags, arguments: Sequence[str]) -> None:
    """Parses `arguments` (without the program's name) into `values`.

    A transfer's name as the method, `--method=kd`, is `--method=distillation --also=kd` from here on; that of a
    transfer without a source is supervised training with it.

    Raises:
        ValueError: an unknown flag, a value of the wrong kind, a flagfile that cannot be read, what is no flag, or a
            flag of `ADDED` that comes twice.
    """
    _require_utf8_folder()
    _require_once(arguments)
    given = expanded(arguments)
    for one in given:
        _require_text(one)
    try:
        _, *rest = values(["", *(one.argument for one in given)])
    except flags.Error as error:
        said = _in_our_words(" ".join(str(error).split()), values)
        raise ValueError(f"{_place_of(error, given, values)}{said}") from error
    if rest:
        place = next((one.place for one in given if one.argument == rest[0]), "")
        raise ValueError(f"{place}{rest[0]!r} is no flag; flags begin with --, such as --run=first")
    for name in ("method", "explain"):
        if name in values and values[name].value in TRANSFERS:
            _learn_by(name, values)
    if "chain" in values and values["chain"].value:
        _chain(values)


def run_config(values: Flags) -> RunConfig:
    """The run that parsed flags describe.

    Raises:
        ValueError: a value out of its range, or a hyper-parameter of another method than `--method`, or of a transfer
            that `--also` does not name.
    """
    names = [one.name for one in dataclasses.fields(RunConfig) if one.name != "hyperparameters"]
    read = {name: _value(values[name].value) for name in names}
    named = (*read["also"], *transfer_names(read["links"]))
    said = {}
    for flag in (values[name] for name in every_hyperparameter()):
        owner, name = flag.name.split(".")
        if not flag.present:
            continue
        if owner in named:
            said[flag.name] = _value(flag.value)
        elif owner == read["method"]:
            said[name] = _value(flag.value)
        elif owner in TRANSFERS:
            raise ValueError(f"{flag.name}: belongs to --also={owner}, which is not given; add it, or leave this out")
        else:
            raise ValueError(f"{flag.name}: belongs to --method={owner}, not {read['method']}; leave it out")
    return RunConfig(**read, hyperparameters=said)


def every_hyperparameter() -> dict[str, Hyperparameter]:
    """By the name of its flag, every hyper-parameter of every method and transfer."""
    owners: dict[str, Mapping[str, Hyperparameter]] = {method: hyperparameters(method) for method in METHODS}
    owners |= {transfer: hyperparameters_of_transfer(transfer) for transfer in TRANSFERS}
    return {f"{owner}.{name}": told for owner, own in owners.items() for name, told in own.items()}


def explained(values: Flags) -> RunConfig:
    """The run that `--explain=METHOD` is about: the other flags with that method, and networks if they name none.

    Where `--explain` is not given, that of `--method`.

    Raises:
        ValueError: no such method, or flags that no run of it can have.
    """
    name = "explain" if values["explain"].present else "method"
    method = str(values[name].value)
    require_one_of(name, method, METHODS)
    values["method"].value = method
    if not values["networks"].present:
        # As few as show how they teach each other.
        alone = method == "supervised" and not values["also"].value
        values["networks"].value = ["resnet8"] if alone or takes_teachers(method) else ["resnet8", "resnet8"]
    return run_config(values)


def listing() -> str:
    """Methods, transfers, networks and data sets, a line each."""
    parts = {
        "Methods (--method)": {name: _first_line(declared(METHODS, name, NOT_HYPERPARAMETERS)) for name in METHODS},
        "Transfers (--also)": {name: _first_line(declared(TRANSFERS, name, NOT_HYPERPARAMETERS)) for name in TRANSFERS},
        "Networks (--networks)": {
            **{family.pattern: family.summary for family in NETWORKS.values()},
            **{
                name: f"{one.builder} of keras.applications, whose ImageNet weights it fits"
                for name, one in APPLICATIONS.items()
            },
        },
        "Detectors (--networks, for data sets with boxes)": {
            family.pattern: family.summary for family in DETECTORS.values()
        },
        "Data sets (--dataset)": {
            **{name: entry.summary for name, entry in DATASETS.items()},
            TFDS_PATTERN: TFDS_SUMMARY,
        },
        "Augmentations (--augmentation), in this order": AUGMENTATIONS,
    }
    lines = []
    for title, entries in parts.items():
        lines += [title, *aligned(list(entries.items()), indent="  "), ""]
    return "\n".join(lines).rstrip()


@contextlib.contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Ends the process with one line on standard error, and status 2, where the block raises for what a user gave.

    Put it around what reads and checks, not around training: there a ValueError is a defect, and wants its traceback.
    """
    try:
        with memory_errors(program):
            yield
    except BrokenPipeError:  # nothing that a user gave: the reader of the output has seen enough
        raise
    except (ValueError, OSError, ExportError) as error:
        message = str(error)
        if isinstance(error, UnicodeEncodeError):  # a name that an environment variable or a folder has in Latin-1
            message = f"{error.object!r} is no text in UTF-8; rename what is called so"
        if not message or "\n" in message:
            raise
        print(f"{program}: error: {message}", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def memory_errors(program: str) -> Iterator[None]:
    """Ends the process with one line on standard error, and status 2, where the block finds no memory left."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(f"{program}: error: {out_of_memory(error)}", file=sys.stderr)
        sys.exit(2)


def _learn_by(name: str, values: Flags) -> None:
    """Puts the method that learns by a transfer into the flag `name`, which has the transfer's name."""
    transfer, also = str(values[name].value), list(values["also"].value or ())
    if transfer in also:
        raise ValueError(f"also: {transfer} is what --{name} says already; leave it out")
    is_taught = declared(TRANSFERS, transfer).attributes["needs_source"]
    values[name].value, values["also"].value = DISTILLATION if is_taught else SUPERVISED, [transfer, *also]


def _chain(values: Flags) -> None:
    """Has `--chain` be what it is short for; a method of its links is distillation, whose weight of labels they take.

    Raises:
        ValueError: another method is given.
    """
    method, weight = values["method"], values[f"{DISTILLATION}.label_weight"]
    if method.present and method.value not in (CHAIN, DISTILLATION):
        raise ValueError(
            f"chain: goes with --method={DISTILLATION} or a transfer's name, for each link, not with {method.value}; "
            "leave one of them out"
        )
    if method.value == DISTILLATION and weight.present:
        weights = values[f"{CHAIN}.label_weight"]
        if not weights.present:
            weights.value, weights.present = [weight.value], 1
        weight.present = 0
    method.value, method.present = CHAIN, 1


def _require_utf8_folder() -> None:
    """Refuses a working directory by whose name TensorFlow could not open what lies there."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise ValueError("the working directory is not there any more; go to another") from None
    if any("\ud800" <= character <= "\udfff" for character in folder):
        raise ValueError(
            f"the working directory {folder!r} has a name that is not in UTF-8; rename it, or go to another"
        )


def _require_once(arguments: Sequence[str]) -> None:
    """Refuses `--also=kd --also=map_distance`: of two flags the last counts, and here both are meant.

    A flag after a flagfile is not its second: that overrides what the file says.
    """
    given: dict[str, list[str]] = {}
    for argument, following in itertools.pairwise((*arguments, "")):
        flag, equals, value = argument.partition("=")
        if flag.startswith("-") and (name := flag.lstrip("-")) in ADDED:
            given.setdefault(name, []).append(value if equals else following)
    for name, found in given.items():
        if len(found) > 1:
            said = f"is given {len(found)} times, and the last alone would count; give {shown(','.join(found))} once"
            raise ValueError(f"{name}: {said}")


def _require_text(one: Expanded) -> None:
    """Refuses what no file or text can be called, or what TensorFlow, which wants UTF-8, could not open."""
    argument = one.argument
    name, _, value = argument.removeprefix("--").partition("=")
    if re.search("[\0-\x1f\x7f]", argument):
        raise ValueError(f"{one.place}{shown(name)}: {shown(value)} has a control character")
    if any("\ud800" <= character <= "\udfff" for character in argument):
        written = os.fsencode(argument).decode("latin-1")
        raise ValueError(
            f"{one.place}{shown(name)}: must be text in UTF-8, not {shown(value)} ({written!r}, read as Latin-1); "
            "rename it, or call it by another path"
        )


def _place_of(error: flags.Error, given: Sequence[Expanded], values: Flags) -> str:
    """Where the fault stands that parsing everything at once has found: in the file that has it when parsed alone."""
    for place, group in itertools.groupby(given, key=lambda one: one.place):
        try:
            values(["", *(one.argument for one in group)])
        except flags.Error as again:
            if str(again) == str(error):
                return place
    return ""


def _in_our_words(message: str, values: Flags) -> str:
    """What absl says of a flag, as we say it."""
    no_boolean = re.fullmatch(r"flag --([^=]+)=(.*): \('Non-boolean argument to boolean flag', .*\)", message)
    if no_boolean:
        return f"{no_boolean[1]}: must be true or false, not {shown(no_boolean[2])}"
    if unknown := re.fullmatch(r"Unknown command line flag '(.*?)'(?:\. Did you mean: .* \?)?", message):
        return f"{shown(unknown[1])}: is no flag; nearest: {_nearest_flag(unknown[1], values)}"
    missing = re.fullmatch(r"Missing value for flag --?(.*?)\.?", message)
    if missing:
        return f"{missing[1]}: has no value; write --{missing[1]}=VALUE"
    return message


def _nearest_flag(name: str, values: Flags) -> str:
    """The flag that is most like `name`: one of the method's where that has just its name in front."""
    owned = [f"{owner}.{name}" for owner in chosen_owners(values)]
    found = next((one for one in owned if one in values), None)
    switches = [f"no{one}" for one, told in values.descriptions.items() if told.kind is bool and told.default]
    return found or nearest(name, [*values.descriptions, *switches])


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first_line(said: Declared) -> str:
    return said.documentation.partition("\n")[0]
