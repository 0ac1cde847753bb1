"""The seal of a run's results: who counts them later sees whether they are what the run wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdistill.runs.checkpoints.files import sha256

KEY, EPOCHS = "seal", "epochs.csv"
REMEDY = "remove results.json, and the same command writes it anew"


def sealed(results: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content of results.json with its seal: SHA-256 of epochs.csv, and of the content together with that.

    Args:
        results: the content without a seal.
        folder: the run's, where epochs.csv is written already; a run of no epoch has none.
    """
    seal = {EPOCHS: _checksum(folder / EPOCHS)}
    return {**results, KEY: {**seal, "results.json": _checksum_of({**results, KEY: seal})}}


def broken(results: Mapping[str, Any], folder: Path) -> str:
    """Why results cannot be taken for what the run wrote, and what to do; empty if they can.

    Args:
        results: results.json as it is read.
        folder: the run's.
    """
    seal = results.get(KEY)
    if not isinstance(seal, dict):
        return f"results.json is from another version of tfdistill: it has no seal; {REMEDY}"
    told = {EPOCHS: seal.get(EPOCHS)}
    if seal.get("results.json") != _checksum_of({**results, KEY: told}):
        return f"results.json was edited after the run wrote it; {REMEDY}"
    if told[EPOCHS] != _checksum(folder / EPOCHS):
        return f"{EPOCHS} was edited after the run wrote it; {REMEDY}"
    return ""


def _checksum(path: Path) -> str:
    return sha256(path) if path.is_file() else ""


def _checksum_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
