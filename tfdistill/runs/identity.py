"""Whose a checkpoint is: the flags of its training are written into it, and compared before a run goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfdistill.devices.replicas import shared
from tfdistill.networks.specification import architecture_mark
from tfdistill.runs import checkpoints
from tfdistill.runs.best_epoch import present
from tfdistill.runs.config import RunConfig
from tfdistill.runs.continuing import Recipe, refusal, training_flags

KEY, TEACHERS, PARTS, FILES, UNLABELLED = "flags", "teachers", "parts", "files", "unlabelled"
REUSED = "reused_of_teachers"
Facts = Sequence[Mapping[str, Any]]


def identity(
    config: RunConfig,
    teachers: Facts = (),
    parts: Mapping[str, str] | None = None,
    unlabelled: str = "",
    reused: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a checkpoint's metadata says of the training it belongs to.

    Args:
        config: the run.
        teachers: what is known of each, its "name" and "fingerprint" among it.
        parts: by which the parts of its data are known, see `Dataset.marks`; none where no seed has parted it.
        unlabelled: the mark of its folder of unlabelled images; empty where there is none.
        reused: what its networks have of its teachers, see `Distiller.reused_of_teachers`.
    """
    files = _files(config)
    return {
        KEY: training_flags(config),
        TEACHERS: teachers,
        **({PARTS: dict(parts)} if parts else {}),
        **({FILES: files} if files else {}),
        **({UNLABELLED: unlabelled} if unlabelled else {}),
        **({REUSED: dict(reused)} if reused else {}),
    }


def _files(config: RunConfig) -> dict[str, str]:
    """By its name, what the architecture of each network from a file is known by."""
    return {one.name: architecture_mark(one.written) for one in config.specifications if one.is_file}


def misfit(
    config: RunConfig,
    variables: Mapping[str, Any],
    owners: tuple[str, ...] = ("",),
    recipe: Recipe | None = None,
) -> Callable[[checkpoints.Checkpoint], str]:
    """For `checkpoints.newest`: why a checkpoint is not of the training that `config` describes.

    A checkpoint from before there were identities is judged by its arrays alone.

    Args:
        config: the run.
        variables: what the checkpoint is for, by name.
        owners: beginnings of the names that count; what else a checkpoint holds is not looked at.
        recipe: `Distiller.recipe` of the method, where training goes on: a run's length may move helpers' rates.
    """

    def problem(found: checkpoints.Checkpoint) -> str:
        flags = found.metadata.get(KEY)
        if flags is not None and (said := refusal(flags, config, recipe)):
            return said
        now = _files(config)
        for name, before in found.metadata.get(FILES, {}).items():
            if now.get(name) != before:
                return f"the file of {name} has another architecture than when the training began"
        arrays = {name: one for name, one in present(shared(found.arrays)).items() if name.startswith(owners)}
        try:
            checkpoints.require_fit(variables, arrays)
        except checkpoints.CheckpointError as error:
            return str(error)
        return ""

    return problem


def other_teachers(before: Facts, now: Facts) -> str:
    """Why a training cannot go on with these teachers; empty if it can.

    Args:
        before: those of the checkpoint, as `identity` has them.
        now: those of the run.
    """
    were = {one["fingerprint"]: one["name"] for one in before}
    are = {one["fingerprint"]: f"{one['name']} ({one['source']})" for one in now}
    new = [name for fingerprint, name in are.items() if fingerprint not in were]
    gone = [name for fingerprint, name in were.items() if fingerprint not in are]
    if not new and not gone:
        return _other_order(before, now)
    said = [f"was not taught by {', '.join(new)}"] if new else []
    said += [f"was taught by {', '.join(gone)}, whose weights are not given"] if gone else []
    return f"teacher: the training {' and '.join(said)}; give the teachers that it has, or another --run"


def _other_order(before: Facts, now: Facts) -> str:
    """Teachers that change places change names, and with them the helpers that learn from each."""
    if [one["fingerprint"] for one in before] == [one["fingerprint"] for one in now]:
        return ""
    lies = {one["fingerprint"]: one["source"] for one in now}
    order = ",".join(lies[one["fingerprint"]] for one in before)
    return f"teacher: the training has its teachers in another order; give --teacher={order}"


def other_parts(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Why a training cannot go on with this data; empty if it can.

    Args:
        before: the marks in the checkpoint.
        now: those of the data.
    """
    if not before or dict(before) == dict(now):
        return ""
    return (
        "split: images have come to the folder, left it or got other names since the training began, which moves others"
        " between training and test; put the folder back as it was, or give another --run"
    )


def seen_by(source: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A warning where what was trained on a parted folder may have been trained on images that this run tests on.

    Args:
        source: what was trained, such as the folder of a run.
        before: the marks of its data.
        now: those of this run's.

    Returns:
        One line; empty where both have the same test images, or one has no parts.
    """
    if not before or not now or before["test"] == now["test"]:
        return ""
    return (
        f"{source} was trained on other parts of a folder, perhaps on images that this run tests on; see --split_seed"
    )
