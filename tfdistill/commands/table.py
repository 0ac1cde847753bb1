"""The command `table`: tables and flags in, runs trained, and a page with what they gave out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from absl import flags

from tfdistill.bounds import Filled, Number
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import Description, Flags, define
from tfdistill.commands.usage import usage
from tfdistill.runs.fields import SEED
from tfdistill.runs.interruption import Interrupted, Signals
from tfdistill.standalone.calling import program

COMMAND = "table"
FILES = ("json", "markdown", "csv", "picture")
SET = "set"


@dataclass(frozen=True)
class Asked:
    """A command line, split into the tables that it names and its flags."""

    tables: tuple[str, ...]
    values: Flags


def main(arguments: Sequence[str]) -> int:
    """Parses flags, trains what is missing, prints tables. Returns the exit status: 1 where a run failed."""
    with Signals().handled() as signals:
        try:
            return _main(arguments, signals)
        except Interrupted as stopped:
            print(f"\n{program(COMMAND)}: {stopped}; the same command goes on from there", file=sys.stderr)
            return stopped.exit_status


def _main(arguments: Sequence[str], signals: Signals) -> int:
    with command_line.one_line_errors(program(COMMAND)):
        asked = parse(arguments)
        if asked.values["help"].value:
            print(usage(f"{program(COMMAND)} TABLE|FLAGFILE ...", asked.values))
            return 0
        for name in FILES:
            if text := asked.values[name].value:
                command_line.require_file(name, text)
        from tfdistill.commands.tabling import work

        plan = work.plan(asked.tables, asked.values)
    return work.work(plan, asked.values, signals)


def parse(arguments: Sequence[str]) -> Asked:
    """The tables and flags of a command line, in any order.

    Raises:
        ValueError: as `command_line.parse`.
    """
    values = table_flags()
    told, tables = _split(arguments)
    command_line.parse(values, told)
    return Asked(tuple(tables), values)


def table_flags() -> Flags:
    """The flags of the command."""
    values = Flags()
    group = "Runs"
    text = "Rows to train and show, comma-separated; dml_* is every row whose name begins so."
    define(values, "rows", (), tuple[str, ...], text, group=group, unset="all of them", value="NAME,NAME")
    text = "Seeds of every row, comma-separated."
    define(values, "seeds", None, tuple[int, ...] | None, text, SEED, group=group, unset="the table's")
    text = "Trainings at a time. They share the cores, and each has a GPU of its own where there are several."
    define(values, "jobs", 1, int, text, Number(1, 1_000), group=group)
    text = "Length of every run, in epochs. Milestones keep their share of it, and the table's head says so."
    define(values, "epochs", None, int | None, text, Number(1, 1_000_000), group=group, unset="the rows' own")
    text = (
        "Another flag of the training command for every run, such as --set batch_size=64; more may follow it. "
        "Runs are not exported unless --set export=true says so."
    )
    flags.DEFINE_multi_string(SET, [], text, flag_values=values)
    values.descriptions[SET] = Description(group, text, str, None, (), "none", "FLAG=VALUE")
    define(values, "train", True, bool, "Train what is missing; --notrain shows what there is.", group=group)
    define(values, "runs_dir", "runs", str, "Folder of all runs.", Filled("a folder"), group=group)
    group = "Output"
    text = "Row that every other is compared with."
    define(values, "baseline", "", str, text, group=group, unset="the table's", value="ROW")
    for name, text in {
        "json": "Write the table with all figures to this file, as JSON. Finished runs that it has already count.",
        "markdown": "Write the table to this file, as Markdown.",
        "csv": "Write the table to this file, as CSV.",
        "picture": "Draw the table to this file: PNG, SVG or PDF, by its ending.",
    }.items():
        define(values, name, "", str, text, group=group, unset="none", value="FILE")
    command_line.define_help(values)
    return values


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags, a value that stands by itself put behind its flag's name, and what is no flag."""
    names = {f"--{name}" for name, one in table_flags().descriptions.items() if one.kind is not bool}
    told: list[str] = []
    others: list[str] = []
    previous = ""
    remaining = iter(arguments)
    for argument in remaining:
        several = previous == f"--{SET}" and not argument.startswith("-") and "=" in argument
        if several:  # --set batch_size=64 learning_rate=0.1
            told.append(f"{previous}={argument}")
        elif argument in names and (value := next(remaining, None)) is not None:
            told.append(f"{argument}={value}")
            previous = argument
        else:
            (told if argument.startswith("-") else others).append(argument)
            previous = ""
    return told, others
