"""The command `train`: flags in, a trained run out, and one line for whatever goes wrong on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tfdistill.commands import command_line, starting
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.taught_rows import require_teacher
from tfdistill.commands.usage import usage
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.interruption import Interrupted, Signals
from tfdistill.runs.kept_epochs import kept
from tfdistill.runs.mending import mend
from tfdistill.runs.stored_flags import read_run_config
from tfdistill.standalone.calling import program, words

COMMAND = "train"


def main(arguments: Sequence[str], command: str = COMMAND) -> int:
    """Parses flags, trains, exports, prints a table.

    Args:
        arguments: flags.
        command: what messages call it: "explain" where it is asked for a page alone, on the method that --explain or
            --method names, or for the list of what there is.

    Returns:
        The exit status.
    """
    with Signals().handled() as signals:
        try:
            return _main(arguments, signals, command)
        except Interrupted as stopped:
            print(f"\n{program(command)}: {stopped}; the same command goes on from there", file=sys.stderr)
            return stopped.exit_status


def _main(arguments: Sequence[str], signals: Signals, command: str) -> int:
    values = train_flags()
    with command_line.one_line_errors(program(command)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(usage(program(command) + " [METHOD]" * (command != COMMAND), values))
            return 0
        asked = values["explain"].present or (command != COMMAND and values["method"].present)
        if values["list"].value or (command != COMMAND and not asked):
            print(command_line.listing())
            return 0
        if asked:
            config = command_line.explained(values)
            # The page has the table of updates with what each moves: that is built, and takes TensorFlow.
            from tfdistill.commands import explain

            print(explain.page(config))
            return 0
        config = command_line.run_config(values)
        folder = RunFolder(Path(config.runs_dir) / config.run_name)
        folder.check(config)
        if folder.is_finished(config):
            mend_finished(config, folder)
            return 0
        require_teacher(config, arguments)
        starting.compute_products(command, config.products)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import training

    return training.train(config, folder, signals)


def train_flags() -> Flags:
    """Every flag of a run, and the one that asks for a page on a method."""
    values = command_line.run_flags()
    text = "Print a page on a method: the paper, the updates, what it builds and can be told. Then exit."
    define(values, "explain", "", str, text, group="Help", value="METHOD")
    return values


def mend_finished(config: RunConfig, folder: RunFolder) -> None:
    """Says where the results of a finished run are, removes what killed processes have left, repairs models.config."""
    if folder.lock():
        folder.tidy()
        folder.close()
    mend(Path(config.export_dir) / config.run_name)
    for line in otherwise_read(config, folder):
        print(f"{program(COMMAND)}: note: {line}", file=sys.stderr)
    step = (folder.finished() or {}).get("step")
    print(f"{folder.path} is finished at step {step}; results: {folder.results}")


def otherwise_read(config: RunConfig, folder: RunFolder) -> list[str]:
    """What a finished run has read from or written to elsewhere than this command says, a line each.

    Such a flag is none that a run could not go on with: data and teachers may have moved. But a finished run does not
    look at them, and the runs of two folders of images have one name where --run gives none. Epochs that it has not
    kept are told too.
    """
    was = read_run_config(folder.flags) if folder.flags.exists() else config
    said = {
        "data_dir": "it was not looked at; give another --run to train on it",
        "unlabelled_dir": "it was not looked at; give another --run to train on it",
        "teacher": "it was not looked at; give another --run to learn from it",
        "export_dir": f"nothing was written there; {' '.join(words('export'))} --run={config.run_name} does that",
    }
    found = []
    for name, consequence in said.items():
        before, now = (_texts(getattr(one, name)) for one in (was, config))
        same = [os.path.abspath(text) for text in before] == [os.path.abspath(text) for text in now]
        if not same and (name != "export_dir" or config.export):
            written = [",".join(texts) or "none" for texts in (before, now)]
            found.append(f"{name}: the run is finished with {written[0]}, and not with {written[1]}: {consequence}")
    if passed := [str(epoch) for epoch in config.keep_epochs if epoch not in kept(folder.path)]:
        found.append(f"keep_epochs: the run is finished and has not kept {', '.join(passed)}; give another --run")
    return found


def _texts(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
