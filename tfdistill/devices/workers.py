"""How the processes that train one run together come to the same decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.devices.cluster import Cluster, cluster_of_strategy


class Workers:
    """The processes of one run: how many, which this one is, and how they come to the same decisions.

    Every method but `feed` is a meeting: all workers have to call it, at the same place of the program, and until the
    last has come the others wait. With one worker it returns at once.

    Args:
        strategy: of the run; one that is not for several workers makes one worker.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.cluster = cluster_of_strategy(strategy) or Cluster(("localhost:0",), 0)
        self.index, self.count = self.cluster.index, len(self.cluster.addresses)
        self.is_chief = self.index == 0
        self._strategy: Any = strategy
        self._sums: dict[tuple[Any, int], Callable] = {}

    def _sum(self, values: np.ndarray) -> np.ndarray:
        key = values.dtype, values.size
        if key not in self._sums:
            # Traced once: TensorFlow negotiates an eager reduction anew each time.
            self._sums[key] = tf.function(
                lambda own: self._strategy.reduce(tf.distribute.ReduceOp.SUM, tf.identity(own), axis=None),
                autograph=False,
            ).get_concrete_function(tf.TensorSpec(values.shape, values.dtype))
        return self._sums[key](tf.constant(values)).numpy()

    def wait(self) -> None:
        """Until all workers are here."""
        self.gather(here=1)

    def gather(self, **facts: int) -> dict[str, list[int]]:
        """What each worker says of each fact, in the order of the workers; one meeting for all facts.

        Args:
            facts: the same names from every worker.
        """
        own = np.zeros((len(facts), self.count), np.int64)
        own[:, self.index] = list(facts.values())
        said = own if self.count == 1 else self._sum(own.ravel()).reshape(own.shape)
        return dict(zip(facts, said.tolist(), strict=True))

    def of_chief(self, values: Sequence[int]) -> list[int]:
        """What the chief gave; every worker gives as many values."""
        if self.count == 1:
            return list(values)
        return self._sum(np.array(values, np.int64) * self.is_chief).tolist()

    def sum(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sum of each array over the workers, in float32; with one worker the arrays themselves."""
        if not arrays or self.count == 1:
            return list(arrays)
        flat = np.concatenate([np.ravel(array).astype(np.float32) for array in arrays])
        parts = np.split(self._sum(flat), np.cumsum([np.size(array) for array in arrays])[:-1])
        return [part.reshape(np.shape(array)) for part, array in zip(parts, arrays, strict=True)]

    def mean(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The mean of each array over the workers, in float32; with one worker the arrays themselves."""
        return [total / np.float32(self.count) for total in self.sum(arrays)] if self.count > 1 else list(arrays)

    def refuse_together(self, problem: str = "") -> None:
        """Ends all workers if one has a problem.

        Args:
            problem: this worker's, in one line; empty if it has none.

        Raises:
            ValueError: this worker's problem, or which worker has one.
        """
        found = self.gather(refuses=bool(problem))["refuses"]
        if problem:
            raise ValueError(problem)
        if any(found):
            raise ValueError(f"{self.cluster.name(found.index(1))} cannot go on; its own output says why")

    def feed(self, make: Callable[[int, int], tf.data.Dataset]) -> Any:
        """What `fit` and `evaluate` take: every worker makes its own part of each batch, and no other.

        Args:
            make: from (part, parts) to the batches of that part, of static shape.
        """
        if self.count == 1:
            return make(0, 1)
        replicas = self._strategy.num_replicas_in_sync // self.count

        def of_this_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            batches = make(self.index, self.count)
            return batches if replicas == 1 else batches.map(share_out).unbatch().prefetch(replicas)

        def share_out(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            shapes = {name: [replicas, -1, *value.shape[1:].as_list()] for name, value in batch.items()}
            return {name: tf.reshape(value, shapes[name]) for name, value in batch.items()}

        return self._strategy.distribute_datasets_from_function(of_this_worker)
