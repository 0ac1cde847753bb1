"""What tables gave: on the terminal, and in the files that the command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdistill.commands.flag_kinds import Flags
from tfdistill.commands.tabling.plan import Plan
from tfdistill.files import write_text
from tfdistill.tables import Outcome, Table
from tfdistill.tables.comma_separated import comma_separated_text
from tfdistill.tables.pictures import draw, require_picture, said
from tfdistill.tables.record import write_record
from tfdistill.tables.rendering import page_with_marks, terminal_text, write_markdown
from tfdistill.tables.summary import Summary, summarize

FILES = ("json", "markdown", "csv", "picture")


def check(tables: Sequence[Table], values: Flags) -> None:
    """Refuses files that the tables cannot be written to.

    Raises:
        ValueError: names the flag.
    """
    for name in FILES:
        if values[name].value and len(tables) > 1:
            raise ValueError(f"{name}: takes one table, not {len(tables)}; give one table file, or flagfiles alone")
    if text := values["picture"].value:
        require_picture("picture", text)
    if text := values["markdown"].value:
        page_with_marks(Path(text), tables[0].name)


def write(planned: Plan, outcomes: Sequence[Sequence[Outcome]], values: Flags) -> None:
    """Prints every table, and writes the files that are asked for.

    Raises:
        FileError: a file cannot be written.
    """
    for table, head, own in zip(planned.tables, planned.heads, outcomes, strict=True):
        summary = summarize(table, own, head)
        print(f"\n{terminal_text(summary)}", end="")
        _write_files(summary, own, {name: values[name].value for name in FILES})


def _write_files(summary: Summary, outcomes: Sequence[Outcome], files: dict[str, Any]) -> None:
    if files["json"]:
        write_record(Path(files["json"]), summary, outcomes)
    if files["markdown"]:
        write_markdown(Path(files["markdown"]), summary)
    if files["csv"]:
        write_text(Path(files["csv"]), comma_separated_text(summary))
    if files["picture"]:
        print(said(draw(summary.table, summary, outcomes, Path(files["picture"]))))
