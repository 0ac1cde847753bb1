"""The flags.json of a run, which somebody may have edited: read with one line for whatever is wrong in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdistill.bounds import nearest, shown
from tfdistill.files import read_json
from tfdistill.runs.config import RunConfig

NEEDED = {"method": str, "networks": list, "hyperparameters": dict}
NOUNS = {str: "text", list: "a list", dict: "values by name"}


def read_flags(path: Path, needed: Sequence[str] = tuple(NEEDED)) -> dict[str, Any]:
    """The values by the flags' names, as `RunConfig.to_dict` wrote them; flags that are newer than the run are absent.

    Args:
        path: the file.
        needed: of `NEEDED`, what the reader will look at.

    Raises:
        ValueError: it is no JSON, no object, lacks what every run has, or has a name that no flag has. The line has
            the file's name and the key.
    """
    values = read_json(path, "write back what was edited")
    names = [one.name for one in dataclasses.fields(RunConfig)]
    for name in values:
        if name not in names:
            raise ValueError(f"{path}: {name!r} is no flag; nearest: {nearest(name, names)}")
    for name in needed:
        if not isinstance(values.get(name), NEEDED[name]):
            told = f"not {shown(values[name])}" if name in values else "and is not there"
            raise ValueError(f"{path}: {name}: must be {NOUNS[NEEDED[name]]}, {told}")
    return values


def read_run_config(path: Path) -> RunConfig:
    """The run that a flags.json describes.

    Raises:
        ValueError: as `read_flags`, or a value that the flag cannot have.
    """
    values = read_flags(path)
    try:
        return RunConfig.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
