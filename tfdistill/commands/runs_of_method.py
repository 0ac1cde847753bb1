"""The runs of `configs/` that train by a method: flagfiles, and rows of tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfdistill.commands import bundled
from tfdistill.commands.flagfiles import expand_flagfiles, row_flags
from tfdistill.tables import Row, Table

CITATION = re.compile(r":(| [A-Z]\w+ (et\b|and\b).*)$")


def runs_of(method: str) -> dict[str, list[tuple[str, str]]]:
    """By folder or table, every run's name there and what it is.

    Args:
        method: a name of `METHODS`.
    """
    root = bundled.configs().parent
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((root / "configs").rglob("*.flags"), key=lambda path: (len(path.parts), path)):
        if _trains(method, expand_flagfiles([f"--flagfile={path}"])):
            head = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            found.setdefault(f"{path.parent.relative_to(root)}/", []).append((path.name, CITATION.sub("", head)))
    for table in bundled.tables():
        if rows := [row for row in table.rows.values() if _trains(method, _flags(table, row))]:
            found[f"{table.path.relative_to(root)}: {table.title}"] = _listed(table, rows)
    return found


def _flags(table: Table, row: Row) -> list[str]:
    return [one.argument for one in row_flags(table, row)]


def _trains(method: str, flags: Sequence[str]) -> bool:
    """Whether flags are a run of the method. Those that others include name no networks, or no method."""
    said = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    return said.get("method") == method and "networks" in said


def _listed(table: Table, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Every row's name with its title; all cells of a grid are one line."""
    cells = [row for row in rows if row.cell]
    others = [row for row in rows if not row.cell]
    listed = [(row.name, f"{row.title} (cannot be run yet)" if row.needs else row.title) for row in others]
    if cells and table.grid:
        axes = " and ".join(one.title for one in table.grid.axes)
        listed.append((cells[0].name, f"and {len(cells) - 1} other cells of the grid of {axes}"))
    return listed
