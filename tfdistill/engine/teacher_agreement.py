"""How far teachers that are asked in a lower precision answer as they do in their own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdistill.devices.replicas import noted_by_replica
from tfdistill.devices.workers import Workers
from tfdistill.taps import Taps
from tfdistill.tasks import Task

SAME_ANSWERS, LARGEST_DIFFERENCE = "same_answers", "largest_difference"


class Agreement:
    """A teacher's answers in a lower precision beside its own, over all examples of all replicas.

    Args:
        task: says when two answers are the same.
        strategy: of the training.
        name: of the teacher.
    """

    def __init__(self, task: Task, strategy: tf.distribute.Strategy, name: str) -> None:
        self._task, self._strategy = task, strategy
        # Examples, same answers; the largest difference of two values of an answer, and the largest value.
        self._noted = noted_by_replica(4, strategy, f"{name}_agreement")

    def note(self, lowered: Taps, own: Taps, counts: tf.Tensor) -> None:
        """Compares the answers to a batch, in a replica.

        Args:
            lowered: the taps in the lower precision.
            own: those in the teacher's own.
            counts: which examples are none that fill the batch up, bool `[batch]`.
        """
        one, other = (tf.cast(taps[self._task.output], tf.float32) for taps in (lowered, own))
        axes = list(range(1, other.shape.rank))
        worst, largest = (tf.reduce_max(tf.abs(values), axis=axes) for values in (one - other, other))
        per_example = [tf.ones_like(worst), self._task.same_answers(lowered, own), worst, largest]
        found = [tf.cast(tf.where(counts, values, tf.zeros_like(values)), tf.float64) for values in per_example]
        noted = tf.convert_to_tensor(self._noted)
        sums = [noted[place] + tf.reduce_sum(found[place]) for place in (0, 1)]
        # Where there is no example the largest of none is below 0.
        maxima = [tf.maximum(noted[place], tf.reduce_max(found[place])) for place in (2, 3)]
        self._noted.assign(tf.stack([*sums, *maxima]))

    def found(self, workers: Workers) -> dict[str, float]:
        """The share of examples with the same answer, and the largest difference over the largest value of an answer.

        Args:
            workers: of the training, all of which have to call it.
        """
        copies = np.stack([copy.numpy() for copy in self._strategy.experimental_local_results(self._noted)])
        by_worker = np.zeros((workers.count, 4))
        by_worker[workers.index] = [*copies[:, :2].sum(axis=0), *copies[:, 2:].max(axis=0)]
        (told,) = workers.sum([by_worker])
        (examples, same), (difference, largest) = told[:, :2].sum(axis=0), told[:, 2:].max(axis=0)
        return {
            SAME_ANSWERS: float(same / max(examples, 1)),
            LARGEST_DIFFERENCE: float(difference / largest) if largest else float(difference > 0),
        }
