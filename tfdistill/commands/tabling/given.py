"""The tables that a command line names: table files, and flagfiles, which are the rows of one table together."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from tfdistill.bounds import nearest, shown
from tfdistill.commands import bundled
from tfdistill.commands.flagfiles import TABLE, find
from tfdistill.tables import Grid, Row, Table, read_table
from tfdistill.tables.table import METRIC

# What flagfiles are together, and how often they are run unless the command says so.
NAME, SEEDS = "table", (1, 2, 3)


def tables_of(names: Sequence[str]) -> list[Table]:
    """Every table that is named, and the one that the flagfiles are; each is found as --flagfile finds it.

    Raises:
        ValueError: no such file, a table that is wrong, or two of one name.
    """
    if not names:
        raise ValueError("table: none is given; give a table file or flagfiles, such as table.py afd_table3")
    paths = [_found(name) for name in names]
    tables = [read_table(path) for path in paths if path.suffix == TABLE]
    flagfiles = [path for path in paths if path.suffix != TABLE]
    if flagfiles:
        tables.append(of_flagfiles(flagfiles))
    _require_different("table", [(table.name, table.path) for table in tables])
    return tables


def _found(name: str) -> Path:
    table, colon, row = name.rpartition(":")
    if colon and (table.endswith(TABLE) or bundled.table(table)):
        raise ValueError(f"table: {shown(name)} is a row; give the table, and --rows={row}")
    return find(Path(), name, "table")


def of_flagfiles(paths: Sequence[Path]) -> Table:
    """A table with a row for each flagfile, called as the file without its ending.

    Raises:
        ValueError: two files of one name.
    """
    _require_different("flagfile", [(path.stem, path) for path in paths])
    rows = {
        path.stem: Row(path.stem, path.stem, (f"--flagfile={path.resolve()}",), place=(NAME, path.stem))
        for path in paths
    }
    return Table(
        name=NAME,
        path=Path(NAME),
        title=", ".join(rows),
        source="",
        metric=METRIC,
        seeds=SEEDS,
        paper_runs=None,
        notes=(),
        rows=rows,
    )


def files_of(table: Table) -> list[Path]:
    """The files that a table is read from: its own, or the flagfiles that its rows are."""
    if table.path.suffix == TABLE:
        return [table.path]
    return [Path(where(table, row)) for row in table.rows.values()]


def where(table: Table, row: Row) -> str:
    """What a message on a row begins with: the table's file and the row, or the flagfile that the row is."""
    if table.path.suffix == TABLE:
        return f"{table.path}: row {row.name}"
    return row.arguments[0].removeprefix("--flagfile=")


def chosen_rows(tables: Sequence[Table], patterns: Sequence[str]) -> list[tuple[Table, list[str]]]:
    """The names of the rows that patterns such as "dml_*" choose of each table, in the table's order; all without any.

    Raises:
        ValueError: a pattern chooses none.
    """
    names = [name for table in tables for name in table.rows]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"rows: {shown(pattern)} is no row; nearest: {nearest(pattern, names)}")
    return [
        (table, [name for name in table.rows if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)])
        for table in tables
    ]


def shown_table(table: Table, rows: Sequence[str], baseline: str = "") -> Table:
    """The table with these rows, and with those that they are compared with.

    Args:
        table: with all rows.
        rows: names.
        baseline: the row that each is compared with instead of its own; empty to leave that.

    Raises:
        ValueError: the baseline is no row.
    """
    if baseline and baseline not in table.rows:
        raise ValueError(
            f"baseline: {shown(baseline)} is no row of {table.path}; nearest: {nearest(baseline, table.rows)}"
        )
    kept = set(rows) | {one for name in rows for one in ((baseline,) if baseline else table.rows[name].baseline)}
    told = {
        name: dataclasses.replace(row, baseline=_baseline(row, kept, baseline))
        for name, row in table.rows.items()
        if name in kept
    }
    return dataclasses.replace(table, rows=told, grid=table.grid and _shown_grid(table.grid, kept))


def _shown_grid(grid: Grid, kept: set[str]) -> Grid | None:
    """The grid with the values that a kept row has; None where no row is a cell."""
    rows = {cell: name for cell, name in grid.rows.items() if name in kept}
    axes = []
    for place, axis in enumerate(grid.axes):
        there = [at for at, label in enumerate(axis.labels) if any(cell[place] == label for cell in rows)]
        labels, values = tuple(axis.labels[at] for at in there), tuple(axis.values[at] for at in there if axis.values)
        axes.append(dataclasses.replace(axis, labels=labels, values=values))
    return Grid(tuple(axes), rows) if rows else None


def _baseline(row: Row, kept: set[str], baseline: str) -> tuple[str, ...]:
    if baseline:
        return (baseline,)
    return row.baseline if set(row.baseline) <= kept else ()


def _require_different(flag: str, named: Sequence[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, path in named:
        if name in seen:
            raise ValueError(
                f"{flag}: {seen[name]} and {path} are both called {name}; give another name to one of them"
            )
        seen[name] = path
