"""The record of a table's runs: JSON from which the table is made again, without the runs' folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdistill.files import read_json, write_text
from tfdistill.tables.outcome import Outcome, Scores
from tfdistill.tables.paired import Measured
from tfdistill.tables.parts import DIGITS, PartSummary
from tfdistill.tables.summary import RowSummary, Summary

FORMAT = 1
REMEDY = "move it away; the table's runs make it anew"


@dataclass(frozen=True)
class Record:
    """What a record has.

    Attributes:
        table: the name of the table.
        head: lines that a reader must see first.
        outcomes: its runs, without the flags that say where things lie.
    """

    table: str
    head: tuple[str, ...]
    outcomes: tuple[Outcome, ...]


def write_record(path: Path, summary: Summary, outcomes: Iterable[Outcome]) -> None:
    """Writes the runs with flags and versions, their summary, and a seal over it all.

    A run has a line. Flags and versions that all runs share stand at the top, those of a row's runs at the row.

    Raises:
        FileError: the file cannot be written.
    """
    order = {name: index for index, name in enumerate(summary.rows)}
    runs = sorted(outcomes, key=lambda one: (order[one.row], one.seed))
    flags, versions = _common(one.settings for one in runs), _common(one.versions for one in runs)
    own = {
        name: _without(_common(one.settings for one in runs if one.row == name), flags)
        for name in dict.fromkeys(one.row for one in runs)
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "table": summary.table.name,
        "title": summary.table.title,
        "head": list(summary.head),
        "flags": flags,
        "versions": versions,
        "row_flags": own,
        "runs": [_run(one, {**flags, **own[one.row]}, versions) for one in runs],
        "summary": {name: _summary(row) for name, row in summary.rows.items() if row.asked},
    }
    write_text(path, _lines({**content, "seal": _seal(content)}))


def read_record(path: Path) -> Record:
    """The record that a file holds.

    Raises:
        ValueError: it cannot be read, is none, was edited, or is of another version of tfdistill; in one line.
    """
    values = read_json(path, REMEDY)
    seal = values.pop("seal", None)
    if seal is None:
        raise ValueError(f"{path}: is no record of a table: it has no seal; {REMEDY}")
    if seal != _seal(values):
        raise ValueError(f"{path}: was edited, or is damaged: its seal is not that of its content; {REMEDY}")
    if values.get("format") != FORMAT:
        raise ValueError(f"{path}: has format {values.get('format')}, and this version reads {FORMAT}; {REMEDY}")
    try:
        outcomes = tuple(_outcome(told, values) for told in values["runs"])
        return Record(values["table"], tuple(values["head"]), outcomes)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: is damaged: {type(error).__name__} {error}; {REMEDY}") from None


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _common(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all that say something say alike."""
    said = [one for one in told if one]
    first = said[0] if said else {}
    return {name: value for name, value in first.items() if all(name in one and one[name] == value for one in said)}


def _without(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in known or known[name] != value}


def _run(outcome: Outcome, flags: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {"row": outcome.row, "seed": outcome.seed, "run": outcome.run, "state": outcome.state}
    if outcome.problem:
        told["problem"] = outcome.problem
    if outcome.scores:
        told["scores"] = _scores(outcome.scores)
    if outcome.flags:
        told["flags"] = _without(outcome.settings, flags)
    if outcome.versions:
        told["versions"] = _without(outcome.versions, versions)
    return told


def _scores(scores: Scores) -> dict[str, Any]:
    return {
        "networks": list(scores.networks),
        **{name: _rounded(getattr(scores, name)) for name in ("last", "best", "top5", "training")},
        "epochs": scores.epochs,
        "step_seconds": None if scores.step_seconds is None else round(scores.step_seconds, DIGITS),
        "curve": [[epoch, _rounded(shares)] for epoch, shares in scores.curve],
        "scored_on": scores.scored_on,
    }


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in shares.items()}


def _outcome(told: Mapping[str, Any], values: Mapping[str, Any]) -> Outcome:
    known = {**values["flags"], **values["row_flags"][told["row"]]}
    scores = told.get("scores")
    return Outcome(
        row=told["row"],
        seed=told["seed"],
        run=told["run"],
        state=told["state"],
        problem=told.get("problem", ""),
        scores=Scores(**{**scores, "networks": tuple(scores["networks"]), "curve": _curve(scores)}) if scores else None,
        flags={**known, **told["flags"], "seed": told["seed"], "run": told["run"]} if "flags" in told else {},
        versions={**values["versions"], **told["versions"]} if "versions" in told else {},
    )


def _curve(scores: Mapping[str, Any]) -> tuple[tuple[int, Mapping[str, float]], ...]:
    return tuple((epoch, shares) for epoch, shares in scores["curve"])


def _summary(row: RowSummary) -> dict[str, Any]:
    """Figures for a reader of the file; nothing reads them back."""
    found: dict[str, Any] = {"n": row.n, "asked": row.asked}
    for part in (row.mean, row.ensemble, *row.networks):
        if part:
            found[part.name] = _part(part)
    for name, gain in (("gain", row.gain), ("ensemble_gain", row.ensemble_gain)):
        if gain:
            found[name] = {"mean": round(gain.mean, 4), "half_width": round(gain.half_width, 4), "n": gain.n}
    for name, value in (("step_seconds", row.step_seconds), ("step_ratio", row.step_ratio)):
        if value is not None:
            found[name] = round(value, 4)
    return found


def _part(part: PartSummary) -> dict[str, Any]:
    figures = {name: getattr(part, name) for name in ("last", "best", "top5", "training")}
    return {name: _measured(one) for name, one in figures.items() if one}


def _measured(one: Measured) -> dict[str, float]:
    return {"mean": round(one.mean, 4), **({} if one.std is None else {"std": round(one.std, 4)})}


def _lines(content: Mapping[str, Any]) -> str:
    """JSON whose lists and dicts at the top have a line for each element, so that a change is a line."""
    parts = []
    for name, value in content.items():
        if isinstance(value, dict | list) and value:
            ends = "{}" if isinstance(value, dict) else "[]"
            inner = ",\n".join(f"    {one}" for one in _elements(value))
            written = f"{ends[0]}\n{inner}\n  {ends[1]}"
        else:
            written = _written(value)
        parts.append(f"  {_written(name)}: {written}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _elements(value: Mapping[str, Any] | Sequence[Any]) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{_written(name)}: {_written(one)}" for name, one in value.items()]
    return [_written(one) for one in value]


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
