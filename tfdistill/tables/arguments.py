"""A row's flags, from values by name to what the command takes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfdistill.tables.values import Place, flattened

# What differs between runs of one row, and what is no property of a run.
THE_COMMANDS = ("seed", "run", "runs_dir", "help", "list", "explain")


def arguments(flags: Mapping[str, Any], place: Place) -> Iterator[str]:
    """`--flag=value` of every flag, flagfiles first, which the others override.

    Args:
        flags: by name; `dml.temperature` may be a dict in a dict.
        place: where they stand.

    Raises:
        TableError: a flag that is the command's to say, or a value that no flag has.
    """
    flat = dict(flattened(flags))
    for name in sorted(flat, key=lambda name: name != "flagfile"):  # the sort is stable
        value = flat[name]
        for one in value if name == "flagfile" and isinstance(value, list) else [value]:
            yield _argument(name, one, place)


def written(value: Any) -> str:
    """A value as a flag has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _argument(name: str, value: Any, place: Place) -> str:
    if name in THE_COMMANDS:
        raise place.error(f"flags.{name}", "is the command's to say; leave it out")
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return f"--{name}={comma_separated(map(written, value))}"
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise place.error(f"flags.{name}", f"must be text, a number, true, false or a list, not {value!r}")
    return f"--{name}={written(value)}"


def comma_separated(values: Iterable[str]) -> str:
    """Values as a flag that takes several has them; one with a comma in it is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(values))
    return line.getvalue()
