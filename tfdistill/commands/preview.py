"""The command `preview`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence

from tfdistill.bounds import Filled, Number
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import Flags, define
from tfdistill.commands.usage import usage
from tfdistill.data import source_of
from tfdistill.standalone.calling import program

COMMAND = "preview"
# No network is built, but a run whose images have boxes has to name one for them.
DETECTOR = "ssd96_resnet8"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, writes the picture. Returns the exit status."""
    values = preview_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values["help"].value:
            print(usage(program(COMMAND), values))
            return 0
        if values["list"].value:
            print(command_line.listing())
            return 0
        command_line.require_file("out", values.out)
        if not values["networks"].present and source_of(values.dataset).task == "detection":
            values["networks"].value = [DETECTOR]
        config = command_line.run_config(values)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import picture

    return picture.draw(values, config)


def preview_flags() -> Flags:
    """Every flag of a run, and those of the picture."""
    values = command_line.run_flags()
    group = "Picture"
    is_file = Filled("a file in a folder that exists")
    define(values, "out", "preview.png", str, "The PNG file to write.", is_file, group=group)
    define(values, "count", 32, int, "Number of images.", Number(1, 10_000), group=group)
    text = "Training step, from 0, whose batch is shown."
    define(values, "step", 0, int, text, Number(0, 1_000_000_000_000), group=group, unset="the first")
    return values
