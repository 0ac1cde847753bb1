"""What shows a run while it trains: TensorBoard, and what is printed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tfdistill.files import FileError
from tfdistill.runs.callbacks import Record


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
        self.folder, self.record, self.log_every, self._logged = folder, record, log_every, 0
        with self._on_disk():
            self.training = tf.summary.create_file_writer(str(folder / "training"))
            self.evaluation = tf.summary.create_file_writer(str(folder / "evaluation"))
            with self.training.as_default():
                tf.summary.text("flags", "\n".join(f"    {line}" for line in flags.splitlines()), step=0)
            with self.evaluation.as_default():
                hparams.hparams(dict(hyperparameters), trial_id=folder.parent.name)

    def on_train_begin(self, logs: dict | None = None) -> None:
        # A run that goes on has its points up to here.
        self._logged = self.model.steps_trained // self.log_every

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = self.model.steps_trained
        if step // self.log_every > self._logged:
            self._logged = step // self.log_every
            self._write(self.record.logs)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._write({name: value for name, value in self.record.rows[-1].items() if name != "step"})
        with self._on_disk():
            self.training.flush()
            self.evaluation.flush()

    def _write(self, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                with self._on_disk(), (self.evaluation if name.startswith("val_") else self.training).as_default():
                    tf.summary.scalar(name.removeprefix("val_"), value, step=self.model.steps_trained)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            said = str(error).split("\n")[0].split("; ", 1)[-1].split(" [Op:")[0]
            raise FileError(f"{self.folder}: events cannot be written: {said}") from error


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


def _shown(logs: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (logs or {}).items() if name.endswith(("/accuracy", "/loss"))}


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
