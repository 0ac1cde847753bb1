"""What accompanies a run: checkpoints, the record of its epochs, TensorBoard, and what the terminal shows."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tfdistill import checkpoints
from tfdistill.workers import Workers


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
        self.logs = {name: float(value) for name, value in (logs or {}).items()}
        now = time.perf_counter(), self.model.steps_trained
        # The first call of an epoch is left out: it may trace and compile.
        self._first = self._first or now
        seconds, steps = now[0] - self._first[0], now[1] - self._first[1]
        self.images_per_second = round(steps * self.batch_size / seconds, 2) if steps else None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rates = {f"learning_rate/{name}": rate for name, rate in learning_rates(self.model).items()}
        measured = {name: float(value) for name, value in (logs or {}).items()}
        head = {
            "epoch": epoch + 1,
            "step": self.model.steps_trained,
            "images_per_second": self.images_per_second,
        }
        self.rows = [row for row in self.rows if row["epoch"] <= epoch] + [{**head, **rates, **measured}]
        self.on_row(self.rows)


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state every so often, at the end, and when SIGTERM or SIGINT asks the run to stop.

    Several workers meet after every execution: the chief says whether it is time to save, and a signal to one of them
    stops all at the same step. All gather the state, the chief writes it.

    Args:
        folder: of the checkpoints.
        record: whose rows and logs are saved along.
        seconds: between two checkpoints.
        workers: of the run; one if not given.
    """

    def __init__(self, folder: Path, record: Record, seconds: float, workers: Workers | None = None) -> None:
        super().__init__()
        self.folder, self.record, self.seconds = folder, record, seconds
        self.workers = workers or Workers()
        self._signal = 0
        self._saved_at = time.monotonic()

    def listen(self) -> None:
        """Lets SIGTERM and SIGINT stop the run at the end of the step; a second signal does as usual."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self._signal = number
        signal.signal(number, signal.SIG_DFL)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._save_and_stop_if_agreed()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._save_and_stop_if_agreed(only_if_asked=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._save_and_stop_if_agreed()

    def save(self) -> None:
        """Writes a checkpoint of the step that the run is at."""
        arrays = self.model.snapshot()
        if self.workers.is_chief:
            checkpoints.save(self.folder, self.model.steps_trained, arrays, self.record.state())
        self._saved_at = time.monotonic()

    def _save_and_stop_if_agreed(self, *, only_if_asked: bool = False) -> None:
        due = not only_if_asked and time.monotonic() - self._saved_at >= self.seconds
        # One number says both, so that the workers meet once.
        said = self.workers.gather(2 * self._signal + due)
        stop, save = max(said) // 2, said[0] % 2
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
        self.arrays: dict[str, np.ndarray] = {k: v for k, v in arrays.items() if k.startswith("metrics/")}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self.arrays:
            state = self.model.state()
            checkpoints.assign({name: state[name] for name in self.arrays}, self.arrays)
            self.arrays = {}


class TensorBoard(keras.callbacks.Callback):
    """Scalars per network and term, learning rates, images per second; the flags as text and as HParams.

    Training and evaluation are two sub-folders with the same tags, so that TensorBoard draws them in one chart over the
    steps. Training scalars are means over the epoch so far.

    Args:
        folder: of the event files.
        record: whose rows are written.
        flags: the effective flags, as a flagfile.
        hyperparameters: what the HParams page compares runs by.
        log_every: steps between two points of training within an epoch.
    """

    def __init__(
        self, folder: Path, record: Record, flags: str, hyperparameters: Mapping[str, Any], log_every: int = 100
    ) -> None:
        super().__init__()
        self.record, self.log_every, self._logged = record, log_every, 0
        self.training = tf.summary.create_file_writer(str(folder / "training"))
        self.evaluation = tf.summary.create_file_writer(str(folder / "evaluation"))
        with self.training.as_default():
            tf.summary.text("flags", "\n".join(f"    {line}" for line in flags.splitlines()), step=0)
        with self.evaluation.as_default():
            hparams.hparams(dict(hyperparameters), trial_id=folder.parent.name)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = self.model.steps_trained
        if step // self.log_every > self._logged:
            self._logged = step // self.log_every
            self._write(self.record.logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._write({name: value for name, value in self.record.rows[-1].items() if name != "step"})
        self.training.flush()
        self.evaluation.flush()

    def _write(self, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                with (self.evaluation if name.startswith("val_") else self.training).as_default():
                    tf.summary.scalar(name.removeprefix("val_"), value, step=self.model.steps_trained)


class Progress(keras.callbacks.ProgbarLogger):
    """Keras' bar with the accuracies and losses on a terminal; in a log file, a line per epoch and per minute.

    Args:
        epochs: of the whole run.
        total_steps: of the whole run, for the time left.
        record: whose rows are shown.
    """

    def __init__(self, epochs: int, total_steps: int, record: Record) -> None:
        super().__init__()
        self.run_epochs, self.total_steps, self.record = epochs, total_steps, record
        self.interactive = sys.stdout.isatty()
        self.progbar: Any = None
        self._told = time.monotonic()

    def set_params(self, params: dict[str, Any]) -> None:
        # A run may be several calls of `fit`, each silent by itself and of a part of the epochs.
        super().set_params({**params, "verbose": int(self.interactive), "epochs": self.run_epochs})

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # The last of several steps per execution may lie behind the end of the epoch.
        super().on_train_batch_end(min(batch, self.target - 1), _shown(logs))
        if not self.interactive and time.monotonic() - self._told >= 60:
            self._tell("", logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.progbar is not None:
            super().on_epoch_end(epoch, {name: value for name, value in _shown(logs).items() if "val_" not in name})
            self.progbar = None
        self._tell(f"epoch {epoch + 1}/{self.run_epochs} ", logs)

    def _tell(self, epoch: str, logs: Mapping[str, Any] | None) -> None:
        self._told = time.monotonic()
        step, speed = self.model.steps_trained, self.record.images_per_second
        left = (self.total_steps - step) * self.record.batch_size / speed if speed else None
        shown = " ".join(f"{name} {value:.4f}" for name, value in _shown(logs).items() if "accuracy" in name)
        timing = f"{speed:.0f} images/s, {_duration(left)} left" if left is not None else ""
        print(f"{epoch}step {step}/{self.total_steps}: {shown}  {timing}", flush=True)


def learning_rates(model: keras.Model) -> dict[str, float]:
    """The present learning rate of each update's optimizer."""
    return {name: float(optimizer.learning_rate.numpy()) for name, optimizer in model.update_optimizers.items()}


def _shown(logs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (logs or {}).items() if name.endswith(("/accuracy", "/loss"))}


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
