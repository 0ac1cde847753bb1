"""What a finished run reports: results.json, and the table on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfdistill.columns import aligned
from tfdistill.devices import runtime
from tfdistill.networks.graphs import trainable_parameters
from tfdistill.runs.best_epoch import ExportedEpoch
from tfdistill.runs.config import RunConfig
from tfdistill.standalone.calling import words
from tfdistill.tasks import Classification, Task


def network_results(
    networks: Sequence[keras.Model],
    rows: Sequence[Mapping[str, Any]],
    exported: ExportedEpoch | None = None,
    task: Task | None = None,
) -> list[dict[str, Any]]:
    """Parameters, last scores and the best of the task's headline (with its epoch) of each network and their ensemble.

    Args:
        networks: the networks.
        rows: the record of the epochs.
        exported: the epoch that is exported; where it is chosen as the best, its scores come along.
        task: what they have learned; classification if not given.
    """
    task = task or Classification()
    found = []
    together, headline = task.ensemble_name, task.headline
    parameters_of = {together: None, **{one.name: trainable_parameters([one]) for one in networks}}
    for name in [*(one.name for one in networks if one.name != together), together]:
        parameters = parameters_of[name]
        scored = [row for row in rows if f"val_{name}/{headline}" in row]
        if not scored:
            continue
        best = max(scored, key=lambda row: row[f"val_{name}/{headline}"])
        prefix = f"val_{name}/"
        last = {key.removeprefix(prefix): value for key, value in scored[-1].items() if key.startswith(prefix)}
        best_entry = {f"best_{headline}": best[f"val_{name}/{headline}"], "best_epoch": best["epoch"]}
        if exported and exported.choice == "best":
            row = next(row for row in scored if row["epoch"] == exported.epoch)
            best_entry["exported"] = {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix)}
        found.append({"name": name, "parameters": parameters, "last": last, **best_entry})
    return found


def results_of(
    config: RunConfig,
    networks: Sequence[keras.Model],
    rows: Sequence[Mapping[str, Any]],
    *,
    scored_on: str,
    other_scores: Mapping[str, Mapping[str, float]],
    exports: Mapping[str, Path],
    exported: ExportedEpoch,
    worst_classes: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, Any],
    task: Task | None = None,
) -> dict[str, Any]:
    """The content of results.json: the table, the loss terms of the last epoch, speed, flags, versions."""
    last = rows[-1] if rows else {}
    terms = {
        name: value for name, value in last.items() if "/" in name and not name.startswith(("val_", "learning_rate"))
    }
    speeds = sorted(row["images_per_second"] for row in rows if row["images_per_second"])
    return {
        **facts,
        "scored_on": scored_on,
        "exported_epoch": exported.facts(),
        "networks": network_results(networks, rows, exported, task),
        "other_scores": {split: dict(scores) for split, scores in other_scores.items()},
        "worst_classes": {network: dict(classes) for network, classes in worst_classes.items()},
        "training_terms": terms,
        "images_per_second": speeds[len(speeds) // 2] if speeds else None,
        "exports": {name: str(path) for name, path in exports.items()},
        "flags": config.to_dict(),
        "versions": runtime.versions(),
    }


def final_table(results: Mapping[str, Any], run_folder: Path, task: Task | None = None) -> str:
    """What the terminal shows at the end: scores, where things lie, and how to watch and serve them.

    Args:
        results: what `results_of` gave.
        run_folder: the run's.
        task: what was learned; classification if not given.
    """
    task = task or Classification()
    headline = task.headline
    heads = ("network", "parameters", f"last {results['scored_on']} {headline}", "best", "at epoch", "export")
    table = [heads]
    for entry in results["networks"]:
        parameters = "" if entry["parameters"] is None else f"{entry['parameters']:,}"
        scores_of = [task.shown(headline, value) for value in (entry["last"][headline], entry[f"best_{headline}"])]
        where = results["exports"].get(entry["name"], "")
        table.append((entry["name"], parameters, *scores_of, str(entry["best_epoch"]), where))
    for split, scores in results["other_scores"].items():
        for name in (key for key in scores if key.endswith(f"/{headline}")):
            owner = f"{name.removesuffix(f'/{headline}')} ({split})"
            table.append((owner, "", task.shown(headline, scores[name]), "", "", ""))
    lines = aligned(table)
    if results["exported_epoch"]["choice"] == "best":
        lines += ["", _of_the_best(results["exported_epoch"], list(results["other_scores"]), headline)]
    lines += [
        "",
        f"results  {run_folder / 'results.json'}",
        *([f"classes  {run_folder / 'classes.json'}"] if results["worst_classes"] else []),
        f"watch    {shlex.join(['tensorboard', '--logdir=' + str(run_folder / 'logs')])}",
    ]
    for path in list(results["exports"].values())[:1]:
        served = Path(path).parents[1].resolve()
        lines.append(
            f"serve    docker run --rm -p 8501:8501 -v {shlex.quote(f'{served}:/models:ro')} tensorflow/serving "
            "--model_config_file=/models/models.config"
        )
        # Asked for no images, an export is asked for test digits, which one of other classes does not know.
        images = "" if results["flags"]["dataset"] == "digits" else " IMAGE.jpg"
        lines.append(f"predict  {shlex.join([*words('predict'), str(Path(path).parent)])}{images}")
    return "\n".join(["", *lines])


def _of_the_best(exported: Mapping[str, Any], others: Sequence[str], headline: str) -> str:
    also = f"; {' and '.join(others)} {headline} is this epoch's" if others else ""
    return f"exported  epoch {exported['epoch']}, the best by {exported['judged_by']} ({exported['score']:.4f}){also}"
