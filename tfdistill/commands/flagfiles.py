"""Flagfiles: flags in a file, one a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfdistill.commands import bundled
from tfdistill.tables import Row, Table, read_table, row_arguments

# Files in files, and files in all. What includes another a few times at every level would grow without end.
DEEPEST, MOST = 20, 1_000
LARGEST_BYTES = 1_000_000
TABLE = ".toml"


@dataclass(frozen=True)
class Expanded:
    """One argument, and where it stands.

    Attributes:
        argument: such as "--epochs=3".
        place: what comes in front of a message on it: the innermost file, "FILE: " or "TABLE.toml: row ROW: "; empty
            for what the command line itself has.
    """

    argument: str
    place: str = ""


def expand_flagfiles(arguments: Sequence[str]) -> list[str]:
    """`expanded` without the places."""
    return [one.argument for one in expanded(arguments)]


def expanded(arguments: Sequence[str]) -> list[Expanded]:
    """Replaces each `--flagfile=PATH` by the flags in the file, one a line; `#` begins a comment line.

    A flagfile in a flagfile is looked for beside it, then in the working directory, so that a configuration works from
    anywhere. Where no such file is, the name may be one of those in `configs/`: `--flagfile=ie_dml`. `TABLE.toml:ROW`
    is the row of a table file.

    Raises:
        ValueError: a file that is not there, is no text, includes itself, or includes too many others; or a table file
            that is wrong, lacks the row, or has it as one that cannot be run yet.
    """
    return _Expansion().of(arguments, Path(), (), "")


def rows_in(arguments: Sequence[str]) -> list[tuple[Path, str]]:
    """The rows of tables that arguments take flags from: (table file, row) each.

    Raises:
        ValueError: as `expanded`.
    """
    expansion = _Expansion()
    expansion.of(arguments, Path(), (), "")
    return expansion.rows


def row_flags(table: Table, row: Row) -> list[Expanded]:
    """The arguments of a table's row, its flagfiles replaced.

    Raises:
        ValueError: as `expanded`.
    """
    file = Path(f"{table.path.resolve()}:{row.name}")
    return _Expansion().of(row.arguments, table.path.parent, (file,), _place(table.path, row.name))


@dataclass
class _Expansion:
    read: list[Path] = field(default_factory=list)
    rows: list[tuple[Path, str]] = field(default_factory=list)

    def of(self, arguments: Sequence[str], folder: Path, inside: tuple[Path, ...], place: str) -> list[Expanded]:
        """The arguments that stand at `place`, of a file in `folder` that is read inside of others, expanded."""
        found: list[Expanded] = []
        remaining = iter(arguments)
        for argument in remaining:
            name, equals, value = argument.partition("=")
            if name not in ("--flagfile", "-flagfile"):
                found.append(Expanded(argument, place))
                continue
            try:
                path, row = _found(folder, value if equals else next(remaining, ""))
            except ValueError as error:
                raise ValueError(f"{place}{error}") from None
            file = path.resolve() if not row else Path(f"{path.resolve()}:{row}")
            if file in inside:
                raise ValueError(f"flagfile: {path} includes itself")
            if len(inside) == DEEPEST:
                raise ValueError(f"flagfile: {path} is the {DEEPEST + 1}st in each other; {DEEPEST} at most")
            self.read.append(file)
            self.rows += [(path, row)] if row else []
            if len(self.read) > MOST:
                raise ValueError(
                    f"flagfile: {inside[0] if inside else path} and the like include more than {MOST} files"
                )
            lines = row_arguments(path, row) if row else _lines(path)
            found += self.of(lines, path.parent, (*inside, file), _place(path, row))
        return found


def _place(path: Path, row: str) -> str:
    return f"{path}: row {row}: " if row else f"{path}: "


def _found(folder: Path, text: str) -> tuple[Path, str]:
    """The file that a flagfile's name means, and the row where it is a table's."""
    name, colon, row = text.rpartition(":")
    if colon and (name.endswith(TABLE) or bundled.table(name)):
        path = find(folder, name if name.endswith(TABLE) else f"{name}{TABLE}")
    else:
        path, row = find(folder, text), ""
    if path.suffix == TABLE and not row:
        first = next(iter(read_table(path).rows))
        raise ValueError(f"flagfile: {path} is a table; give one of its rows, such as {path}:{first}")
    return path, row


def find(folder: Path, text: str, flag: str = "flagfile") -> Path:
    """The file that `text` calls: in the folder, the working directory, or one of `configs/` by its name.

    Raises:
        ValueError: there is none; the line begins with `flag`.
    """
    candidates = [folder / text, Path(text)] if text else []
    try:
        found = next((one for one in candidates if one.is_file()), None) or bundled.flagfile(text)
        found = found or next((one for one in candidates if one.exists()), None)
    except (OSError, ValueError):  # a name too long, or one that no file can have
        found = None
    if found is None:
        near = f"; nearest of those in configs/: {bundled.nearest(text)}" if text else ""
        raise ValueError(f"{flag}: there is no file {text!r}{near}")
    if not found.is_file():
        raise ValueError(f"{flag}: {found} is {'a folder' if found.is_dir() else 'no file'}; give a file of flags")
    return found


def _lines(path: Path) -> list[str]:
    try:
        if os.path.getsize(path) > LARGEST_BYTES:
            raise ValueError(f"flagfile: {path} has more than {LARGEST_BYTES:,} bytes; give a file of flags")
        text = path.read_text(encoding="utf-8-sig")  # Some editors begin a file with a mark.
    except UnicodeDecodeError:
        raise ValueError(f"flagfile: {path} is no text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"flagfile: {path} cannot be read: {error.strerror}") from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "//"))]
