"""The console command `tfdistill`: what commands there are, and each in a process that is prepared for it."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Sequence

from tfdistill.bounds import nearest
from tfdistill.columns import aligned
from tfdistill.commands import starting
from tfdistill.standalone import process
from tfdistill.standalone.calling import program

COMMANDS = {
    "train": "Train networks by one of the methods, score them and export them.",
    "evaluate": "Score the networks of a run, or a SavedModel, on any data set.",
    "analyze": "Draw what networks have learned: calibration, similarity, errors and more.",
    "export": "Export the networks of a run, finished or not.",
    "table": "Train the runs of a paper's table, or of flagfiles, and report them together.",
    "predict": "Ask an exported network about image files and folders.",
    "preview": "Draw the training images as the networks of a run see them.",
    "explain": "Print what a method does, builds, trains and can be told.",
}
# Where the `main` of each stands.
MODULES = {
    **{name: f"tfdistill.commands.{name}" for name in ("train", "evaluate", "analyze", "export", "preview", "table")},
    "explain": "tfdistill.commands.train",
    "predict": "tfdistill.standalone.predict",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console command, and `python -m tfdistill`.

    Args:
        arguments: a command's name and its arguments; those of the process if not given.

    Returns:
        The exit status.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "help"):
        print(overview())
        return 0
    if name == "explain":
        return run(name, explaining(rest))
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        caller = program("").strip()
        print(f"{caller}: error: {name!r} is none of {', '.join(COMMANDS)}; nearest: {near}", file=sys.stderr)
        return 2
    return run(name, rest)


def overview() -> str:
    """The commands with a line each, and how to go on."""
    caller = program("").strip()
    return "\n".join(
        [
            f"usage: {caller} COMMAND [--flag=value ...]",
            "",
            "Knowledge distillation: networks learn from trained teachers, or teach each other.",
            "",
            *aligned(list(COMMANDS.items()), indent="  "),
            "",
            f"  {caller} train --flagfile=quickstart    trains two small networks in two minutes; no download",
            f"  {caller} train --list                   prints methods, networks and data sets",
            f"  {caller} COMMAND --help                 prints the flags of a command",
        ]
    )


def explaining(arguments: Sequence[str]) -> list[str]:
    """The arguments of `train` that explain a method: `dml --dml.temperature=2` is `--explain=dml ...`."""
    place = next((place for place, one in enumerate(arguments) if not one.startswith("-")), None)
    if place is None:
        return list(arguments)
    return [f"--explain={arguments[place]}", *arguments[:place], *arguments[place + 1 :]]


def run(name: str, arguments: Sequence[str]) -> int:
    """Runs one command; the scripts of `launch/` call this too.

    Args:
        name: one of `MODULES`.
        arguments: those after its name.

    Returns:
        The exit status.
    """
    starting.begin(name)
    command: Callable[..., int] = importlib.import_module(MODULES[name]).main
    if name == "explain":
        command = functools.partial(command, command=name)
    return process.run(name, command, arguments)
