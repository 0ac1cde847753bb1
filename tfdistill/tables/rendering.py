"""A report for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfdistill.columns import aligned, markdown
from tfdistill.files import between, write_text
from tfdistill.tables.report import report
from tfdistill.tables.summary import Summary


def terminal_text(summary: Summary) -> str:
    """The table in aligned columns, with a line break at the end."""
    told = report(summary)
    lines = [told.title, *told.above]
    for block in told.blocks:
        lines += ["", *([block.title] if block.title else [])]
        rows = [block.headings, *block.rows]
        lines += aligned(rows, right=range(1, len(block.headings)))
    return "\n".join([*lines, *(["", *told.below] if told.below else [])]) + "\n"


def markdown_text(summary: Summary) -> str:
    """The table as GitHub's Markdown, numbers right-aligned, with a line break at the end."""
    told = report(summary)
    parts = [f"**{told.title}**\n", _paragraph(told.above)]
    for block in told.blocks:
        rows = [[cell.replace("|", "\\|") for cell in row] for row in (block.headings, *block.rows)]
        table = markdown(rows[0], rows[1:], numbers=len(rows[0]) - 1)
        parts += [*([f"{block.title}\n"] if block.title else []), table]
    return "\n".join([*parts, *([_paragraph(told.below)] if told.below else [])])


def write_markdown(path: Path, summary: Summary) -> None:
    """Writes the table as Markdown between its two marks in the file; a file that is not there begins with them.

    Raises:
        ValueError: the file is there, and lacks the marks, so that somebody's page would be lost; in one line.
        FileError: it cannot be written.
    """
    write_text(path, with_table(page_with_marks(path, summary.table.name), summary))


def with_table(page: str, summary: Summary) -> str:
    """A page with the table between its marks.

    Raises:
        ValueError: the page lacks them.
    """
    return between(page, *marks(summary.table.name), f"\n{markdown_text(summary)}\n")


def page_with_marks(path: Path, name: str) -> str:
    """The page that has a table's marks; they alone, where there is no file.

    Raises:
        ValueError: the file has no such lines, or cannot be read; in one line.
    """
    begins, ends = marks(name)
    try:
        page = path.read_text(encoding="utf-8") if path.exists() else begins + ends
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if begins not in page or ends not in page.partition(begins)[2]:
        raise ValueError(
            f"{path}: must have the lines {begins.strip()!r} and {ends.strip()!r}, or not be there; add them where the "
            "table belongs, or name another file"
        )
    return page


def marks(name: str) -> tuple[str, str]:
    """The lines of a page between which a table stands."""
    return f"<!-- table {name} from here -->\n", f"<!-- table {name} to here -->\n"


def _paragraph(lines: Iterable[str]) -> str:
    """A list, one point a line: two lines of Markdown would become one."""
    return "".join(f"- {' '.join(line.split())}\n" for line in lines)
