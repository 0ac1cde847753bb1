"""A table file, read: TOML whose every fault is one line with the file's name and the row's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from tfdistill.bounds import nearest, shown
from tfdistill.tables.arguments import arguments
from tfdistill.tables.figures import figures
from tfdistill.tables.grids import read_grid
from tfdistill.tables.table import METRIC, Metric, Row, Table
from tfdistill.tables.values import ROW_KEYS, TABLE_KEYS, Place, TableError, named_teachers, read_toml

NAME = re.compile(r"\w[\w.+-]*")


def read_table(path: Path) -> Table:
    """The table that a file holds.

    Args:
        path: a .toml file, as docs/tables.md describes it.

    Raises:
        TableError: it cannot be read, is no TOML, or says what no table can have.
    """
    return _Reader(path).table()


def row_arguments(path: Path, name: str) -> tuple[str, ...]:
    """The flags of one row, in the order in which the command takes them.

    Args:
        path: of the table file.
        name: the row's.

    Raises:
        TableError: the file is wrong, has no such row, or the row needs what is not built yet.
    """
    row = chosen(read_table(path), name)
    if row.needs:
        raise TableError(f"{path}: row {name}: cannot be run yet: it needs {row.needs}")
    return row.arguments


def chosen(table: Table, name: str) -> Row:
    """The row of that name.

    Raises:
        TableError: there is none.
    """
    if name not in table.rows:
        raise TableError(f"{table.path}: has no row {shown(name)}; nearest: {nearest(name, table.rows)}")
    return table.rows[name]


class _Reader:
    """Reads one file; `inside` are the files that refer to it, which it cannot refer to."""

    def __init__(self, path: Path, inside: tuple[Path, ...] = ()) -> None:
        self.place, self.inside = Place(path), inside
        self.values = read_toml(path)
        self.others: dict[Path, Table] = {}

    def table(self) -> Table:
        values, place = self.place.known(self.values, TABLE_KEYS), self.place
        metric = values.get("metric", METRIC)
        if metric not in get_args(Metric):
            raise place.error("metric", f"must be one of {', '.join(get_args(Metric))}, not {shown(metric)}")
        for key in ("grid_titles", "grid_paper"):
            if key in values and "grid" not in values:
                raise place.error(key, "belongs to a [grid], and there is none")
        if values.get("paper_runs", 1) < 1:
            raise place.error("paper_runs", f"must be a whole number from 1, not {values['paper_runs']}")
        rows = {name: self._row(name, told) for name, told in values.get("rows", {}).items()}
        grid, cells = read_grid(values, place) if "grid" in values else (None, {})
        rows |= cells
        if not rows:
            raise place.error("rows", "there is none; give [rows.NAME] with its flags, or a [grid]")
        for row in rows.values():
            self._check_baseline(row, rows)
        rows = {name: self._taught(row, rows) for name, row in rows.items()}
        return Table(
            name=place.path.stem,
            path=place.path,
            title=values.get("title", place.path.stem),
            source=values.get("source", ""),
            metric=metric,
            seeds=_seeds(values.get("seeds", [1, 2, 3]), place),
            paper_runs=values.get("paper_runs"),
            notes=place.texts("notes", values.get("notes", [])),
            rows=rows,
            grid=grid,
        )

    def _row(self, name: str, told: Any) -> Row:
        if not NAME.fullmatch(name):
            said = f"a name has letters, digits and . _ + -, none of . + - first, not {shown(name)}"
            raise self.place.error("rows", said)
        place = self.place.of(f"row {name}")
        told = place.known(told, ROW_KEYS)
        if "same_as" in told:
            return self._same_as(name, told, place)
        values = self.values
        return Row(
            name=name,
            title=told.get("title", name),
            arguments=(*arguments(values.get("flags", {}), self.place), *arguments(told.get("flags", {}), place)),
            paper=figures(told.get("paper", {}), place),
            baseline=self._baseline(told, place),
            needs=told.get("needs", values.get("needs", "")),
            note=told.get("note", ""),
            place=(place.path.stem, name),
            **named_teachers((told if "teacher" in told else values).get("teacher", []), place),
            seed=_seeds([told["seed"]], place, "seed")[0] if "seed" in told else None,
        )

    def _same_as(self, name: str, told: Mapping[str, Any], place: Place) -> Row:
        """A row whose runs are another table's: its figures and title are its own."""
        for key in ("flags", "teacher", "seed"):
            if key in told:
                raise place.error(key, "the row has those of same_as; leave one of them out")
        other = self._of_another("same_as", told["same_as"], place)
        return dataclasses.replace(
            other,
            name=name,
            title=told.get("title", other.title),
            paper=figures(told["paper"], place) if "paper" in told else other.paper,
            baseline=self._baseline(told, place),
            needs=told.get("needs", self.values.get("needs", other.needs)),
            note=told.get("note", other.note),
            cell={},
        )

    def _of_another(self, key: str, text: str, place: Place) -> Row:
        """The row of another table that `key` calls TABLE:ROW."""
        file, _, row = text.rpartition(":")
        path = place.path.parent / (file if file.endswith(".toml") else f"{file}.toml")
        if not file or Path(file).name != file or path in (place.path, *self.inside):
            raise place.error(key, f"must be TABLE:ROW of another table here, not {shown(text)}")
        try:
            if path not in self.others:
                self.others[path] = _Reader(path, (*self.inside, place.path)).table()
            return chosen(self.others[path], row)
        except TableError as error:
            raise place.error(key, str(error)) from None

    def _taught(self, row: Row, rows: Mapping[str, Row], inside: tuple[str, ...] = ()) -> Row:
        """The row with its teachers found; it needs what they need. `inside` are the rows that it teaches."""
        table, place = self.place.path.stem, self.place.of(f"row {row.name}")
        if row.place[0] != table:  # another table's, which has found them
            return row
        teachers = []
        for file, name in row.teachers:
            if file != table:
                teachers.append(self._of_another("teacher", f"{file}:{name}", place))
            elif name in (row.name, *inside):
                raise place.error("teacher", f"{name} would teach itself")
            elif name not in rows:
                raise place.error("teacher", f"{shown(name)} is no row of the table; nearest: {nearest(name, rows)}")
            else:
                teachers.append(self._taught(rows[name], rows, (row.name, *inside)))
        needs = row.needs or next((f"its teacher, {one.name}: {one.needs}" for one in teachers if one.needs), "")
        return dataclasses.replace(row, teachers=tuple(one.place for one in teachers), needs=needs)

    def _baseline(self, told: Mapping[str, Any], place: Place) -> tuple[str, ...]:
        return place.texts("baseline", (told if "baseline" in told else self.values).get("baseline", []))

    def _check_baseline(self, row: Row, rows: Mapping[str, Row]) -> None:
        for name in row.baseline:
            if name not in rows:
                said = f"{shown(name)} is no row of the table; nearest: {nearest(name, rows)}"
                raise self.place.of(f"row {row.name}").error("baseline", said)


def _seeds(told: Any, place: Place, key: str = "seeds") -> tuple[int, ...]:
    whole = all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**63 for one in told)
    if not told or not whole or len(set(told)) < len(told):
        kind = "a whole number" if key == "seed" else "different whole numbers"
        raise place.error(key, f"must be {kind} from 0, not {shown(told[0] if key == 'seed' else told)}")
    return tuple(told)
