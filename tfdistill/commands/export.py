"""The command `export`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence

from tfdistill.bounds import Filled
from tfdistill.commands import command_line, starting
from tfdistill.commands.evaluate import require_one_epoch
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.usage import usage
from tfdistill.runs.fields import BAD_IMAGES, EPOCHS
from tfdistill.runs.folder import existing_epoch, read_config
from tfdistill.standalone.calling import program

COMMAND = "export"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, exports, prints where the exports lie. Returns the exit status."""
    values = export_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(usage(program(COMMAND), values))
            return 0
        require_one_epoch(values)
        folder, kept = existing_epoch(values.runs_dir, values.run)
        starting.compute_products(COMMAND, read_config(folder.path).products)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import exporting

    return exporting.export(values, folder, kept)


def export_flags() -> Flags:
    """The flags of the command."""
    values = Flags()
    group, own = "Run", "the run's own"
    text = "The run to export, finished or not; NAME@10: its 10th epoch, if it has kept that."
    define(values, "run", "", str, text, group=group, unset="none", value="NAME")
    define(values, "runs_dir", "runs", str, "Folder of all runs.", Filled("a folder"), group=group)
    text = "Export this network of the run only."
    define(values, "network", "", str, text, group=group, unset="every network", value="NAME")
    group = "Export"
    define(values, "export_dir", "", str, "Folder of all exports.", group=group, unset=own, value="FOLDER")
    text = "Answer to image files that the export cannot read, as in train --help."
    define(values, "export_bad_images", None, str | None, text, BAD_IMAGES, group=group, unset=own)
    text = "Epoch whose weights are exported, as in train --help."
    define(values, "export_epoch", None, str | None, text, EPOCHS, group=group, unset=own)
    text = "Write a new version even if there is one of this step."
    define(values, "again", False, bool, text, group=group)
    command_line.define_help(values)
    return values
