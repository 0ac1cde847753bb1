"""The runs that tables take, each with its name and flags, all checked before the first is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdistill.commands import command_line
from tfdistill.commands.flagfiles import TABLE, row_flags
from tfdistill.commands.tabling.given import where
from tfdistill.commands.tabling.overrides import Overrides, budget
from tfdistill.commands.tabling.plan import Plan, Planned
from tfdistill.runs.config import RunConfig
from tfdistill.tables import Row, Table, read_table
from tfdistill.tables.arguments import comma_separated
from tfdistill.tables.summary import require_baselines


class Planner:
    """Makes the runs of tables.

    Args:
        overrides: of every run.
        runs_dir: where runs lie.
    """

    def __init__(self, overrides: Overrides, runs_dir: str) -> None:
        self.overrides, self.runs_dir = overrides, runs_dir
        self._configs: dict[tuple[Path, str], tuple[RunConfig, tuple[str, ...]]] = {}
        self._others: dict[Path, Table] = {}

    def plan(self, tables: Sequence[Table], trained: Sequence[Sequence[str]], seeds: Sequence[int] | None) -> Plan:
        """The plan.

        Args:
            tables: each with the rows that are shown.
            trained: for every table, the names of the rows that are trained.
            seeds: of every row; each table's own if not given.

        Raises:
            ValueError: flags that no run can have, with file and row; or two different runs of one name.
        """
        runs: dict[str, Planned] = {}
        most = max(len(seeds or table.seeds) for table in tables)
        for place in range(most):  # seed by seed, so that a table cut short has as many runs of every row
            for table, names in zip(tables, trained, strict=True):
                for row in (table.rows[name] for name in names):
                    own = row.run_seeds(seeds or table.seeds)
                    if place < len(own) and not row.needs:
                        self._add(table, row, own[place], runs)
        cells = [
            [
                (name, seed, self.planned(table, row, seed))
                for name, row in table.rows.items()
                if not row.needs
                for seed in row.run_seeds(seeds or table.seeds)
            ]
            for table in tables
        ]
        return Plan(tables, runs, cells, [self._head(table, seeds) for table in tables])

    def planned(self, table: Table, row: Row, seed: int) -> Planned:
        """The run of a row with a seed."""
        config, arguments = self.row_config(table, row)
        teachers = tuple(self.run_name(place, self._teacher(place, table)[1].run_seed(seed)) for place in row.teachers)
        name = self.run_name(row.place, seed)
        own: dict[str, Any] = {"seed": seed, "run": name, "runs_dir": self.runs_dir}
        told = [f"--{name}={value}" for name, value in own.items()]
        if teachers:
            own["teacher"] = row.at_epochs(str(Path(self.runs_dir) / one) for one in teachers)
            told.append(f"--teacher={comma_separated(own['teacher'])}")
        try:
            config = dataclasses.replace(config, **own)
        except ValueError as error:
            raise ValueError(f"{where(table, row)}: {error}") from None
        return Planned(name, f"{row.name} seed {seed}", row.name, config, (*arguments, *told), teachers)

    def run_name(self, place: tuple[str, str], seed: int) -> str:
        """`TABLE-ROW-OVERRIDES-seedN`."""
        return "-".join(filter(None, [*place, self.overrides.label, f"seed{seed}"]))

    def row_config(
        self, table: Table, row: Row, overrides: Overrides | None = None
    ) -> tuple[RunConfig, tuple[str, ...]]:
        """The effective flags of a row with the overrides, or with others, and the arguments that say them.

        Raises:
            ValueError: a flag that there is not, or a value that it cannot have, with file and row.
        """
        key = table.path, row.name
        if overrides is None and key in self._configs:
            return self._configs[key]
        try:
            own = (one.argument for one in row_flags(table, row))
            arguments = last_of_each((*own, *(overrides or self.overrides).arguments))
            values = command_line.run_flags()
            # A teacher that is another run is known when the seed is; any name stands in for it.
            command_line.parse(values, [*arguments, *(["--teacher=another"] if row.teachers else [])])
            config = command_line.run_config(values)
            require_baselines(row, len(config.networks), where(table, row))
        except ValueError as error:
            said, place = str(error), where(table, row)
            raise ValueError(said if said.startswith(place) else f"{place}: {said}") from None
        if overrides is None:
            self._configs[key] = config, arguments
        return config, arguments

    def _add(self, table: Table, row: Row, seed: int, runs: dict[str, Planned]) -> None:
        for place, epoch in zip(row.teachers, row.teacher_epochs, strict=True):
            other, teacher = self._teacher(place, table)
            self._add(other, teacher, teacher.run_seed(seed), runs)
            if epoch is not None and epoch not in self.row_config(other, teacher)[0].keep_epochs:
                said = f"keeps no epoch {epoch}; give it the flag keep_epochs = {epoch}"
                raise ValueError(f"{where(table, row)}: teacher: {where(other, teacher)} {said}")
        one = self.planned(table, row, seed)
        same = runs.setdefault(one.name, one)
        if same.config != one.config:
            raise ValueError(
                f"{where(table, row)}: its runs would be called as those of another row, {one.name}; "
                "give another name to the table or the row"
            )

    def _teacher(self, place: tuple[str, str], beside: Table) -> tuple[Table, Row]:
        """A row that teaches, and its table: `beside`, which may lack the rows that nobody asked for, or a file's."""
        table, own = beside, {one.place: one for one in beside.rows.values()}
        if place not in own:
            path = beside.path.with_name(f"{place[0]}.toml")
            if path not in self._others:
                self._others[path] = read_table(path)
            table = self._others[path]
            own = {one.place: one for one in table.rows.values()}
        return table, own[place]

    def _head(self, table: Table, seeds: Sequence[int] | None) -> list[str]:
        rows = [row for row in table.rows.values() if not row.needs]
        before = []
        for row in rows:
            try:
                before.append(self.row_config(table, row, Overrides())[0])
            except ValueError:  # the overrides mend it
                before.append(self.row_config(table, row)[0])
        lines = budget(before, [self.row_config(table, row)[0] for row in rows], self.overrides)
        if seeds and len(seeds) < len(table.seeds) and table.path.suffix == TABLE:  # flagfiles name no seeds
            lines.append(f"seeds: {_listed(seeds)} instead of {_listed(table.seeds)}")
        return lines


def last_of_each(arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments without the `--flag=value` that a later one of the same flag overrides.

    The training command refuses some flags that come twice, and would not know that one is a flagfile's.
    """
    found: dict[str | int, str] = {}
    for number, argument in enumerate(arguments):
        flag, equals, _ = argument.partition("=")
        found.pop(flag, None)
        found[flag if equals else number] = argument
    return tuple(found.values())


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
