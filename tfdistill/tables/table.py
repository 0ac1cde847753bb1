"""What a table file holds: rows, each with its flags and the paper's figures, and perhaps a grid of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Metric: TypeAlias = Literal["accuracy", "error", "mAP"]
# Of a table that says none.
METRIC: Metric = "accuracy"


@dataclass(frozen=True)
class Figures:
    """What a paper reports of a row, in percent of the table's metric; empty or None where it says nothing.

    Attributes:
        networks: one figure per network.
        networks_std: the deviation of each over the paper's runs.
        mean: the mean of the networks.
        mean_std: its deviation.
        ensemble: the ensemble's.
        ensemble_std: its deviation.
        top5: by the same metric, one per network.
        training: on the training images, one per network.
        teacher: the teacher's, where the row has a trained one.
        others: by name, what else the row has and no run here is compared with, such as distances between maps; in
            0..100, and not always percent.
    """

    networks: tuple[float, ...] = ()
    networks_std: tuple[float, ...] = ()
    mean: float | None = None
    mean_std: float | None = None
    ensemble: float | None = None
    ensemble_std: float | None = None
    top5: tuple[float, ...] = ()
    training: tuple[float, ...] = ()
    teacher: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of a table: runs that differ in nothing but the seed.

    Attributes:
        name: as commands call it, such as "afd_resnet20_resnet20".
        title: as the printed table calls it.
        arguments: `--flag=value`, in the order in which the command takes them, a flagfile first; without a seed.
        paper: the paper's figures.
        baseline: the rows that it is compared with: none, one, or one for each of its networks.
        needs: what is not built yet, so that the row cannot be run; empty where it can.
        note: a reading of the paper, or what a figure means; may be empty.
        place: of the row whose runs these are: (table, row), another's where both papers' rows are the same runs.
        cell: by axis of the grid, the label of the row's value; empty for a row that is no cell.
        teachers: of the rows whose runs with the same seed teach it, the `place` of each; empty where none does, or
            where `arguments` name the teacher.
        teacher_epochs: of each teacher, the epoch of its run that teaches, one of its --keep_epochs; None for the last.
        seed: of the row's one run, which teaches rows with every seed; None where the row has a run for each seed.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    paper: Figures = Figures()
    baseline: tuple[str, ...] = ()
    needs: str = ""
    note: str = ""
    place: tuple[str, str] = ("", "")
    cell: Mapping[str, str] = field(default_factory=dict)
    teachers: tuple[tuple[str, str], ...] = ()
    teacher_epochs: tuple[int | None, ...] = ()
    seed: int | None = None

    def run_seeds(self, asked: Sequence[int]) -> tuple[int, ...]:
        """The seeds of the row's runs, where runs with the seeds `asked` are wanted of every row."""
        return tuple(asked) if self.seed is None else (self.seed,)

    def run_seed(self, asked: int) -> int:
        """The seed of the run that stands for the row beside runs with the seed `asked`."""
        return asked if self.seed is None else self.seed

    def at_epochs(self, runs: Iterable[str]) -> tuple[str, ...]:
        """The folders of the teachers' runs, each with the epoch that is meant: "runs/big" or "runs/big@10"."""
        named = zip(runs, self.teacher_epochs, strict=True)
        return tuple(run if epoch is None else f"{run}@{epoch}" for run, epoch in named)


@dataclass(frozen=True)
class Axis:
    """One axis of a grid.

    Attributes:
        name: a flag, or a word where each value is several flags.
        title: what pictures write beside it.
        labels: of the values, in their order.
        values: where every value, or its label, is a number, these; else empty.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Rows that are every combination of some values: a sweep of one axis, curves or a heat map of two.

    Attributes:
        axes: one or two.
        rows: by the labels of the axes' values, the name of the row.
    """

    axes: tuple[Axis, ...]
    rows: Mapping[tuple[str, ...], str]


@dataclass(frozen=True)
class Table:
    """A table of a paper, or one of ours.

    Attributes:
        name: of the file without its ending, such as "afd_table3".
        path: the file.
        title: what it compares.
        source: paper and table, or "" where it is nobody's.
        metric: what figures are: accuracy or error in percent, or mAP.
        seeds: of our runs, unless the command says others.
        paper_runs: over how many runs the paper's figures are means; None if it does not say.
        notes: readings that concern every row.
        rows: by name, in the order of the file; cells of the grid come last.
        grid: None where there is none.
    """

    name: str
    path: Path
    title: str
    source: str
    metric: Metric
    seeds: tuple[int, ...]
    paper_runs: int | None
    notes: tuple[str, ...]
    rows: Mapping[str, Row]
    grid: Grid | None = None
