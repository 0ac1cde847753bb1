"""A table file, read: TOML whose every fault is one line with the file's name and the row's."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from tfdistill.bounds import nearest, shown
from tfdistill.tables.table import Axis, Figures, Grid, Metric, Row, Table

LARGEST_BYTES = 1_000_000
# A grid of more is a slip of the keyboard.
MOST_CELLS = 10_000
NAME = re.compile(r"\w[\w.+-]*")
TABLE_KEYS = {
    "title": str,
    "source": str,
    "metric": str,
    "notes": list,
    "seeds": list,
    "paper_runs": int,
    "flags": dict,
    "baseline": (str, list),
    "needs": str,
    "rows": dict,
    "grid": dict,
    "grid_titles": dict,
    "grid_paper": dict,
}
ROW_KEYS = {
    "title": str,
    "flags": dict,
    "paper": dict,
    "baseline": (str, list),
    "needs": str,
    "note": str,
    "same_as": str,
}
VALUE_KEYS = {"label": str, "flags": dict, "needs": str}
NOUNS = {str: "text", list: "a list", dict: "a table of values by name", int: "a whole number"}


class TableError(ValueError):
    """A table file is wrong; the message is one line with the file, the row where there is one, and the key."""


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
        self.path, self.inside = path, inside
        self.values = _toml(path)
        self.others: dict[Path, Table] = {}

    def table(self) -> Table:
        values = self._known(self.values, TABLE_KEYS, "")
        metric = values.get("metric", "accuracy")
        if metric not in get_args(Metric):
            raise self._error("metric", f"must be one of {', '.join(get_args(Metric))}, not {shown(metric)}")
        rows = {name: self._row(name, told) for name, told in values.get("rows", {}).items()}
        grid = self._grid(rows) if "grid" in values else None
        if not rows:
            raise self._error("rows", "there is none; give [rows.NAME] with its flags, or a [grid]")
        for row in rows.values():
            self._check_baseline(row, rows)
        return Table(
            name=self.path.stem,
            path=self.path,
            title=values.get("title", self.path.stem),
            source=values.get("source", ""),
            metric=metric,
            seeds=self._seeds(),
            paper_runs=values.get("paper_runs"),
            notes=tuple(self._texts("notes")),
            rows=rows,
            grid=grid,
        )

    def _row(self, name: str, told: Any) -> Row:
        where = f"row {name}"
        if not NAME.fullmatch(name):
            raise self._error("rows", f"a name has letters, digits and . _ + -, none of . + - first, not {shown(name)}")
        told = self._known(told, ROW_KEYS, where)
        if "same_as" in told:
            return self._same_as(name, told, where)
        return Row(
            name=name,
            title=told.get("title", name),
            arguments=(*self._arguments(self.values, ""), *self._arguments(told, where)),
            paper=self._figures(told.get("paper", {}), where),
            baseline=self._names(told if "baseline" in told else self.values, where),
            needs=told.get("needs", self.values.get("needs", "")),
            note=told.get("note", ""),
            place=(self.path.stem, name),
        )

    def _same_as(self, name: str, told: Mapping[str, Any], where: str) -> Row:
        """A row whose runs are another table's: its figures and title are its own."""
        if "flags" in told:
            raise self._error("flags", "the row has those of same_as; leave one of them out", where)
        file, _, row = told["same_as"].rpartition(":")
        path = self.path.with_name(file if file.endswith(".toml") else f"{file}.toml")
        if not file or path == self.path or path in self.inside:
            raise self._error("same_as", f"must be TABLE:ROW of another table, not {shown(told['same_as'])}", where)
        try:
            if path not in self.others:
                self.others[path] = _Reader(path, (*self.inside, self.path)).table()
            other = chosen(self.others[path], row)
        except TableError as error:
            raise self._error("same_as", str(error), where) from None
        return dataclasses.replace(
            other,
            name=name,
            title=told.get("title", other.title),
            paper=self._figures(told["paper"], where) if "paper" in told else other.paper,
            baseline=self._names(told if "baseline" in told else self.values, where),
            needs=told.get("needs", other.needs),
            note=told.get("note", other.note),
            cell={},
        )

    def _grid(self, rows: dict[str, Row]) -> Grid:
        """Adds the grid's rows to `rows`."""
        flat = dict(_flattened(self.values["grid"]))
        if not 1 <= len(flat) <= 2:
            raise self._error("grid", f"must have one axis or two, not {len(flat)}")
        titles = dict(_flattened(self.values.get("grid_titles", {})))
        for name in titles:
            if name not in flat:
                raise self._error("grid_titles", f"{name!r} is no axis; nearest: {nearest(name, flat)}")
        points = {name: [self._point(name, one) for one in self._list(name, values)] for name, values in flat.items()}
        axes = tuple(_axis(name, titles.get(name, name), points[name]) for name in flat)
        if math.prod(len(one.labels) for one in axes) > MOST_CELLS:
            raise self._error("grid", f"has more than {MOST_CELLS:,} cells")
        found = {}
        for place in itertools.product(*(range(len(one.labels)) for one in axes)):
            cell = [points[axis.name][index] for axis, index in zip(axes, place, strict=True)]
            name = "_".join(_cell_name(axis.name, label) for axis, (label, _, _) in zip(axes, cell, strict=True))
            if name in rows:
                raise self._error("grid", f"two rows are called {name}; give another label")
            needs = next((needs for _, _, needs in cell if needs), self.values.get("needs", ""))
            rows[name] = Row(
                name=name,
                title=", ".join(f"{axis.title} {label}" for axis, (label, _, _) in zip(axes, cell, strict=True)),
                arguments=(
                    *self._arguments(self.values, ""),
                    *(one for _, told, _ in cell for one in self._arguments({"flags": told}, "grid")),
                ),
                paper=self._cell_figures(axes, place),
                baseline=self._names(self.values, "grid"),
                needs=needs,
                place=(self.path.stem, name),
                cell={axis.name: label for axis, (label, _, _) in zip(axes, cell, strict=True)},
            )
            found[tuple(label for label, _, _ in cell)] = name
        return Grid(axes, found)

    def _point(self, axis: str, value: Any) -> tuple[str, Mapping[str, Any], str]:
        """The label of a value on an axis, its flags, and the part it needs that is not built."""
        if isinstance(value, dict):
            told = self._known(value, VALUE_KEYS, f"grid {axis}")
            if not told.get("label"):
                raise self._error("grid", f"{axis}: a value of several flags needs a label")
            return told["label"], told.get("flags", {}), told.get("needs", "")
        return _written(value), {axis: value}, ""

    def _list(self, axis: str, values: Any) -> list[Any]:
        if not isinstance(values, list) or not values:
            raise self._error("grid", f"{axis}: must be a list of values, not {shown(values)}")
        labels = [one.get("label") if isinstance(one, dict) else _written(one) for one in values]
        if len(set(labels)) < len(labels):
            raise self._error("grid", f"{axis}: has a value twice in {shown(', '.join(map(str, labels)))}")
        return values

    def _cell_figures(self, axes: Sequence[Axis], place: Sequence[int]) -> Figures:
        found: dict[str, Any] = {}
        told = self._known(self.values.get("grid_paper", {}), {"test": list, "training": list}, "grid_paper")
        for key, name in (("test", "networks"), ("training", "training")):
            value: Any = told.get(key, None)
            for axis, index in zip(axes, place, strict=True) if value is not None else ():
                if not isinstance(value, list) or len(value) != len(axis.labels):
                    raise self._error("grid_paper", f"{key}: must have {len(axis.labels)} figures along {axis.name}")
                value = value[index]
            if value is not None and value != "":
                found[name] = [value]
        return self._figures(found, "grid_paper")

    def _figures(self, told: Any, where: str) -> Figures:
        kinds = {one.name: list if one.default == () else (int, float) for one in dataclasses.fields(Figures)}
        if not isinstance(told, dict):
            raise self._error("paper", f"must be figures by name, not {shown(told)}", where)
        found: dict[str, Any] = {}
        for key, value in told.items():
            if key not in kinds:
                raise self._error("paper", f"{key!r} is no figure; nearest: {nearest(key, kinds)}", where)
            figures = value if kinds[key] is list and isinstance(value, list) else [value]
            for figure in figures:
                if not isinstance(figure, int | float) or isinstance(figure, bool) or not 0 <= figure <= 100:
                    raise self._error(f"paper.{key}", f"must be a number in 0..100, not {shown(figure)}", where)
            found[key] = tuple(map(float, figures)) if kinds[key] is list else float(value)
        return Figures(**found)

    def _arguments(self, told: Mapping[str, Any], where: str) -> Iterator[str]:
        flags = dict(_flattened(told.get("flags", {})))
        for name in sorted(flags, key=lambda name: name != "flagfile"):  # which others override; the sort is stable
            value = flags[name]
            for one in value if name == "flagfile" and isinstance(value, list) else [value]:
                yield self._argument(name, one, where)

    def _argument(self, name: str, value: Any, where: str) -> str:
        if name in ("seed", "run", "runs_dir", "help", "list", "explain"):
            raise self._error(f"flags.{name}", "is the command's to say; leave it out", where)
        if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
            return f"--{name}={_comma_separated(map(_written, value))}"
        if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            raise self._error(f"flags.{name}", f"must be text, a number, true, false or a list, not {value!r}", where)
        return f"--{name}={_written(value)}"

    def _names(self, told: Mapping[str, Any], where: str) -> tuple[str, ...]:
        names = told.get("baseline", [])
        names = [names] if isinstance(names, str) else names
        if not all(isinstance(one, str) for one in names):
            raise self._error("baseline", f"must be a row's name or a list of them, not {shown(names)}", where)
        return tuple(one for one in names if one)

    def _check_baseline(self, row: Row, rows: Mapping[str, Row]) -> None:
        for name in row.baseline:
            if name not in rows:
                near = nearest(name, rows)
                raise self._error(
                    "baseline", f"{shown(name)} is no row of the table; nearest: {near}", f"row {row.name}"
                )

    def _seeds(self) -> tuple[int, ...]:
        seeds = self.values.get("seeds", [1, 2, 3])
        whole = all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**63 for one in seeds)
        if not seeds or not whole or len(set(seeds)) < len(seeds):
            raise self._error("seeds", f"must be different whole numbers from 0, not {shown(seeds)}")
        return tuple(seeds)

    def _texts(self, key: str) -> list[str]:
        texts = self.values.get(key, [])
        if not all(isinstance(one, str) for one in texts):
            raise self._error(key, f"must be a list of texts, not {shown(texts)}")
        return texts

    def _known(self, told: Any, keys: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`told`, whose every key is known and has a value of its kind."""
        if not isinstance(told, dict):
            raise self._error(where or "the file", f"must be values by name, not {shown(told)}")
        for key, value in told.items():
            if key not in keys:
                raise self._error(key, f"is no key here; nearest: {nearest(key, keys)}", where)
            kind = keys[key] if isinstance(keys[key], tuple) else (keys[key],)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise self._error(key, f"must be {' or '.join(NOUNS[one] for one in kind)}, not {shown(value)}", where)
        return told

    def _error(self, key: str, said: str, where: str = "") -> TableError:
        return TableError(": ".join(filter(None, [str(self.path), where, key, " ".join(said.split())])))


def _toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise TableError(f"{path}: has more than {LARGEST_BYTES:,} bytes; give a table file")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path}: is no TOML: {' '.join(str(error).split())}") from None
    except (UnicodeDecodeError, RecursionError):
        raise TableError(f"{path}: is no TOML: it is no text in UTF-8, or nested too deeply") from None


def _flattened(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`{"dml": {"temperature": 3}}`, which is what TOML makes of `dml.temperature = 3`, by the flag's name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _axis(name: str, title: str, points: Sequence[tuple[str, Mapping[str, Any], str]]) -> Axis:
    values = [told.get(name) for _, told, _ in points]
    numbers = tuple(float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool))
    return Axis(name, title, tuple(label for label, _, _ in points), numbers if len(numbers) == len(points) else ())


def _cell_name(axis: str, label: str) -> str:
    """How a row's name has a value: `kd.temperature` and 4 become "temperature4"."""
    spelled = label.replace("∞", "inf")
    return f"{axis.rpartition('.')[2]}{re.sub(r'[^A-Za-z0-9_.+-]+', '-', spelled)}"


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comma_separated(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(values))
    return line.getvalue()
