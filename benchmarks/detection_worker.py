"""The process that trains a detector with tfdistill; `detection.py` starts it as `python -m detection_worker`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import tfdistill.startup  # (before TensorFlow)

import numpy as np
import tensorflow as tf
import tfdistill_worker
from networks import multiply_adds
from workers import serve

import tfdistill
from tfdistill import losses, networks
from tfdistill.optimizers import OptimizerSettings
from tfdistill.tasks import Detection, detect

CLASSES, OBJECTS, PIXELS = 20, 16, 300
# The paper's, which does not diverge on objects drawn by chance.
SETTINGS = OptimizerSettings(learning_rate=1e-3, weight_decay=5e-4, decay_on="matrices")
ANSWER = ("offsets", "class_logits", "default_boxes")


class Commands(tfdistill_worker.Commands):
    """What the process can be asked to do."""

    def prepare(self, network: str, batch_size: int, folder: str) -> dict[str, Any]:
        """Trains a first step; leaves the batch and the weights before and after it in the folder.

        Returns:
            What the other side needs for the same step, the parameters, and the multiply-adds of a forward pass.
        """
        shape = (PIXELS, PIXELS, 3)
        detector = networks.build(network, classes=CLASSES, image_shape=shape, seed=1, model_name="network1")
        self.distiller = tfdistill.Supervised([detector], task=Detection())
        self.distiller.compile(SETTINGS)
        self.distiller.prepare(steps_per_epoch=10_000, epochs=1000)
        self.distiller.make_train_function()
        batch, to = made_up_batch(batch_size), pathlib.Path(folder)
        self.held = iter(tf.data.Dataset.from_tensors(batch).repeat())
        boxes = detector(batch["images"][:1])["default_boxes"][0].numpy()
        np.savez(to / "batch.npz", **batch, default_boxes=boxes)
        np.savez(to / "before.npz", **tfdistill_worker.named_weights(self.distiller))
        self.train(1)
        np.savez(to / "after.npz", **tfdistill_worker.named_weights(self.distiller))
        self.train(2)
        counts = {"network1": sum(math.prod(one.shape) for one in detector.trainable_variables)}
        recipe = {"networks": dataclasses.asdict(SETTINGS)}
        case = {"networks": [network], "classes": CLASSES, "precision": "float32", "recipe": recipe}
        return {"case": case, "parameters": counts, "operations": multiply_adds(detector)}

    def parts(self, batch_size: int, most: int) -> dict[str, Any]:
        """Median seconds of a forward pass, of the loss with its gradient, and of detections, on a larger batch.

        Detections are asked of two answers: the detector's own, which has learned nothing, so that every class of every
        box is a candidate; and one of few sure boxes, as a detector that has learned gives it.
        """
        (detector,) = self.distiller.networks
        batch = made_up_batch(batch_size)
        forward = tf.function(lambda images: detector(images, training=False), autograph=False)
        taps = {tap: forward(batch["images"])[tap] for tap in ANSWER}
        sure = tf.one_hot(tf.zeros(taps["class_logits"].shape[:2], tf.int32), 1 + CLASSES) * 12.0
        chosen = tf.random.stateless_uniform(taps["class_logits"].shape[:2], [1, 2]) < 0.01
        learned = {**taps, "class_logits": tf.where(chosen[..., None], taps["class_logits"], sure)}
        found = tf.function(lambda taps: detect(taps, most=most), autograph=False)
        steps: dict[str, Callable[[], Any]] = {
            "forward": lambda: forward(batch["images"])["offsets"],
            "loss": lambda: _loss_and_gradient(tf.constant(batch["labels"]), taps),
            "detections, not learned": lambda: found(taps)["count"],
            "detections, learned": lambda: found(learned)["count"],
        }
        return {"seconds": {name: _median_seconds(step) for name, step in steps.items()}}


def made_up_batch(batch_size: int) -> dict[str, np.ndarray]:
    """Noise for images, with one to `OBJECTS` boxes of chance classes each."""
    rng = np.random.default_rng(0)
    lower = rng.uniform(0, 0.7, (batch_size, OBJECTS, 2))
    upper = np.minimum(lower + rng.uniform(0.05, 0.6, lower.shape), 1.0)
    classes = rng.integers(0, CLASSES, (batch_size, OBJECTS))
    classes[np.arange(OBJECTS)[None] >= rng.integers(1, OBJECTS + 1, (batch_size, 1))] = -1
    labels = np.concatenate([lower, upper, classes[..., None], np.zeros_like(lower[..., :1])], -1)
    images = rng.normal(size=(batch_size, PIXELS, PIXELS, 3))
    return {"images": images.astype(np.float32), "labels": labels.astype(np.float32)}


@tf.function(autograph=False)
def _loss_and_gradient(labels: tf.Tensor, taps: dict[str, tf.Tensor]) -> list[tf.Tensor]:
    answer = [taps["offsets"], taps["class_logits"]]
    with tf.GradientTape() as tape:
        tape.watch(answer)
        loss = tf.reduce_mean(losses.multibox_loss(labels, *answer, taps["default_boxes"]))
    return tape.gradient(loss, answer)


def _median_seconds(step: Callable[[], Any], times: int = 5) -> float:
    """Of so many, after one that is not counted."""
    taken = []
    for _ in range(times + 1):
        started = time.perf_counter()
        tf.nest.map_structure(lambda one: one.numpy(), step())
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


if __name__ == "__main__":
    served = Commands()
    serve({name: getattr(served, name) for name in ("about", "prepare", "train", "parts")})
