"""The process that trains with tfdistill when it is asked to; `speed.py` starts it as `python -m tfdistill_worker`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import platform
import time
from collections.abc import Sequence
from typing import Any

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf
from networks import multiply_adds
from operations import OPERATIONS, Forward
from workers import WorkerError, serve

from tfdistill import networks
from tfdistill.devices import runtime
from tfdistill.engine.distiller import Distiller
from tfdistill.methods import METHODS

# By the name in the comparison: the method's, and the arguments that make it that one.
COMPARED: dict[str, tuple[str, dict[str, Any]]] = {
    "supervised": ("supervised", {}),
    "dml": ("dml", {"update": "alternating"}),
    "dml_joint": ("dml", {"update": "joint"}),
    "afd": ("afd", {}),
    "dcm": ("dcm", {}),
}
CLASSES = 100
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Enough for the first step to stand out from rounding, and too little to diverge on labels drawn by chance.
HIGHEST_RATE = 0.01


class Commands:
    """What the process can be asked to do."""

    def __init__(self) -> None:
        self.distiller: Distiller | None = None
        self.products: dict[tuple[str, int], Any] = {}

    def about(self) -> dict[str, Any]:
        """What computes."""
        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        device = details.get("device_name", "GPU") if gpus else f"CPU ({platform.machine()})"
        return {"version": f"TensorFlow {tf.__version__}", "kind": "GPU" if gpus else "CPU", "device": device}

    def prepare(
        self, method: str, names: Sequence[str], precision: str, batch_size: int, folder: str
    ) -> dict[str, Any]:
        """Trains a first step; leaves the batch and the weights before and after it in the folder.

        Returns:
            What the other side needs for the same step, parameters by model, and the multiply-adds of the step.
        """
        runtime.set_precision(PRECISIONS[precision])
        distiller = self.distiller = build(method, names)
        recipe = {
            group: dataclasses.replace(one, learning_rate=min(one.learning_rate, HIGHEST_RATE))
            for group, one in distiller.recipe().items()
        }
        distiller.compile(recipe)
        # So long that no schedule moves a rate.
        distiller.prepare(steps_per_epoch=10_000, epochs=1000)
        distiller.make_train_function()
        batch, to = made_up_batch(batch_size), pathlib.Path(folder)
        self.held = iter(tf.data.Dataset.from_tensors(batch).repeat())
        np.savez(to / "batch.npz", **batch)
        np.savez(to / "before.npz", **named_weights(distiller))
        self.train(1)
        np.savez(to / "after.npz", **named_weights(distiller))
        self.train(2)
        case = {
            "method": method,
            "networks": list(names),
            "classes": CLASSES,
            "precision": precision,
            "recipe": {group: dataclasses.asdict(one) for group, one in recipe.items()},
            "temperature": getattr(distiller, "temperature", 1.0),
        }
        counts = {
            name: sum(math.prod(variable.shape) for variable in model.trainable_variables)
            for name, model in models(distiller).items()
        }
        return {"case": case, "parameters": counts, "operations": batch_size * OPERATIONS[method](forward(distiller))}

    def train(self, steps: int) -> dict[str, Any]:
        """Seconds that so many steps of the case take."""
        started = time.perf_counter()
        for _ in range(steps):
            results = self.distiller.train_function(self.held)
        # What has a value has been computed.
        finite = [np.isfinite(value.numpy()) for value in results.values()]
        seconds = time.perf_counter() - started
        if not all(finite):
            raise WorkerError("a loss is not finite")
        return {"seconds": seconds}

    def multiply(self, precision: str, size: int) -> dict[str, Any]:
        """Seconds of a product of two square matrices."""
        if (precision, size) not in self.products:
            matrices = [tf.cast(tf.random.normal((size, size), seed=seed), precision) for seed in (1, 2)]
            self.products[precision, size] = matrices
            multiplied(*matrices)
        return {"seconds": min(multiplied(*self.products[precision, size]) for _ in range(2))}


def build(method: str, names: Sequence[str]) -> Distiller:
    """A compared method with networks called "network1", "network2", ... for images of 32 pixels."""
    name, arguments = COMPARED[method]
    peers = [
        networks.build(one, classes=CLASSES, seed=number, model_name=f"network{number}")
        for number, one in enumerate(names, start=1)
    ]
    return METHODS[name](peers, **arguments)


def models(distiller: Distiller) -> dict[str, keras.Model]:
    """Networks and helpers by name."""
    return {model.name: model for model in (*distiller.networks, *distiller.helpers.values())}


def made_up_batch(batch_size: int) -> dict[str, np.ndarray]:
    """Noise for images, and labels drawn by chance."""
    rng = np.random.default_rng(0)
    return {
        "images": rng.normal(size=(batch_size, 32, 32, 3)).astype(np.float32),
        "labels": rng.integers(0, CLASSES, batch_size).astype(np.int32),
    }


def named_weights(distiller: Distiller) -> dict[str, np.ndarray]:
    """Every weight as "model/layer/variable"."""
    return {
        f"{name}/{layer.name}/{variable.name}": np.asarray(variable)
        for name, model in models(distiller).items()
        for layer in model.layers
        for variable in layer.weights
    }


def forward(distiller: Distiller) -> Forward:
    """The multiply-adds of a forward pass, read from the models."""
    helpers: dict[str, list[int]] = {}
    for helper in distiller.helpers.values():
        kind = "head" if helper.name[-2:] in ("C2", "C3", "C4") else helper.name.rpartition("_")[2]
        helpers.setdefault(kind, []).append(multiply_adds(helper))
    classifiers = [math.prod(one.get_layer("logits").kernel.shape) for one in distiller.networks]
    return Forward([multiply_adds(one) for one in distiller.networks], classifiers, helpers)


@tf.function(autograph=False)
def _product(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.matmul(one, other)


def multiplied(one: tf.Tensor, other: tf.Tensor) -> float:
    """Seconds of a product, waited for."""
    started = time.perf_counter()
    _product(one, other)[0, 0].numpy()
    return time.perf_counter() - started


if __name__ == "__main__":
    served = Commands()
    serve({name: getattr(served, name) for name in ("about", "prepare", "train", "multiply")})
