"""The command `analyze`: its flags, and what can be refused without data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdistill import data
from tfdistill.analysis import ANALYSES
from tfdistill.analysis.options import Options, kinds_of_options
from tfdistill.bounds import Filled, one_of
from tfdistill.commands import command_line, starting
from tfdistill.commands.data_flags import define_data
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.usage import usage
from tfdistill.runs.folder import read_config
from tfdistill.runs.kept_epochs import FLAGS, path_and_epoch
from tfdistill.standalone.calling import program
from tfdistill.tables.pictures import require_picture

COMMAND = "analyze"
# Flags that add up: who gives one twice means both.
ADDED = ("run", "what", "labels", "taps", "classes", "sigmas", "channels")


def main(arguments: Sequence[str]) -> int:
    """Parses flags, writes pictures and numbers. Returns the exit status."""
    values = analyze_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, joined(arguments))
        if values["help"].value:
            print(usage(program(COMMAND), values))
            return 0
        options = check(values)
        compute_products(values)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import analyzing

    return analyzing.analyze(values, options)


def compute_products(values: Flags) -> None:
    """Has this process compute products as the first run says that is given; call it before TensorFlow is imported.

    Raises:
        ValueError: the run's flags are damaged, or there are no such products here.
    """
    paths = [path_and_epoch(Path(values.runs_dir) / text.partition(":")[0])[0] for text in values.run]
    own = next((path for path in paths if (path / FLAGS).is_file()), None)
    if own is not None:
        starting.compute_products(COMMAND, read_config(own).products)


def joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--run=a --run=b` as `--run=a,b`, and so for the other flags that add up.

    `--run a` is `--run=a`.
    """
    found: dict[str, int] = {}
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        flag = name.lstrip("-")
        if name.startswith("-") and not equals and flag in ADDED and (own := next(rest, None)) is not None:
            equals, value, argument = "=", own, f"{name}={own}"
        if name.startswith("-") and equals and flag in found:
            kept[found[flag]] += f",{value}"
            continue
        if name.startswith("-") and equals and flag in ADDED:
            found[flag] = len(kept)
        kept.append(argument)
    return kept


def analyze_flags() -> Flags:
    """The flags of the command."""
    values = Flags()
    group = "Networks"
    text = (
        "Networks to look at, side by side: runs (NAME, NAME@10 for an epoch that it has kept, NAME:NETWORK for one of "
        "its networks), SavedModels, .keras files."
    )
    define(values, "run", (), tuple[str, ...], text, Filled("a network"), group=group, unset="none", value="NAME,NAME")
    define(values, "runs_dir", "runs", str, "Folder of all runs.", Filled("a folder"), group=group)
    text = "Network that the others are compared with, named in the same way."
    define(values, "teacher", "", str, text, group=group, unset="none", value="NAME")
    text = "Names of the networks in pictures and tables, in their order, the teacher's last."
    define(
        values,
        "labels",
        (),
        tuple[str, ...],
        text,
        Filled("a name"),
        group=group,
        unset="those of the runs",
        value="NAME,NAME",
    )
    text = "Let code in .keras files run, such as that of a Lambda layer."
    define(values, "trust_code", False, bool, text, group=group)
    group = "Analyses"
    names = tuple(ANALYSES)
    text = f"Analyses to make, some of {', '.join(names)}."
    define(values, "what", (), tuple[str, ...], text, one_of(names), group=group, unset="none", value="NAME,NAME")
    kinds = kinds_of_options()
    for one in dataclasses.fields(Options):
        told = {name: one.metadata[name] for name in ("unset", "value")}
        define(
            values,
            one.name,
            one.default,
            kinds[one.name],
            one.metadata["text"],
            one.metadata["bounds"],
            group=group,
            **told,
        )
    define_data(
        values,
        dataset="the one that the first network was trained on",
        image_size="those of the training",
        batch="Examples that are computed at once, fewer above 224 pixels if the flag is not given.",
    )
    text = "Folder of the results: NAME.png, NAME.json, NAME.csv of each analysis, and logs/ for TensorBoard."
    define(values, "out", "analysis", str, text, Filled("a folder"), group="Output")
    command_line.define_help(values)
    return values


def check(values: Flags) -> Options:
    """The options, once what no data is needed to refuse is refused.

    Raises:
        ValueError: names the flag.
    """
    if not values.run:
        raise ValueError("run: is not given; give the networks to look at, such as --run=first or --run=first,second")
    if not values.what:
        raise ValueError(f"what: is not given; give some of {', '.join(ANALYSES)}")
    count = len(values.run) + bool(values.teacher)
    if len(set(values.labels)) < len(values.labels):
        raise ValueError("labels: has a name twice; give every network one of its own")
    if values.labels and len(values.labels) < count:
        raise ValueError(f"labels: must be a name for each of {count} networks, not {len(values.labels)}")
    if values.dataset:
        data.source_of(values.dataset)
    require_picture("out", "picture.png")
    command_line.require_folder("out", values.out)
    chosen = {name: values[name].value for name in kinds_of_options()}
    tuples: Any = {name: tuple(one) if isinstance(one, list) else one for name, one in chosen.items()}
    return Options(**tuples)
