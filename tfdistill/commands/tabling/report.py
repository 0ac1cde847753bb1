"""What tables gave: on the terminal, and in the files that the command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tfdistill.columns import aligned
from tfdistill.commands.flag_kinds import Flags
from tfdistill.commands.tabling.plan import Plan
from tfdistill.files import write_json
from tfdistill.tables import Outcome, Table
from tfdistill.tables.summary import Summary, summarize

FILES = ("json", "markdown", "csv", "picture")


def check(tables: Sequence[Table], values: Flags) -> None:
    """Refuses files that several tables would be written to.

    Raises:
        ValueError: names the flag.
    """
    for name in FILES:
        if values[name].value and len(tables) > 1:
            raise ValueError(f"{name}: takes one table, not {len(tables)}; give one table file, or flagfiles alone")


def write(planned: Plan, outcomes: Sequence[Sequence[Outcome]], values: Flags) -> None:
    """Prints every table, and writes the files that are asked for."""
    for table, needs, head, own in zip(planned.tables, planned.needs, planned.heads, outcomes, strict=True):
        summary = summarize(table, own, head)
        print("\n" + "\n".join(_lines(summary)))
        for name, need in needs.items():
            print(f"{name} is not run: it needs {need}")
        if values["json"].value:
            write_json(Path(values["json"].value), {"table": table.name, "rows": list(summary.rows)})


def _lines(summary: Summary) -> Iterator[str]:
    yield summary.table.title
    yield from summary.head
    cells = [("row", "mean", "n")]
    for name, row in summary.rows.items():
        cells.append((name, str(row.mean), str(row.n)))
    yield from aligned(cells)
