"""The command `evaluate`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfdistill import data
from tfdistill.bounds import Bounds, Filled, Number, one_of, shown
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import define
from tfdistill.standalone.calling import program

COMMAND = "evaluate"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, scores, prints a table. Returns the exit status."""
    values = evaluate_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(command_line.usage(program(COMMAND), values))
            return 0
        check(values)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import evaluating

    return evaluating.evaluate(values)


def evaluate_flags() -> flags.FlagValues:
    """The flags of the command."""
    values = flags.FlagValues()
    texts = {
        "run": ("", "Score the networks of this run, as of its newest checkpoint."),
        "runs_dir": ("runs", "Folder of all runs."),
        "export_epoch": ("", "With --run, the epoch whose weights are scored: last or best; the run's own if empty."),
        "saved_model": ("", "Score this SavedModel instead: a version's folder, or one that holds versions."),
        "dataset": ("", "Data set (train --list names them); the one trained on if empty."),
        "data_dir": ("", "Where the data lies; where it lay for the training if empty and the data set is the same."),
        "split": (
            "test",
            "test, validation or train: the part as the data set has it, or as the run's --split made it.",
        ),
        "json": ("", "Write the scores to this file too, with per-class accuracy."),
        "confusion": ("", "Write the confusion matrices to this file: CSV or JSON, by its ending."),
    }
    needed: dict[str, Bounds] = {"runs_dir": Filled("a folder"), "split": one_of(("test", "validation", "train"))}
    for name, (default, text) in texts.items():
        define(values, name, default, str, text, needed.get(name))
    size = "Height and width that images of many sizes are brought to; those that the network takes if 0."
    define(values, "image_size", 0, int, size, Number(0, 16_384))
    batch = "Examples per batch, fewer above 224 pixels if not given; changes the speed only."
    define(values, "batch_size", 256, int, batch, Number(1, 1_000_000))
    flags.DEFINE_bool("download", True, "Let TFDS download a data set that is not there.", flag_values=values)
    flags.DEFINE_bool("help", False, "Print every flag, and exit.", short_name="h", flag_values=values)
    return values


def check(values: flags.FlagValues) -> None:
    """Refuses flags that no data is needed to refuse.

    Raises:
        ValueError: names the flag.
    """
    if bool(values.run) == bool(values.saved_model):
        raise ValueError("run: give either --run=NAME or --saved_model=FOLDER")
    if values.saved_model and values.export_epoch:
        raise ValueError("export_epoch: is for --run; a SavedModel has the weights of one epoch, leave it out")
    if values.dataset:
        data.source_of(values.dataset)
    for name in ("json", "confusion"):
        file = Path(str(values[name].value))
        if file.name and ((file.exists() and not file.is_file()) or not file.absolute().parent.is_dir()):
            raise ValueError(f"{name}: must be a file in a folder that exists, not {shown(values[name].value)}")
    if values.confusion and Path(values.confusion).suffix not in (".csv", ".json"):
        raise ValueError(f"confusion: must be a file that ends with .csv or .json, not {shown(values.confusion)}")
