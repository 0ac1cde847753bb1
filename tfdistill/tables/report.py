"""What a reader is told of a table, whatever shows it: lines above, columns, lines below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfdistill.tables.cells import MISSING
from tfdistill.tables.matrices import matrices
from tfdistill.tables.row_columns import NOUNS, columns_of
from tfdistill.tables.summary import RowSummary, Summary


@dataclass(frozen=True)
class Block:
    """A table of cells.

    Attributes:
        title: what it is; empty where there is one only.
        headings: of the columns; the first names the rows, all others hold numbers.
        rows: as many cells each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """A table to be shown.

    Attributes:
        title: of the table.
        above: lines before it, what must be seen first at their beginning.
        blocks: the table; of a grid its matrices.
        below: what cells mean, and what is missing.
    """

    title: str
    above: tuple[str, ...]
    blocks: tuple[Block, ...]
    below: tuple[str, ...]


def report(summary: Summary) -> Report:
    """The report of a summary; columns in which no row has anything are left out."""
    shown = [row for row in summary.rows.values() if row.asked or row.row.needs]
    plain = [row for row in shown if not row.row.cell]
    grid = [Block(*told) for told in matrices(summary)] if any(row.row.cell for row in shown) else []
    columns = [column for column in columns_of(summary, plain) if any(_said(column.cell(row)) for row in plain)]
    rows = tuple((row.row.title, *(column.cell(row) for column in columns)) for row in plain)
    blocks = [*([Block("", ("", *(column.heading for column in columns)), rows)] if plain else []), *grid]
    legends = [column.legend for column in columns if column.legend]
    if any(MISSING in cells for block in blocks for cells in block.rows):
        legends.insert(0, f"{MISSING}: no run is finished.")
    return Report(
        title=summary.table.title,
        above=tuple(_above(summary)),
        blocks=tuple(blocks),
        below=tuple(_below(summary, shown, legends, bool(grid))),
    )


def _said(cell: str) -> bool:
    return cell not in ("", MISSING)


def _above(summary: Summary) -> Iterable[str]:
    table = summary.table
    yield from summary.head
    if table.source:
        runs = f", means of {table.paper_runs} runs" if table.paper_runs else ""
        yield f"Paper: {table.source}{runs}."
    several = "" if summary.epochs == (1,) else "s"
    epochs = f" ({_number(summary.epochs[0])} epoch{several})" if len(summary.epochs) == 1 else ""
    scored = " or ".join(summary.scored_on or ("test",))
    yield (
        f"Figures: {scored} {NOUNS[table.metric]}, after the last epoch{epochs}; "
        "mean ± sample standard deviation over n seeds."
    )
    if summary.seeds:
        yield f"Seeds: {', '.join(map(str, summary.seeds))}."
    yield from table.notes


def _below(summary: Summary, shown: Sequence[RowSummary], legends: Sequence[str], grid: bool) -> Iterable[str]:
    yield from legends
    if grid:
        yield from _uneven(row for row in shown if row.row.cell)
    for row in shown:
        if row.row.note:
            yield f"{row.row.title}: {row.row.note}"
    for row in shown:
        if row.row.needs:
            yield f"{row.row.title}: not built: {row.row.needs}"
        yield from row.problems
    left_out = len(summary.rows) - len(shown)
    if left_out:
        yield f"Rows of the table that were not asked for: {left_out}."


def _uneven(cells: Iterable[RowSummary]) -> Iterable[str]:
    """A matrix has no column for n."""
    found: dict[int, list[str]] = {}
    for cell in cells:
        if cell.n:
            found.setdefault(cell.n, []).append(cell.row.title)
    if len(found) == 1:
        yield f"Every figure of ours has n = {next(iter(found))}."
    else:
        yield from (f"n = {n}: {'; '.join(titles)}." for n, titles in sorted(found.items()))


def _number(value: float) -> str:
    return f"{value:g}"
