"""What has become of a run, read from its folder: scores that can be counted, or one line on why they cannot."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdistill.data import source_of
from tfdistill.devices.packages import package_versions
from tfdistill.files import read_json
from tfdistill.runs.checkpoints.files import CheckpointError, finished, step_of
from tfdistill.runs.config import RunConfig
from tfdistill.runs.continuing import refusal
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.sealing import EPOCHS, REMEDY, broken
from tfdistill.runs.stored_flags import read_run_config
from tfdistill.tables import Outcome, Scores
from tfdistill.tables.outcome import ENSEMBLE, TOP5

# Runs with different versions of these are not averaged.
COMPARED = ("tfdistill", "tensorflow", "keras")
ANEW = "remove the folder, and the same command trains it anew"


def folder_of(config: RunConfig) -> RunFolder:
    """The folder of a run."""
    return RunFolder(Path(config.runs_dir) / config.run_name)


def outcome_of(row: str, seed: int, config: RunConfig) -> Outcome:
    """What has become of the run that `config` describes; nothing is written.

    Args:
        row: the name of the table's row.
        seed: the run's.
        config: its flags.

    Returns:
        Finished with its scores; missing, where training has not come to the end that the flags say; or refused, where
        the folder is of other flags or versions, was edited or is damaged, with one line that names it.
    """
    folder, flags = folder_of(config), config.to_dict()
    try:
        if not folder.is_begun():
            return Outcome(row, seed, config.run_name, "missing", flags=flags)
        if said := _otherwise(folder, config):
            return Outcome(row, seed, config.run_name, "refused", f"{folder.path}: {said}", flags=flags)
        if not folder.is_finished(config):
            return Outcome(row, seed, config.run_name, "missing", flags=flags)
        results = folder.finished() or {}
        if said := _uncounted(results, folder, config):
            return Outcome(row, seed, config.run_name, "refused", f"{folder.path}: {said}", flags=flags)
        scores = scores_of(results, _rows(folder))
    except (CheckpointError, ValueError) as error:
        said = str(error) if str(folder.path) in str(error) else f"{folder.path}: {error}"
        return Outcome(row, seed, config.run_name, "refused", said, flags=flags)
    return Outcome(row, seed, config.run_name, "finished", "", scores, flags, results["versions"])


def trained_steps(folder: RunFolder) -> tuple[int, float | None]:
    """How far a run is, which may be training: steps that it has recorded, and the steps of an epoch.

    Returns:
        The steps, and None for the epoch's as long as none is over.
    """
    try:
        rows = [row for row in _rows(folder) if row.get("step") and row.get("epoch")]
        of_checkpoints = [step_of(path) for path in finished(folder.checkpoints)]
        steps = [int(row["step"]) for row in rows]
        of_epoch = steps[-1] / int(rows[-1]["epoch"]) if rows else None
    except (OSError, ValueError, CheckpointError):  # written this moment, or damaged: the run itself will say
        return 0, None
    return max([*steps, *of_checkpoints, 0]), of_epoch


def seconds_taken(folder: RunFolder) -> float | None:
    """The time that a finished run took; None where it does not say."""
    try:
        seconds = read_json(folder.results, "").get("seconds")
    except ValueError:
        return None
    return float(seconds) if isinstance(seconds, int | float) else None


def scores_of(results: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Scores:
    """The scores in results.json and epochs.csv.

    Args:
        results: what `report.results_of` gave.
        rows: of epochs.csv.

    Raises:
        ValueError: a score is no number.
    """
    entries = {entry["name"]: entry for entry in results["networks"]}
    # "best_accuracy": the task's headline is what has a best.
    headline = next(key for key in next(iter(entries.values())) if key.startswith("best_")).removeprefix("best_")
    terms, speed = results["training_terms"], results["images_per_second"]
    found = Scores(
        # The ensembles of ONE and FFL have parameters, and are no networks all the same.
        networks=tuple(name for name in entries if name != ENSEMBLE),
        last={name: entry["last"][headline] for name, entry in entries.items()},
        best={name: entry[f"best_{headline}"] for name, entry in entries.items()},
        top5={name: entry["last"][TOP5] for name, entry in entries.items() if TOP5 in entry["last"]},
        training={name: terms[f"{name}/{headline}"] for name in entries if f"{name}/{headline}" in terms},
        epochs=results["epochs"],
        step_seconds=(results["batch_size"] + results.get("unlabelled_batch_size", 0)) / speed if speed else None,
        curve=tuple(_curve(rows, list(entries), headline)),
        scored_on=results["scored_on"],
    )
    for name, value in (*found.last.items(), *found.best.items()):
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"the {headline} of {name} is no number, but {value}; {ANEW}")
    return found


def told_otherwise(told: Outcome, config: RunConfig) -> str:
    """How a finished run that another folder had is not the one that `config` describes; empty where it is.

    Args:
        told: the run, its flags without those that say where things lie.
        config: the flags.
    """
    try:
        was = RunConfig.from_dict({**config.to_dict(), **told.flags})
    except ValueError as error:
        return str(error)
    if said := _differences(was, config):
        return f"trained otherwise: {said}"
    return _versions_otherwise(told.versions)


def _otherwise(folder: RunFolder, config: RunConfig) -> str:
    """How the flags in the folder are others than those of `config`; empty where they are the same."""
    if not folder.flags.exists():
        return f"flags.json is not there; {ANEW}"
    was = read_run_config(folder.flags)
    if said := _differences(was, config):
        return f"flags.json: was trained otherwise: {said}; {ANEW}"
    return ""


def _differences(was: RunConfig, config: RunConfig) -> str:
    """The flags that change scores or how they are taken, with both values."""
    found = [refusal(was.to_dict(), config)]
    if was.evaluate_every != config.evaluate_every:
        found.append(f"--evaluate_every={config.evaluate_every} (it was {was.evaluate_every})")
    # Their folders may have moved; what they are called has not.
    before, now = (",".join(Path(text).name for text in one.teacher) or "none" for one in (was, config))
    if before != now:
        found.append(f"--teacher={now} (it was {before})")
    # A folder of images is the data; in those of other data sets they only lie.
    before, now = (Path(one.data_dir).name for one in (was, config))
    if before != now and source_of(config.dataset).is_folder:
        found.append(f"--data_dir={now} (it was {before})")
    before, now = (Path(one.unlabelled_dir).name or "none" for one in (was, config))
    if before != now:
        found.append(f"--unlabelled_dir={now} (it was {before})")
    return ", ".join(filter(None, found))


def _uncounted(results: Mapping[str, Any], folder: RunFolder, config: RunConfig) -> str:
    """Why results that are there are not counted; empty where they are."""
    if said := broken(results, folder.path):
        return said
    if said := _differences(RunConfig.from_dict(results["flags"]), config):
        return f"results.json is of other flags: {said}; {REMEDY}"
    steps = min(config.steps or results["planned_steps"], results["planned_steps"])
    if results["step"] != steps:
        return f"results.json is of {results['step']} steps, and not of {steps}; {ANEW}"
    if not results["networks"]:
        return f"results.json has no scores; {ANEW}"
    said = _versions_otherwise(results["versions"])
    return f"results.json is {said}; {ANEW}" if said else ""


def _versions_otherwise(was: Mapping[str, str]) -> str:
    """The packages that were others; empty where they were the same."""
    now = package_versions()
    others = [
        f"{name} {was.get(name, 'unknown')} instead of {now[name]}" for name in COMPARED if was.get(name) != now[name]
    ]
    return f"from another version: {', '.join(others)}" if others else ""


def _rows(folder: RunFolder) -> list[dict[str, str]]:
    path = folder.path / EPOCHS
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _curve(
    rows: Sequence[Mapping[str, str]], names: Sequence[str], headline: str
) -> Iterator[tuple[int, dict[str, float]]]:
    for row in rows:
        scores = {name: float(row[key]) for name in names if row.get(key := f"val_{name}/{headline}")}
        if scores:
            yield int(row["epoch"]), scores
