"""Text in columns, for every table that a terminal is shown, and tables of Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: str = "") -> list[str]:
    """A line for each row, whose cells stand under those of the row before, two blanks apart.

    Args:
        rows: cells of one line each; as many in every row.
        right: columns, from 0, whose cells end under each other, as numbers should; the others begin so.
        indent: what every line begins with.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return lines


def markdown(headings: Iterable[str], rows: Iterable[Iterable[str]], numbers: int = 0) -> str:
    """A table whose last `numbers` columns are right-aligned."""
    headings = tuple(headings)
    rules = ["---:" if index >= len(headings) - numbers else "---" for index in range(len(headings))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rules, *rows))
