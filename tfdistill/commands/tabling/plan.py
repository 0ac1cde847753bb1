"""What tables are to train and show: runs, each with its name and flags, and the cells that they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfdistill.runs.config import RunConfig
from tfdistill.tables import Outcome, Table


@dataclass(frozen=True)
class Planned:
    """A run.

    Attributes:
        name: of its folder.
        title: as progress calls it, such as "dml_resnet20 seed 2".
        row: the name of the row.
        config: the effective flags.
        arguments: those of the training command.
        teachers: names of the runs that have to be finished before.
    """

    name: str
    title: str
    row: str
    config: RunConfig
    arguments: tuple[str, ...]
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        tables: each with the rows that are shown.
        runs: to train, by name, in that order: seed by seed over all rows, teachers before whom they teach.
        cells: for every table, (row, seed, run) of what is shown; a run may be in several, or not be trained.
        heads: for every table, where the budget is not its own, a line each.
    """

    tables: Sequence[Table]
    runs: Mapping[str, Planned]
    cells: Sequence[Sequence[tuple[str, int, Planned]]]
    heads: Sequence[Sequence[str]]


def outcomes_of(
    cells: Sequence[tuple[str, int, Planned]], read: Mapping[str, Outcome], problems: Mapping[str, str]
) -> list[Outcome]:
    """What has become of the runs of a table's cells.

    Args:
        cells: of the table.
        read: by run, as its folder tells it.
        problems: by run, why it has failed.
    """
    found = []
    for row, seed, one in cells:
        outcome = dataclasses.replace(read[one.name], row=row, seed=seed)
        if outcome.state == "missing" and one.name in problems:
            outcome = dataclasses.replace(outcome, state="failed", problem=problems[one.name])
        found.append(outcome)
    return found
