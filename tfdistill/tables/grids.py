"""The grid of a table file: a row for every combination of some values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfdistill.bounds import nearest, shown
from tfdistill.tables.arguments import arguments, written
from tfdistill.tables.figures import figures
from tfdistill.tables.table import Axis, Figures, Grid, Row
from tfdistill.tables.values import Place, flattened, named_teachers

# A grid of more is a slip of the keyboard.
MOST_CELLS = 10_000
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
VALUE_KEYS = {
    "label": str,
    "flags": dict,
    "renames": dict,
    "needs": str,
    "teacher": (str, list),
    "baseline": (str, list),
}


@dataclass(frozen=True)
class Value:
    """One value on an axis.

    Attributes:
        label: what rows, pictures and commands call it.
        flags: by name.
        needs: the part that is not built; empty where the value can be run.
        renames: by the owner of the other value's flags, such as "kd", the one that they have beside this value.
        rows: by "teacher" and "baseline", the rows that are its cells', where they are not the table's.
    """

    label: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)


def read_grid(values: Mapping[str, Any], place: Place) -> tuple[Grid, dict[str, Row]]:
    """The grid of a table, and its rows by name.

    Args:
        values: of the whole file.
        place: the file.

    Raises:
        TableError: axes, values or figures that no grid can have.
    """
    points = _points(values["grid"], place.of("grid"))
    titles = _titles(values.get("grid_titles", {}), points, place.of("grid_titles"))
    axes = tuple(_axis(name, titles.get(name, name), along) for name, along in points.items())
    cells, rows = {}, {}
    shared = tuple(arguments(values.get("flags", {}), place))
    for index in itertools.product(*(range(len(one.labels)) for one in axes)):
        cell = [points[axis.name][number] for axis, number in zip(axes, index, strict=True)]
        name = "_".join(_part_of_name(axis.name, one.label) for axis, one in zip(axes, cell, strict=True))
        if name in rows or name in values.get("rows", {}):
            raise place.error("grid", f"two rows are called {name}; give another label")
        rows[name] = Row(
            name=name,
            title=", ".join(f"{axis.title} {one.label}" for axis, one in zip(axes, cell, strict=True)),
            arguments=(*shared, *(flag for one in cell for flag in arguments(_flags(one, cell), place.of("grid")))),
            paper=_figures(values.get("grid_paper", {}), axes, index, place.of("grid_paper")),
            baseline=place.texts("baseline", _rows("baseline", cell, values)),
            needs=next((one.needs for one in cell if one.needs), values.get("needs", "")),
            place=(place.path.stem, name),
            cell={axis.name: one.label for axis, one in zip(axes, cell, strict=True)},
            **named_teachers(_rows("teacher", cell, values), place),
        )
        cells[tuple(one.label for one in cell)] = name
    return Grid(axes, cells), rows


def _points(told: Mapping[str, Any], place: Place) -> dict[str, list[Value]]:
    flat = dict(flattened(told))
    if not 1 <= len(flat) <= 2:
        raise place.error("", f"must have one axis or two, not {len(flat)}")
    points = {}
    for name, values in flat.items():
        if not isinstance(values, list) or not values:
            raise place.error(name, f"must be a list of values, not {shown(values)}")
        points[name] = [_value(name, one, place) for one in values]
        labels = [one.label for one in points[name]]
        if len(set(labels)) < len(labels):
            raise place.error(name, f"has a value twice in {shown(', '.join(labels))}")
    if math.prod(map(len, points.values())) > MOST_CELLS:
        raise place.error("", f"has more than {MOST_CELLS:,} cells")
    return points


def _value(axis: str, told: Any, place: Place) -> Value:
    if not isinstance(told, dict):
        return Value(written(told), {axis: told})
    told = place.known(told, VALUE_KEYS)
    if not told.get("label"):
        raise place.error(axis, "a value of several flags needs a label")
    rows = {key: told[key] for key in ("teacher", "baseline") if key in told}
    renames = told.get("renames", {})
    if not all(isinstance(one, str) for one in renames.values()):
        raise place.error(
            axis, f"renames must be a table of texts, such as {{ kd = 'kd_limit' }}, not {shown(renames)}"
        )
    return Value(told["label"], told.get("flags", {}), told.get("needs", ""), renames, rows)


def _flags(one: Value, cell: Sequence[Value]) -> dict[str, Any]:
    """The flags of a value as they are in a cell, where the other value may rename their owner."""
    renames = {old: new for other in cell if other is not one for old, new in other.renames.items()}
    parts = ((name.partition("."), value) for name, value in flattened(one.flags))
    return {f"{renames.get(owner, owner) if dot else owner}{dot}{rest}": value for (owner, dot, rest), value in parts}


def _rows(key: str, cell: Sequence[Value], values: Mapping[str, Any]) -> Any:
    """What the first value that says something of it says, else the table."""
    return next((one.rows[key] for one in cell if key in one.rows), values.get(key, []))


def _titles(told: Mapping[str, Any], axes: Mapping[str, Any], place: Place) -> dict[str, str]:
    titles = dict(flattened(told))
    for name, title in titles.items():
        if name not in axes:
            raise place.error("", f"{name!r} is no axis; nearest: {nearest(name, axes)}")
        if not isinstance(title, str):
            raise place.error(name, f"must be text, not {shown(title)}")
        place.line(name, title)
    return titles


def _axis(name: str, title: str, along: Sequence[Value]) -> Axis:
    numbers = tuple(float(one.label) for one in along if NUMBER.fullmatch(one.label))
    return Axis(name, title, tuple(one.label for one in along), numbers if len(numbers) == len(along) else ())


def _part_of_name(axis: str, label: str) -> str:
    """How a row's name has a value: `kd.temperature` and 4 become "temperature4"."""
    return f"{axis.rpartition('.')[2]}{re.sub(r'[^A-Za-z0-9_.+-]+', '-', label.replace('∞', 'inf'))}"


def _figures(told: Any, axes: Sequence[Axis], index: Sequence[int], place: Place) -> Figures:
    """A cell's own figures, of lists that are nested as the axes are; "" is a figure that the paper lacks."""
    told = place.known(told, {"test": list, "training": list})
    found: dict[str, Any] = {}
    for key, name in (("test", "networks"), ("training", "training")):
        value: Any = told.get(key, "")
        for axis, number in zip(axes, index, strict=True) if key in told else ():
            if not isinstance(value, list) or len(value) != len(axis.labels):
                raise place.error(key, f"must have {len(axis.labels)} figures along {axis.name}")
            value = value[number]
        if value != "":
            found[name] = [value]
    return figures(found, place)
