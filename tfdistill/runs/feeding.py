"""A run's batches as `fit` and `evaluate` take them, where several workers each make their part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfdistill.data import Along
from tfdistill.devices.workers import Workers
from tfdistill.runs.data import RunData


@dataclass(frozen=True)
class Feeding:
    """The data of a run on its way to the replicas.

    Args:
        data: the run's.
        workers: that train it together.
        replicas: of all workers.
    """

    data: RunData
    workers: Workers
    replicas: int

    def training(self, first_step: int, along: Along | None = None) -> Any:
        """The training batches from `first_step` on, for `fit`.

        Args:
            first_step: of the stream.
            along: with views, what else goes into each batch.
        """

        def make(part: int, parts: int) -> tf.data.Dataset:
            shares = self.replicas // self.workers.count
            return self.data.training_batches(first_step=first_step, part=part, parts=parts, along=along, shares=shares)

        return self.workers.feed(make)

    def evaluation(self, name: str) -> Any:
        """One pass over the monitor `name`, for `evaluate`."""

        def make(part: int, parts: int) -> tf.data.Dataset:
            return self.data.evaluation_batches(name, replicas=self.replicas, part=part, parts=parts)

        return self.workers.feed(make)

    def evaluation_steps(self, name: str) -> int | None:
        """Batches of that pass; None where one worker is alone, which sees for itself where the data ends."""
        # Several would have to ask each other before every batch.
        return None if self.workers.count == 1 else self.data.evaluation_steps(name, replicas=self.replicas)
