"""What has become of a row's run: its scores, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

# How a run calls the score of its networks together, whether that is their mean or what a method has made of them.
ENSEMBLE = "ensemble"
# How a run calls the share of images whose class is among the five likeliest.
TOP5 = "top5"
# Flags that say which run it is and where things lie or are left; they change neither scores nor the time of a step.
OF_A_RUN_ALONE = (
    "seed",
    "run",
    "runs_dir",
    "data_dir",
    "download",
    "checkpoint_seconds",
    "log_every",
    "keep_epochs",
    "export",
    "export_dir",
    "export_bad_images",
)


@dataclass(frozen=True)
class Scores:
    """What a finished run gave; shares in 0..1 as results.json has them, whatever the table's metric.

    Attributes:
        networks: names in the run's order, without the ensemble.
        last: by network, and by "ensemble" where the run has one, the headline score after the last epoch.
        best: the largest of any scored epoch, likewise.
        top5: after the last epoch, where the task has it.
        training: by network, the accuracy on the last epoch's augmented training images.
        epochs: how many were trained.
        step_seconds: the median time of a training step; None where the run does not say.
        curve: (epoch, score by network and ensemble) of every epoch that was scored.
        scored_on: "test", or "validation".
    """

    networks: tuple[str, ...]
    last: Mapping[str, float]
    best: Mapping[str, float]
    top5: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, float] = field(default_factory=dict)
    epochs: float = 0.0
    step_seconds: float | None = None
    curve: Sequence[tuple[int, Mapping[str, float]]] = ()
    scored_on: str = "test"


@dataclass(frozen=True)
class Outcome:
    """The run of a row with one seed.

    Attributes:
        row: the row's name.
        seed: the run's.
        run: the name of its folder.
        state: finished with `scores`; missing, where nothing or a part was trained; failed, where training ended with
            an error; refused, where results are there that cannot be counted.
        problem: of a failed or refused one, why, in one line.
        scores: of a finished one.
        flags: the effective flags, as `RunConfig.to_dict` has them.
        versions: as the run's versions.json has them.
    """

    row: str
    seed: int
    run: str
    state: Literal["finished", "missing", "failed", "refused"]
    problem: str = ""
    scores: Scores | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The flags that are no matter of this run alone, as JSON has them: without `OF_A_RUN_ALONE`.

        Teachers are called by the names of their files or folders, which may have moved.
        """
        found = json.loads(json.dumps({name: self.flags[name] for name in self.flags if name not in OF_A_RUN_ALONE}))
        return {**found, **{name: [Path(one).name for one in found[name]] for name in ("teacher",) if name in found}}
