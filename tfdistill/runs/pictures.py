"""A few examples of what is scored, the truth beside what each network answers, after every evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data
from tfdistill.data.transforms.usual import pixels_of
from tfdistill.devices import replicas
from tfdistill.devices.workers import Workers
from tfdistill.runs.data import RunData
from tfdistill.runs.watching import TensorBoard

# How many examples are shown: the first of the split that every epoch is scored on.
EXAMPLES = 6


class Pictures(keras.callbacks.Callback):
    """Adds pictures to TensorBoard where the task has any: the same examples for every network and epoch.

    Networks are asked once more, about these examples alone and outside of any graph.

    Args:
        board: where the pictures go.
        run_data: the run's.
        workers: of the run, of which this one is the chief.
    """

    def __init__(self, board: TensorBoard, run_data: RunData, workers: Workers) -> None:
        super().__init__()
        self.board, self.run_data, self.workers = board, run_data, workers

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        step = self.model.steps_trained
        is_scored = any(name.startswith("val_") for name in logs or {})
        if is_scored and self._tags() and step not in self._written:
            self._written.add(step)
            for network in self.model.networks:
                self.board.write_pictures(self._of(network), step)

    @cached_property
    def _written(self) -> set[int]:
        """The steps whose pictures are there: a run that was cut off may come to an epoch once more."""
        return self.board.steps_of(self._tags())

    def _tags(self) -> list[str]:
        names = self.model.task.picture_names
        return [f"{network.name}/{name}" for network in self.model.networks for name in names]

    @cached_property
    def _examples(self) -> tuple[dict[str, tf.Tensor], np.ndarray]:
        """A batch, and its images before normalisation."""
        split = self.run_data.monitors[self.run_data.scored_on]
        few = split.take(np.arange(min(EXAMPLES, len(split))))
        normalization = self.run_data.normalization
        batch = next(iter(data.evaluation_batches(few, batch_size=len(few), normalization=normalization)))
        return self.model.task.readied(batch, self.model.classes)[0], pixels_of(batch["images"].numpy(), normalization)

    def _of(self, network: keras.Model) -> dict[str, Sequence[np.ndarray]]:
        batch, pixels = self._examples
        # Where there are several workers, this one alone could not read what replicas keep for themselves.
        called = replicas.without_replicas(network) if self.workers.count > 1 else network
        taps = called(batch["images"], training=False)
        found = self.model.task.pictures(pixels, batch, taps, self.run_data.class_names)
        return {f"{network.name}/{name}": images for name, images in found.items()}
