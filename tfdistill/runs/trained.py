"""The networks of a run as its newest checkpoint has them; reads the run's folder and leaves it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfdistill.devices import runtime
from tfdistill.engine.state import network_state
from tfdistill.methods import METHODS
from tfdistill.runs import checkpoints
from tfdistill.runs.building import build_distiller, build_networks
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.identity import misfit


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run has come to, finished or not.

    Attributes:
        data: the run's flags, and the data set that they name.
        networks: what it delivers, with the weights of `step`.
        step: training steps that the weights have seen.
        rows: the record of the epochs until then.
    """

    data: RunData
    networks: list[keras.Model]
    step: int
    rows: Sequence[Mapping[str, Any]]


def load_trained(folder: RunFolder) -> Trained:
    """Builds the networks of a run and gives them the weights of its newest whole checkpoint.

    No lock is taken and nothing is written, so that the run may be training meanwhile. Optimizers are not built, nor
    are helpers unless the method delivers other models than the networks it was given: scores and exports need none.

    Args:
        folder: the run's.

    Raises:
        ValueError: there is no checkpoint yet, none is whole, or the run's data is not there.
    """
    config = read_config(folder.path)
    _require_checkpoint(folder)
    runtime.set_precision(config.precision)
    data = RunData.read(config)
    if METHODS[config.method].rebuilds_networks:
        distiller = build_distiller(data, tf.distribute.get_strategy())
        networks = list(distiller.deliverables().values())
        owners: tuple[str, ...] = ("networks/", "helpers/")
        state = {name: variable for name, variable in distiller.state().items() if name.startswith(owners)}
    else:
        networks, owners = build_networks(data), ("networks/",)
        state = network_state(networks)
    found = newest_checkpoint(folder, misfit(config, state, owners))
    checkpoints.assign(state, {name: array for name, array in found.arrays.items() if name.startswith(owners)})
    return Trained(data, networks, found.step, found.metadata["rows"])


def newest_checkpoint(
    folder: RunFolder, misfit: Callable[[checkpoints.Checkpoint], str] | None = None
) -> checkpoints.Checkpoint:
    """The newest whole checkpoint of a run.

    Args:
        folder: the run's.
        misfit: see `checkpoints.newest`.

    Raises:
        ValueError: there is none, or every one is damaged or of another training.
    """
    _require_checkpoint(folder)
    try:
        try:
            found = checkpoints.newest(folder.checkpoints, misfit=misfit)
        except checkpoints.CheckpointError:
            # A training that goes on removes its oldest checkpoint, which may be the one that was being read.
            found = checkpoints.newest(folder.checkpoints, misfit=misfit)
    except checkpoints.CheckpointError as error:
        raise ValueError(f"run: {error}") from error
    if found is None:
        raise ValueError(f"run: {folder.path} has no checkpoint any more")
    return found


def _require_checkpoint(folder: RunFolder) -> None:
    if not checkpoints.exist(folder.checkpoints):
        raise ValueError(f"run: {folder.path} has no checkpoint yet; the first is written while it trains")
