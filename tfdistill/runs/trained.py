"""The networks of a run as its newest checkpoint or an epoch that it kept has them; the run's folder is only read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from tfdistill.devices import runtime
from tfdistill.engine.state import network_state
from tfdistill.methods import METHODS
from tfdistill.runs import checkpoints
from tfdistill.runs.best_epoch import KEY, ExportedEpoch, best_of, deliverable_owners, present
from tfdistill.runs.building import build_networks, build_to_deliver
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.identity import PARTS, REUSED, TEACHERS, misfit
from tfdistill.runs.kept_epochs import require_kept


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run has come to, finished or not.

    Attributes:
        data: the run's flags, and the data set that they name.
        networks: what it delivers, with the weights of `epoch`.
        epoch: the epoch whose weights these are.
        rows: the record of the epochs until then.
        teachers: what is known of those that taught it, as `identity` has it.
        parts: by which the parts of its data were known, likewise.
    """

    data: RunData
    networks: list[keras.Model]
    epoch: ExportedEpoch
    rows: Sequence[Mapping[str, Any]]
    teachers: Sequence[Mapping[str, Any]] = ()
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Training steps that the weights have seen."""
        return self.epoch.step


def load_trained(
    folder: RunFolder, export_epoch: str | None = None, *, like: RunData | None = None, kept: int | None = None
) -> Trained:
    """Builds the networks of a run and gives them the weights of its newest whole checkpoint, or of an epoch it kept.

    No lock is taken and nothing is written, so that the run may be training meanwhile. Optimizers are not built, nor
    are helpers unless the method delivers other models than the networks it was given: scores and exports need none.

    Args:
        folder: the run's.
        export_epoch: "last" or "best"; the run's own --export_epoch if not given. The flags in `data` say it too.
        like: data that is there already, which serves where the run's is the same.
        kept: an epoch of --keep_epochs, whose own weights are meant whatever the run exports.

    Raises:
        ValueError: there is no checkpoint yet, none is whole, it keeps no such epoch or no best one, or the run's data
            is not there.
    """
    own = read_config(folder.path)
    chosen = "last" if kept is not None else export_epoch or own.export_epoch
    config = dataclasses.replace(own, export_epoch=chosen)
    _require_checkpoint(folder, kept)
    runtime.set_precision(config.precision)
    data = RunData(config, like.dataset) if like and like.is_read_as(config) else RunData.read(config)
    networks, state, owners = _delivered(data, own, folder, kept)
    found = newest_checkpoint(folder, misfit(own, state, owners), kept)
    arrays, best = present(found.arrays), None
    if config.export_epoch == "best":
        arrays, best = best_of(found.arrays), found.metadata.get(KEY)
        if not best:
            why = "no epoch was scored yet" if own.export_epoch == "best" else "it was trained with --export_epoch=last"
            raise ValueError(f"export_epoch: {folder.path} keeps no best epoch: {why}")
    checkpoints.assign(state, {name: array for name, array in arrays.items() if name.startswith(owners)})
    rows, known = found.metadata["rows"], found.metadata
    epoch = ExportedEpoch.of(rows, found.step, best) if kept is None else ExportedEpoch("kept", kept, found.step)
    return Trained(data, networks, epoch, rows, known.get(TEACHERS, ()), known.get(PARTS, {}))


def _delivered(
    data: RunData, own: RunConfig, folder: RunFolder, kept: int | None
) -> tuple[list[keras.Model], dict[str, keras.Variable], tuple[str, ...]]:
    """What a run delivers, its variables by name, and the beginnings of the names that count in a checkpoint."""
    method = METHODS[own.method]
    if not method.rebuilds_networks:
        networks = build_networks(data)
        return networks, network_state(networks), deliverable_owners(False)
    reused = {}
    if method.learns_from_teachers:
        reused = newest_checkpoint(folder, misfit(own, {}, ()), kept).metadata.get(REUSED, {})
    distiller = build_to_deliver(data, reused)
    # Of the helpers only the method's own: those of transfers that were added to it are in no export.
    owners = ("networks/", *(name for name in distiller.state() if name.startswith("helpers/")))
    state = {name: variable for name, variable in distiller.state().items() if name.startswith(owners)}
    return list(distiller.deliverables().values()), state, owners


def newest_checkpoint(
    folder: RunFolder, misfit: Callable[[checkpoints.Checkpoint], str] | None = None, kept: int | None = None
) -> checkpoints.Checkpoint:
    """The newest whole checkpoint of a run, or that of an epoch which it has kept.

    Args:
        folder: the run's.
        misfit: see `checkpoints.newest`.
        kept: the epoch, if one is meant.

    Raises:
        ValueError: there is none, or every one is damaged or of another training.
    """
    path = _require_checkpoint(folder, kept)
    try:
        try:
            found = checkpoints.newest(path, misfit=misfit)
        except checkpoints.CheckpointError:
            # A training that goes on removes its oldest checkpoint, which may be the one that was being read.
            found = checkpoints.newest(path, misfit=misfit)
    except checkpoints.CheckpointError as error:
        raise ValueError(f"run: {error}") from error
    if found is None:
        raise ValueError(f"run: {folder.path} has no checkpoint any more")
    return found


def _require_checkpoint(folder: RunFolder, kept: int | None) -> Path:
    """The folder of the checkpoints that are meant."""
    if kept is not None:
        return require_kept(folder.path, kept)
    if not checkpoints.exist(folder.checkpoints):
        raise ValueError(f"run: {folder.path} has no checkpoint yet; the first is written while it trains")
    return folder.checkpoints
