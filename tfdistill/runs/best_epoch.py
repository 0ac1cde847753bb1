"""The weights of a run's best epoch, kept beside those that training goes on with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfdistill.engine.distiller import Distiller
from tfdistill.runs.callbacks import Record

BEST = "best/"
KEY = "best"


@dataclass(frozen=True)
class ExportedEpoch:
    """Which epoch's weights are exported, as the model card and results.json say it.

    Attributes:
        choice: "last", "best", or "kept" for an epoch of --keep_epochs.
        epoch: counted from 1; None before the first has ended.
        step: training steps that the weights have seen.
        score: of the best epoch, what it was chosen by: the mean, over what is exported, of `judged_by`.
        judged_by: the task's headline, on the validation data.
    """

    choice: str
    epoch: int | None
    step: int
    score: float | None = None
    judged_by: str | None = None

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], step: int, best: Mapping[str, Any] | None) -> ExportedEpoch:
        """The best epoch where there is one, else the last.

        Args:
            rows: the record of the epochs.
            step: that the run has come to.
            best: `BestEpoch.chosen`.
        """
        if best:
            return cls("best", best["epoch"], best["step"], best["score"], f"validation {best['judged_by']}")
        return cls("last", rows[-1]["epoch"] if rows else None, step)

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def __str__(self) -> str:
        if self.choice == "last":
            return f"step {self.step}"
        if self.choice == "kept":
            return f"epoch {self.epoch} (step {self.step}), which the run has kept"
        return f"epoch {self.epoch} (step {self.step}), the best by {self.judged_by}: {self.score:.4f}"


def mean_headline(row: Mapping[str, Any], names: Sequence[str], headline: str) -> float | None:
    """What an epoch is judged by: the mean of the task's headline, on the held-out data, over what is exported.

    Args:
        row: of the record.
        names: of what is exported.
        headline: of the task, such as "accuracy".

    Returns:
        None where the epoch was not scored, or a score is no number.
    """
    found = [row[key] for key in (f"val_{name}/{headline}" for name in names) if key in row]
    return float(np.mean(found)) if found and all(map(math.isfinite, found)) else None


def deliverable_owners(rebuilds_networks: bool) -> tuple[str, ...]:
    """Beginnings of the names, in `Distiller.state`, of the variables that what is exported is made of.

    Args:
        rebuilds_networks: of the method: whether it exports other models than the networks that it was given.
    """
    return ("networks/", "helpers/") if rebuilds_networks else ("networks/",)


class BestEpoch(keras.callbacks.Callback):
    """Keeps the exported networks' weights of the best epoch so far; of equal ones the earlier stays.

    Every checkpoint has them along, so that a run which is cut off goes on with the same best epoch, and needs no
    second mechanism to be safe. Several workers judge by the same scores, and meet where the weights are taken.

    Args:
        record: of the epochs, whose last row has just been added when an epoch ends here.

    Attributes:
        chosen: epoch, step and score of the best epoch; empty before the first that was scored.
        arrays: the weights, by the names of `Distiller.state`.
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record
        self.chosen: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row, distiller = self.record.rows[-1], self.model
        if not distiller.is_in_last_link(epoch):
            return
        headline = distiller.task.headline
        score = mean_headline(row, list(distiller.deliverables()), headline)
        # The end of an epoch that was cut off is made up for, and then it is the best one again.
        if score is None or (self.chosen and row["epoch"] != self.chosen["epoch"] and score <= self.chosen["score"]):
            return
        owners = deliverable_owners(distiller.rebuilds_networks)
        self.arrays = {name: array for name, array in distiller.snapshot().items() if name.startswith(owners)}
        self.chosen = {"epoch": row["epoch"], "step": row["step"], "score": score, "judged_by": headline}

    def saved(self) -> dict[str, np.ndarray]:
        """The arrays as a checkpoint has them, beside the training's own."""
        return {f"{BEST}{name}": array for name, array in self.arrays.items()}

    def restore(self, metadata: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Goes back to what a checkpoint has kept."""
        self.chosen, self.arrays = dict(metadata.get(KEY) or {}), best_of(arrays)

    def assign(self, distiller: Distiller) -> None:
        """Gives the exported networks the weights of the best epoch."""
        state = distiller.state()
        for name, array in self.arrays.items():
            state[name].assign(array)


def best_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The best epoch's arrays in a checkpoint; none where it keeps none."""
    return {name.removeprefix(BEST): array for name, array in arrays.items() if name.startswith(BEST)}


def present(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's arrays without those of the best epoch."""
    return {name: array for name, array in arrays.items() if not name.startswith(BEST)}
