"""A row of a table that the runs of other rows teach, trained alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tfdistill.commands.flagfiles import rows_in
from tfdistill.runs.config import RunConfig
from tfdistill.runs.hyperparameters import may_take_teachers
from tfdistill.standalone.calling import words
from tfdistill.tables import Row, read_table

COMMAND = "train"


def require_teacher(config: RunConfig, arguments: Sequence[str]) -> None:
    """Refuses a row that another row's run teaches, where no teacher is given.

    Args:
        config: of the run.
        arguments: of the command, from which the row is known.

    Raises:
        ValueError: one line with that row, the command that trains it, and this one with its run as the teacher.
    """
    if config.teacher or not (config.also or may_take_teachers(config.method)):
        return
    for path, name in rows_in(arguments):
        row = read_table(path).rows[name]
        if row.teachers:
            raise ValueError(f"teacher: {_remedy(config, arguments, path, row)}")


def _remedy(config: RunConfig, arguments: Sequence[str], path: Path, row: Row) -> str:
    elsewhere = [f"--runs_dir={config.runs_dir}"] if config.runs_dir != "runs" else []
    rows, commands, runs = [], [], []
    for table, name in row.teachers:
        file = path.with_name(f"{table}.toml")
        seed = read_table(file).rows[name].run_seed(config.seed)
        run = f"{name}-seed{seed}"
        flags = [f"--flagfile={file}:{name}", f"--seed={seed}", f"--run={run}"]
        rows.append(f"{name} of {table}")
        commands.append(shlex.join([*words(COMMAND), *flags, *elsewhere]))
        runs.append(str(Path(config.runs_dir) / run))
    own = shlex.join([*words(COMMAND), *arguments, f"--teacher={','.join(row.at_epochs(runs))}"])
    those = "the run of row" if len(rows) == 1 else "the runs of rows"
    return f"{row.name} learns from {those} {' and '.join(rows)}; first {' and '.join(commands)}, then {own}"
