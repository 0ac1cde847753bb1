"""What shows a run while it trains: TensorBoard, and what is printed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tfdistill.files import FileError
from tfdistill.runs import class_tables
from tfdistill.runs.callbacks import Record
from tfdistill.runs.drawn_line import OFTEN, RENEWED, DrawnLine, duration
from tfdistill.tasks.by_class import ByClass


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

    def write_classes(self, by_class: Mapping[str, ByClass], class_names: Sequence[str], step: int) -> None:
        """Adds the score of each class as a table, and the confusion matrix as a picture, for each network.

        Args:
            by_class: by network.
            class_names: one for each class.
            step: that the weights are of.
        """
        with self._on_disk(), self.evaluation.as_default():
            for network, one in by_class.items():
                if one.confusion is not None:
                    tf.summary.image(f"{network}/confusion", class_tables.picture(one.confusion)[None], step=step)
                tf.summary.text(f"{network}/classes", class_tables.markdown(network, one, class_names), step=step)
            self.evaluation.flush()

    def write_pictures(self, pictures: Mapping[str, Sequence[np.ndarray]], step: int) -> None:
        """Adds examples as pictures.

        Args:
            pictures: by tag, uint8 [height, width, 3] each.
            step: that the weights are of.
        """
        with self._on_disk(), self.evaluation.as_default():
            for tag, images in pictures.items():
                tf.summary.image(tag, np.stack(images), step=step, max_outputs=len(images))
            self.evaluation.flush()

    def steps_of(self, tags: Sequence[str]) -> set[int]:
        """The steps at which event files of the evaluation have a value of one of these tags."""
        found = set()
        for path in (self.folder / "evaluation").glob("events.out.tfevents.*"):
            # A process that was killed may have left half a record, behind which there is nothing.
            with contextlib.suppress(tf.errors.DataLossError):
                for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                    event = tf.compat.v1.Event.FromString(record)
                    if any(value.tag in tags for value in event.summary.value):
                        found.add(event.step)
        return found

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            said = str(error).split("\n")[0].split("; ", 1)[-1].split(" [Op:")[0]
            raise FileError(f"{self.folder}: events cannot be written: {said}") from error


class Progress(keras.callbacks.Callback):
    """How far the run is, and how long it will take: one line renewed on a terminal; in a file a line now and then.

    A file gets a line when the first step is compiled, one soon after, and then one per epoch and per minute.

    Args:
        epochs: of the whole run.
        total_steps: of the whole run, for the time left.
        record: whose speed is shown.
        output: where the lines go; standard output if not given.
        clock: the time in seconds, from any beginning.
    """

    # Seconds until the first line of speed in a file.
    SOON = 10.0

    def __init__(
        self,
        epochs: int,
        total_steps: int,
        record: Record,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.run_epochs, self.total_steps, self.record = epochs, total_steps, record
        self._line, self._clock = DrawnLine(output), clock
        self._epoch, self._told = 0, 0.0
        self._begun = self._compiled = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not self._begun:  # a run may be several calls of `fit`
            self._begun = True
            self._line.show("compiling the first step", lasting=not self._line.interactive)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        now = self._clock()
        if not self._compiled:
            self._compiled, self._told = True, now - OFTEN + self.SOON
        if now - self._told >= (RENEWED if self._line.interactive else OFTEN):
            self._tell(logs, lasting=not self._line.interactive)

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._line.interactive and self._begun:
            self._line.show(f"epoch {self._epoch + 1}/{self.run_epochs} scoring", lasting=False)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch
        self._tell(logs, lasting=True)

    def _tell(self, logs: Mapping[str, Any] | None, *, lasting: bool) -> None:
        self._told = self._clock()
        step, speed, headline = self.model.steps_trained, self.record.images_per_second, self.model.task.headline
        scores = {name: value for name, value in (logs or {}).items() if name.endswith(f"/{headline}")}
        shown = " ".join(f"{name} {value:.4f}" for name, value in scores.items())
        timing = ""
        if speed:
            left = (self.total_steps - step) * self.record.batch_size / speed
            per_step = speed / self.record.batch_size
            images = f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"
            timing = f"{per_step:.3g} steps/s, {images} images/s, {duration(left)} left"
        phase = f" ({self.model.phase.name})" if len(self.model.plan) > 1 else ""
        place = f"epoch {self._epoch + 1}/{self.run_epochs}{phase} step {step}/{self.total_steps}"
        self._line.show(f"{place}: {shown}  {timing}".rstrip(), lasting=lasting)
