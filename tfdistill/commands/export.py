"""The command `export`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from tfdistill.bounds import Filled
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import define
from tfdistill.runs.folder import existing
from tfdistill.standalone.calling import program

COMMAND = "export"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, exports, prints where the exports lie. Returns the exit status."""
    values = export_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(command_line.usage(program(COMMAND), values))
            return 0
        folder = existing(values.runs_dir, values.run)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import exporting

    return exporting.export(values, folder)


def export_flags() -> flags.FlagValues:
    """The flags of the command."""
    values = flags.FlagValues()
    texts = {
        "run": ("", "The run to export, finished or not."),
        "runs_dir": ("runs", "Folder of all runs."),
        "export_dir": ("", "Folder of all exports; the run's own --export_dir if empty."),
        "export_bad_images": ("", "fail or mark, as in train --help; the run's own if empty."),
        "export_epoch": ("", "last or best, as in train --help; the run's own if empty."),
        "network": ("", "Export this one only; every network of the run if empty."),
    }
    for name, (default, text) in texts.items():
        define(values, name, default, str, text, Filled("a folder") if name == "runs_dir" else None)
    flags.DEFINE_bool("again", False, "Write a new version even if this step has one.", flag_values=values)
    flags.DEFINE_bool("help", False, "Print every flag, and exit.", short_name="h", flag_values=values)
    return values
