"""What a run keeps while it trains: the record of its epochs, and checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import optimizers
from tfdistill.devices import replicas
from tfdistill.devices.workers import Workers
from tfdistill.engine.logged import LOSS
from tfdistill.runs import checkpoints
from tfdistill.runs.interruption import Signals


class Stopped(Exception):
    """A signal asked the run to stop; its state was saved at `step`."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name} at step {step}, which was saved")
        self.exit_status = 128 + signal_number


class Record(keras.callbacks.Callback):
    """The epochs so far, a row each, and the speed; lives with the checkpoints, so that a resumed run has them all.

    Args:
        batch_size: global batch size, for images per second.
        on_row: what to do with the rows whenever one was added.
    """

    def __init__(self, batch_size: int, on_row: Callable[[list[dict[str, Any]]], None]) -> None:
        super().__init__()
        self.batch_size, self.on_row = batch_size, on_row
        self.rows: list[dict[str, Any]] = []
        self.logs: dict[str, float] = {}
        self.images_per_second: float | None = None
        self._seconds_before, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Time that the run has taken, over all its resumes."""
        return self._seconds_before + time.monotonic() - self._started

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the record."""
        return {"rows": self.rows, "logs": self.logs, "seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` returned."""
        self.rows, self.logs, self._seconds_before = state["rows"], state["logs"], state["seconds"]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first: tuple[float, int] | None = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.logs = measured(logs)
        now = time.perf_counter(), self.model.steps_trained
        # The first call of an epoch is left out: it may trace and compile.
        self._first = self._first or now
        seconds, steps = now[0] - self._first[0], now[1] - self._first[1]
        self.images_per_second = round(steps * self.batch_size / seconds, 2) if steps else None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rates = {f"learning_rate/{name}": rate for name, rate in learning_rates(self.model).items()}
        head = {
            "epoch": epoch + 1,
            "step": self.model.steps_trained,
            "images_per_second": self.images_per_second,
        }
        if len(self.model.plan) > 1:
            head["phase"] = self.model.calendar.at(epoch) + 1
        rows = [row for row in self.rows if row["epoch"] <= epoch] + [{**head, **rates, **measured(logs)}]
        self.on_row(rows)
        self.rows = rows

    def forget_unfinished(self, step: int) -> None:
        """Takes back the row of an epoch whose end at `step` was cut off, so that a resumed run makes up for it."""
        self.rows = [row for row in self.rows if row["step"] < step]


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state every so often, at the end, and when SIGTERM or SIGINT asks the run to stop.

    Several workers meet after every execution: the chief says whether it is time to save, and a signal to one of them
    stops all at the same step. All gather the state, the chief writes it.

    Args:
        folder: of the checkpoints.
        record: whose rows and logs are saved along.
        seconds: between two checkpoints.
        workers: of the run; one if not given.
        signals: of the process; from the first step on they are patient, before it there is nothing to save.
        identity: what the checkpoints say of the training that they belong to.
        beside: what else a checkpoint keeps, asked when it is written: arrays and metadata.
        cut_off_at: a step within an epoch that the run is to stop at.
    """

    def __init__(
        self,
        folder: Path,
        record: Record,
        seconds: float,
        workers: Workers | None = None,
        signals: Signals | None = None,
        identity: Mapping[str, Any] | None = None,
        beside: Callable[[], tuple[Mapping[str, np.ndarray], Mapping[str, Any]]] = lambda: ({}, {}),
        cut_off_at: int | None = None,
    ) -> None:
        super().__init__()
        self.beside, self.cut_off_at = beside, cut_off_at
        self._held: tuple[int, dict[str, np.ndarray]] | None = None
        self.folder, self.record, self.seconds = folder, record, seconds
        self.workers, self.signals, self.identity = workers or Workers(), signals or Signals(), dict(identity or {})
        self._saved_at = time.monotonic()
        self._saved: tuple[int, int] | None = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.signals.patient = True
        if self.model.steps_trained == self.cut_off_at:
            self.hold()
        self._save_and_stop_if_agreed()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._save_and_stop_if_agreed(only_if_asked=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._save_and_stop_if_agreed()

    def hold(self) -> None:
        """Keeps the state of this step for its checkpoints, however late they are written.

        A run that stops within an epoch is scored there. That ends the epoch's sums, and averages what replicas keep
        for themselves; a longer run that goes on from there must not see it.
        """
        self._held = self.model.steps_trained, self.model.snapshot()

    def save(self) -> None:
        """Writes a checkpoint of the step that the run is at."""
        step, arrays = self._held or (None, {})
        if step != self.model.steps_trained:
            arrays = self.model.snapshot()
        if self.workers.is_chief:
            more_arrays, more = self.beside()
            metadata = {**self.record.state(), **self.identity, **more}
            checkpoints.save(self.folder, self.model.steps_trained, {**arrays, **more_arrays}, metadata)
        self.is_saved()

    def is_saved(self) -> None:
        """The run is as its newest checkpoint says, which has just been written or read."""
        self._saved_at, self._saved = time.monotonic(), self._progress()

    def save_what_is_new(self) -> None:
        """`save`, unless nothing was trained or recorded since; a finished run needs no room on the disk then."""
        if self._saved != self._progress():
            self.save()

    def _progress(self) -> tuple[int, int]:
        return self.model.steps_trained, len(self.record.rows)

    def _save_and_stop_if_agreed(self, *, only_if_asked: bool = False) -> None:
        due = not only_if_asked and time.monotonic() - self._saved_at >= self.seconds
        said = self.workers.gather(signal=self.signals.received, due=due)
        stop, save = max(said["signal"]), said["due"][0]  # whoever had a signal, and the chief's clock
        if stop or save:
            self.save()
        if stop:
            self.workers.wait()  # until the chief has written
            raise Stopped(self.model.steps_trained, stop)


class RestoredMetrics(keras.callbacks.Callback):
    """Gives the first epoch after a resume the sums it had, which `fit` resets when an epoch begins.

    Args:
        arrays: the checkpoint's arrays.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.arrays = dict(arrays)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.arrays:
            metrics = {name: one for name, one in self.model.state().items() if name.startswith("metrics/")}
            checkpoints.assign(metrics, {name: self.arrays[name] for name in metrics})
            replicas.restore_own(metrics, self.arrays, self.model.distribute_strategy, self.model.workers)
            self.arrays = {}


def measured(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """The values that a run records: those of a network or an update, and not the means over all of them."""
    return {name: float(value) for name, value in (logs or {}).items() if name.removeprefix("val_") != LOSS}


def learning_rates(model: keras.Model) -> dict[str, float]:
    """The learning rate of each update's last step; of several phases' updates, of those that have taken one.

    A Keras optimizer's own `learning_rate` is that of the next step, which at the end of an epoch may be another's.
    """
    optimizers_of = model.update_optimizers
    if len(model.plan) > 1:  # those that have taken a step
        optimizers_of = {name: one for name, one in optimizers_of.items() if int(one.iterations.numpy())}
    return {name: _rate_of_last_step(optimizer) for name, optimizer in optimizers_of.items()}


def _rate_of_last_step(optimizer: keras.optimizers.Optimizer) -> float:
    rule = optimizers.rules_of(optimizer)[0]
    schedule = rule._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float(rule.learning_rate.numpy())
    return float(schedule(tf.maximum(tf.convert_to_tensor(rule.iterations) - 1, 0)))
