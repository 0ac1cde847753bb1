"""Runs that the record of a table tells of, and that have no finished folder here: they are shown, and not trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tfdistill.bounds import shown
from tfdistill.commands.tabling.plan import Planned
from tfdistill.runs.outcomes import told_otherwise
from tfdistill.tables import Outcome
from tfdistill.tables.record import read_record


def require_record(path: Path, table: str) -> None:
    """Refuses to write over what is no record of the table.

    Raises:
        ValueError: the file is there, and is no record, was edited, or is another table's; in one line.
    """
    if path.exists() and (found := read_record(path).table) != table:
        raise ValueError(f"json: {path} is the record of the table {shown(found)}, not of {table}; name another file")


def recorded(path: Path, runs: Mapping[str, Planned], read: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The finished runs that a record has, and that are missing here, by name.

    Args:
        path: of the record; nothing is taken where it is not there.
        runs: by name, every run of the plan.
        read: by name, what their folders tell.

    Raises:
        ValueError: as `require_record`; or the record has a finished run that would be lost, because the plan has none
            of that name, or one of other flags or versions.
    """
    taken, lost = {}, []
    for one in read_record(path).outcomes if path.exists() else ():
        if one.state != "finished":
            continue
        if one.run not in runs:
            lost.append(f"{one.run}, none of this command's")
        elif read[one.run].state == "missing":
            if said := told_otherwise(one, runs[one.run].config):
                lost.append(f"{one.run}, {said}")
            taken[one.run] = dataclasses.replace(one, flags=read[one.run].flags)
    if lost:
        raise ValueError(
            f"json: {path} has finished runs that would be lost, {len(lost)} in all; the first is {lost[0]}; "
            "name another file, or move it away"
        )
    return taken


def to_train(
    runs: Mapping[str, Planned], read: Mapping[str, Outcome], taken: Mapping[str, Outcome]
) -> dict[str, Planned]:
    """The runs without those that a record tells of, unless they teach one that is missing.

    Args:
        runs: to train, teachers before whom they teach.
        read: by name, what their folders tell.
        taken: by name, what the record tells.
    """
    kept: dict[str, Planned] = {}
    teachers: set[str] = set()
    for name, one in reversed(list(runs.items())):
        if name not in taken or name in teachers:
            kept[name] = one
            teachers |= {*one.teachers} if read[name].state == "missing" else set()
    return dict(reversed(list(kept.items())))
