"""The command `preview`: its flags, and what can be refused without data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfdistill.bounds import Filled, Number, shown
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import define
from tfdistill.standalone.calling import program

COMMAND = "preview"


def main(arguments: Sequence[str]) -> int:
    """Parses flags, writes the picture. Returns the exit status."""
    values = preview_flags()
    with command_line.one_line_errors(program(COMMAND)):
        command_line.parse(values, arguments)
        if values.help:
            print(command_line.usage(program(COMMAND), values))
            return 0
        check(values)
        config = command_line.run_config(values)
    # Imported now, because all that is answered above needs no TensorFlow.
    from tfdistill.commands import picture

    return picture.draw(values, config)


def preview_flags() -> flags.FlagValues:
    """Every flag of a run, and those of the picture."""
    values = command_line.run_flags()
    define(values, "out", "preview.png", str, "The PNG file to write.", Filled("a file in a folder that exists"))
    define(values, "count", 32, int, "How many images.", Number(1, 10_000))
    define(values, "step", 0, int, "The training step whose batch is shown, from 0.", Number(0, 1_000_000_000_000))
    return values


def check(values: flags.FlagValues) -> None:
    """Refuses flags of the picture that no data is needed to refuse.

    Raises:
        ValueError: names the flag.
    """
    out = Path(values.out)
    if not out.name or (out.exists() and not out.is_file()) or not out.absolute().parent.is_dir():
        raise ValueError(f"out: must be a file in a folder that exists, not {shown(values.out)}")
