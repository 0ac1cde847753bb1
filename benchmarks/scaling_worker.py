"""One worker of `scaling.py`, which starts it as `python -m scaling_worker CORE`, in a cluster or alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf
from cost import quiet_recipe
from networks import multiply_adds
from tfdistill_worker import build, made_up_batch
from workers import serve

from tfdistill.devices import runtime
from tfdistill.engine.distiller import Distiller


class Commands:
    """What the process can be asked to do."""

    def prepare(self, method: str, names: Sequence[str], batch_size: int, steps: int) -> dict[str, Any]:
        """Trains the steps of two executions, so that everything is compiled.

        Args:
            method: one of `tfdistill_worker.COMPARED`.
            names: of networks.
            batch_size: of this worker alone.
            steps: of an execution.

        Returns:
            the variables that an execution's gradients are summed for, their bytes, and the multiply-adds of the
            networks' forward passes.
        """
        # Not before it is asked, because TensorFlow prints where the replies go until `serve` has begun.
        with runtime.make_strategy().scope():
            self.distiller = build(method, names)
        self.distiller.compile(quiet_recipe(self.distiller), steps_per_execution=steps)
        self.distiller.prepare(steps_per_epoch=10_000, epochs=1000)
        self.distiller.make_train_function()
        self.held = iter(tf.data.Dataset.from_tensors(made_up_batch(batch_size)).repeat())
        self.train()
        self.train()
        return {**summed(self.distiller), "forward": sum(multiply_adds(one) for one in self.distiller.networks)}

    def train(self) -> dict[str, Any]:
        """Seconds that an execution takes."""
        started = time.perf_counter()
        results = self.distiller.train_function(self.held)
        # What has a value has been computed.
        assert all(np.isfinite(value.numpy()) for value in results.values())
        return {"seconds": time.perf_counter() - started}


def summed(distiller: Distiller) -> dict[str, int]:
    """What a step sums over the workers: updates, each a sum of its own, and the gradients' bytes."""
    updates = distiller.phase.updates()
    gradients = [variable.value for update in updates for variable in update.variables()]
    return {"updates": len(updates), "bytes": sum(one.dtype.size * one.shape.num_elements() for one in gradients)}


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    served = Commands()
    serve({"prepare": served.prepare, "train": served.train})
