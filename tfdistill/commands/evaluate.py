"""The command `evaluate`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfdistill import data
from tfdistill.bounds import Filled, shown
from tfdistill.commands import command_line, starting
from tfdistill.commands.data_flags import define_data
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.usage import usage
from tfdistill.runs.fields import EPOCHS
from tfdistill.runs.folder import existing_epoch, read_config
from tfdistill.runs.kept_epochs import AT
from tfdistill.standalone.calling import program

COMMAND = "evaluate"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, scores, prints a table. Returns the exit status."""
    values = evaluate_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(usage(program(COMMAND), values))
            return 0
        check(values)
        run = existing_epoch(values.runs_dir, values.run) if values.run else None
        if run:
            starting.compute_products(COMMAND, read_config(run[0].path).products)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import evaluating

    return evaluating.evaluate(values, run)


def evaluate_flags() -> Flags:
    """The flags of the command."""
    values = Flags()
    group = "Networks"
    text = (
        "Score the networks of this run, as of its newest checkpoint; NAME@10: of its 10th epoch, if it has kept that."
    )
    define(values, "run", "", str, text, group=group, unset="none", value="NAME")
    define(values, "runs_dir", "runs", str, "Folder of all runs.", Filled("a folder"), group=group)
    text = "Epoch of the run whose weights are scored: last or best."
    define(values, "export_epoch", None, str | None, text, EPOCHS, group=group, unset="the run's own")
    text = "Score this SavedModel instead of a run: the folder of a version, or a folder that holds versions."
    define(values, "saved_model", "", str, text, group=group, unset="none", value="FOLDER")
    define_data(
        values,
        dataset="the one of the training",
        image_size="those of the network",
        batch="Examples per batch, fewer above 224 pixels if the flag is not given. The scores do not depend on it.",
    )
    group = "Output"
    text = "Write the scores to this file too, class by class as well."
    define(values, "json", "", str, text, group=group, unset="none", value="FILE")
    text = "Write the confusion matrices to this file: CSV or JSON, by its ending."
    define(values, "confusion", "", str, text, group=group, unset="none", value="FILE")
    command_line.define_help(values)
    return values


def require_one_epoch(values: Flags) -> None:
    """Refuses --export_epoch where --run=NAME@EPOCH says the epoch.

    Raises:
        ValueError: both are given.
    """
    if AT in values.run and values.export_epoch:
        raise ValueError(f"export_epoch: --run={values.run} says the epoch already; leave one of them out")


def check(values: Flags) -> None:
    """Refuses flags that no data is needed to refuse.

    Raises:
        ValueError: names the flag.
    """
    if bool(values.run) == bool(values.saved_model):
        raise ValueError("run: give either --run=NAME or --saved_model=FOLDER")
    require_one_epoch(values)
    if values.saved_model and values.export_epoch:
        raise ValueError("export_epoch: is for --run; a SavedModel has the weights of one epoch, leave it out")
    if values.dataset:
        data.source_of(values.dataset)
    for name, text in (("json", values.json), ("confusion", values.confusion)):
        if text:
            command_line.require_file(name, text)
    if values.confusion and Path(values.confusion).suffix not in (".csv", ".json"):
        raise ValueError(f"confusion: must be a file that ends with .csv or .json, not {shown(values.confusion)}")
