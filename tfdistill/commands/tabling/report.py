"""What tables gave: on the terminal, and in the files that the command line names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdistill.commands.flag_kinds import Flags
from tfdistill.commands.tabling.given import files_of
from tfdistill.commands.tabling.plan import Plan
from tfdistill.commands.tabling.recorded import require_record
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
    _require_different({name: str(values[name].value or "") for name in FILES}, tables)
    if text := values["json"].value:
        require_record(Path(text), tables[0].name)
    if text := values["picture"].value:
        require_picture("picture", text)
    if text := values["markdown"].value:
        page_with_marks(Path(text), tables[0].name)


def _require_different(files: Mapping[str, str], tables: Sequence[Table]) -> None:
    """Refuses a file that is written twice, or that the table is read from."""
    taken = {path.resolve(): "what the table is read from" for table in tables for path in files_of(table)}
    for name, text in files.items():
        if not text:
            continue
        path = Path(text).resolve()
        if path in taken:
            raise ValueError(f"{name}: {text} is {taken[path]}; name another file")
        taken[path] = f"the file of --{name} too"


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
