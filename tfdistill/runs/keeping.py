"""The weights of chosen epochs, kept in a run's folder while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tfdistill.devices.workers import Workers
from tfdistill.engine.distiller import Distiller
from tfdistill.runs import checkpoints
from tfdistill.runs.best_epoch import deliverable_owners
from tfdistill.runs.callbacks import Record
from tfdistill.runs.kept_epochs import folder_of
from tfdistill.runs.timetable import Timetable


class KeptEpochs(keras.callbacks.Callback):
    """Writes what the run would export of each chosen epoch, at its end, before a checkpoint has the epoch's row.

    So whatever cuts a run off, it either has the epoch or comes to the end of it again. Several workers meet where the
    weights are taken; the chief writes them.

    Args:
        run: the run's folder.
        epochs: the chosen ones, from 1.
        timetable: of the run.
        record: of the epochs, whose last row has just been added when an epoch ends here.
        identity: what the checkpoints say of the training that they belong to.
        workers: of the run.
    """

    def __init__(
        self,
        run: Path,
        epochs: Sequence[int],
        timetable: Timetable,
        record: Record,
        identity: Mapping[str, Any],
        workers: Workers,
    ) -> None:
        super().__init__()
        self.run, self.epochs, self.timetable, self.record = run, sorted(set(epochs)), timetable, record
        self.identity, self.workers = dict(identity), workers

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # The end of a training that stops within an epoch is none of the epoch.
        if epoch + 1 in self.epochs and self.model.steps_trained == self.end_of(epoch + 1):
            self._keep(epoch + 1)

    def keep_where_it_is(self) -> None:
        """Keeps the epoch at whose end the run goes on, where that was not asked for before."""
        for epoch in self.missing():
            if self.model.steps_trained == self.end_of(epoch):
                self._keep(epoch)

    def end_of(self, epoch: int) -> int:
        """The step that an epoch ends with."""
        return epoch * self.timetable.steps_per_epoch

    def missing(self) -> list[int]:
        """The chosen epochs that are not there yet, as the chief sees it; with several workers all have to ask."""
        if not self.epochs:
            return []
        seen = self.workers.of_chief([int(checkpoints.exist(folder_of(self.run, epoch))) for epoch in self.epochs])
        return [epoch for epoch, there in zip(self.epochs, seen, strict=True) if not there]

    def require_ahead(self, step: int) -> None:
        """Refuses epochs that a training which goes on from `step` has passed without keeping them.

        Raises:
            ValueError: names the first of them.
        """
        for epoch in self.missing():
            if self.end_of(epoch) < step:
                raise ValueError(
                    f"keep_epochs: {self.run} is at step {step}, after epoch {epoch} (step {self.end_of(epoch)}), "
                    "which it has not kept; leave the epoch out, or give another --run"
                )

    def described(self) -> str:
        """Which epochs are kept, where, and what room that takes; empty where none is."""
        if not self.epochs:
            return ""
        words = f"epoch{'s' * (len(self.epochs) > 1)} {', '.join(map(str, self.epochs))}"
        late = [epoch for epoch in self.epochs if self.end_of(epoch) > self.timetable.total_steps]
        never = f"; --steps stops before epoch {late[0]}" if late else ""
        return f"{words} in {folder_of(self.run, 0).parent}, {bytes_of(self.model) / 1e6:,.1f} MB each{never}"

    def _keep(self, epoch: int) -> None:
        owners = deliverable_owners(self.model.rebuilds_networks)
        arrays = {name: array for name, array in self.model.snapshot().items() if name.startswith(owners)}
        if not self.workers.is_chief:
            return
        metadata = {**self.record.state(), **self.identity}
        written = checkpoints.save(folder_of(self.run, epoch), self.model.steps_trained, arrays, metadata)
        checkpoints.leave_alone(written)


def bytes_of(distiller: Distiller) -> int:
    """Bytes of a kept epoch's arrays; half precision is written as float32."""
    owners = deliverable_owners(distiller.rebuilds_networks)
    return sum(4 * math.prod(one.shape) for name, one in distiller.state().items() if name.startswith(owners))
