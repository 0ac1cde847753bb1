"""A table as CSV, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from tfdistill.tables.paired import Gain, Measured
from tfdistill.tables.parts import PartSummary
from tfdistill.tables.summary import RowSummary, Summary


def comma_separated_text(summary: Summary) -> str:
    """A line of CSV for every row of the table, figures with four digits, empty where there is none.

    `budget` has the lines of the table's head, where the budget is not the table's own.
    """
    budget = "; ".join(summary.head)
    rows = [{**_flat(row), "budget": budget} for row in summary.rows.values()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    # A network's columns stand together, whichever row was the first to have it.
    names.sort(key=_place)  # the sort is stable
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _place(name: str) -> tuple[int, int]:
    network = re.match(r"network(\d+)_", name)
    paper = name.startswith("paper_")
    return (2, 0) if paper else (1, int(network[1])) if network else (0, 0)


def _flat(row: RowSummary) -> dict[str, Any]:
    state = "not built" if row.row.needs and not row.n else "not asked for" if not row.asked else ""
    found: dict[str, Any] = {
        "row": row.row.name,
        "title": row.row.title,
        **row.row.cell,
        "state": state or ("finished" if row.n == row.asked else "incomplete"),
        "n": row.n,
        "asked": row.asked,
        "baseline": " ".join(row.row.baseline),
    }
    for name, part in (("mean", row.mean), ("ensemble", row.ensemble)):
        found.update(_flat_part(name, part))
    for name, gain in (("gain", row.gain), ("ensemble_gain", row.ensemble_gain)):
        found.update(_flat_gain(name, gain))
    found.update({"step_seconds": row.step_seconds, "step_ratio": row.step_ratio})
    for index, part in enumerate(row.networks, start=1):
        found.update({f"network{index}_name": part.name, **_flat_part(f"network{index}", part)})
    return {name: "" if value is None else value for name, value in {**found, **_flat_paper(row)}.items()}


def _flat_part(name: str, part: PartSummary | None) -> Mapping[str, Any]:
    figures = ("last", "best", "top5", "training")
    found: dict[str, Any] = {}
    for which in figures:
        measured: Measured | None = getattr(part, which) if part else None
        found[f"{name}_{which}"] = round(measured.mean, 4) if measured else None
        found[f"{name}_{which}_std"] = round(measured.std, 4) if measured and measured.std is not None else None
    return found


def _flat_gain(name: str, gain: Gain | None) -> Mapping[str, Any]:
    told = (round(gain.mean, 4), round(gain.half_width, 4), gain.n) if gain else (None, None, None)
    return dict(zip((name, f"{name}_half_width", f"{name}_n"), told, strict=True))


def _flat_paper(row: RowSummary) -> Mapping[str, Any]:
    paper = row.row.paper
    found: dict[str, Any] = {}
    for name in ("networks", "networks_std", "top5", "training"):
        found[f"paper_{name}"] = " ".join(f"{one:g}" for one in getattr(paper, name))
    for name in ("mean", "mean_std", "ensemble", "ensemble_std", "teacher"):
        found[f"paper_{name}"] = getattr(paper, name)
    found.update({f"paper_others_{name}": value for name, value in paper.others.items()})
    return found
