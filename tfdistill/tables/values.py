"""What a table file's values may be: whatever is wrong in one is a line with the file, the row and the key."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdistill.bounds import nearest, shown

LARGEST_BYTES = 1_000_000
# Control characters, line breaks among them.
BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# By key, the kind of its value, or a tuple of kinds.
TABLE_KEYS = {
    "title": str,
    "source": str,
    "metric": str,
    "notes": list,
    "seeds": list,
    "paper_runs": int,
    "flags": dict,
    "baseline": (str, list),
    "teacher": (str, list),
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
    "teacher": (str, list),
    "needs": str,
    "note": str,
    "seed": int,
    "same_as": str,
}
NOUNS = {str: "text", list: "a list", dict: "a table of values by name", int: "a whole number"}


class TableError(ValueError):
    """A table file is wrong; the message is one line with the file, the row where there is one, and the key."""


@dataclass(frozen=True)
class Place:
    """Where in a file something is said.

    Attributes:
        path: the file.
        part: such as "row NAME"; empty for what concerns the whole table.
    """

    path: Path
    part: str = ""

    def of(self, part: str) -> Place:
        """Another part of the same file."""
        return dataclasses.replace(self, part=part)

    def error(self, key: str, said: str) -> TableError:
        """The error that `key` has here."""
        return TableError(": ".join(filter(None, [str(self.path), self.part, key, " ".join(said.split())])))

    def known(self, told: Any, keys: Mapping[str, Any]) -> dict[str, Any]:
        """`told`, whose every key is known and has a value of its kind.

        Args:
            told: what the file has here.
            keys: by name, the kind of a key's value, or a tuple of kinds.

        Raises:
            TableError: it is no dict, or has another key, or a value of another kind.
        """
        if not isinstance(told, dict):
            raise self.error("" if self.part else "the file", f"must be values by name, not {shown(told)}")
        for key, value in told.items():
            if key not in keys:
                raise self.error(key, f"is no key here; nearest: {nearest(key, keys)}")
            kinds = keys[key] if isinstance(keys[key], tuple) else (keys[key],)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise self.error(key, f"must be {' or '.join(NOUNS[one] for one in kinds)}, not {shown(value)}")
            if isinstance(value, str):
                self.line(key, value)
        return told

    def line(self, key: str, text: str) -> str:
        """A text that stands in one line of a page, of a terminal and of a picture.

        Raises:
            TableError: it has a line break or another control character.
        """
        if BREAKS.search(text):
            raise self.error(key, f"must be one line without control characters, not {shown(text)}")
        return text

    def texts(self, key: str, told: Any) -> tuple[str, ...]:
        """A list of texts, or one text alone.

        Raises:
            TableError: it is something else.
        """
        texts = [told] if isinstance(told, str) else told
        if not all(isinstance(one, str) for one in texts):
            raise self.error(key, f"must be a text or a list of texts, not {shown(told)}")
        return tuple(self.line(key, one) for one in texts if one)


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says.

    Raises:
        TableError: it cannot be read, or is no TOML.
    """
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


def named_teachers(told: Any, place: Place) -> dict[str, Any]:
    """Rows of this table, as "ROW", or of others, as "TABLE:ROW", and behind either perhaps "@EPOCH".

    Returns:
        `teachers` of a row, (table, row) each, and `teacher_epochs`, the epoch of each or None.

    Raises:
        TableError: it is no text and no list of texts, or an epoch is no number from 1.
    """
    teachers, epochs = [], []
    for text in place.texts("teacher", told):
        named, at, epoch = text.partition("@")
        if at and not re.fullmatch("[1-9][0-9]{0,6}", epoch):
            raise place.error("teacher", f"must be ROW, TABLE:ROW, or either with an epoch, ROW@10, not {shown(text)}")
        table, _, row = named.rpartition(":")
        teachers.append((table.removesuffix(".toml") or place.path.stem, row))
        epochs.append(int(epoch) if at else None)
    return {"teachers": tuple(teachers), "teacher_epochs": tuple(epochs)}


def flattened(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`{"dml": {"temperature": 3}}`, which is what TOML makes of `dml.temperature = 3`, by the flag's name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
