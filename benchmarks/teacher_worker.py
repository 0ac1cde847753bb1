"""The process that distils from a teacher with tfdistill; `teacher.py` starts it as `python -m teacher_worker`."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from typing import Any
from unittest import mock

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf
import tfdistill_worker
from networks import multiply_adds
from workers import serve

from tfdistill import KD, Distillation, networks
from tfdistill.engine.ahead import AT_ONCE
from tfdistill.engine.teachers import Teachers

# What each form takes of the savings.
PLAIN, FOLDED, LOWERED, KEPT = "none", "folded", "folded, bfloat16", "folded, bfloat16, kept logits"
AHEAD, LOWERED_AHEAD = "folded, ahead", "folded, bfloat16, ahead"
ASKED_AHEAD = (AHEAD, LOWERED_AHEAD)
FORMS = (PLAIN, FOLDED, AHEAD, LOWERED, LOWERED_AHEAD, KEPT)
TEMPERATURE, WEIGHTS = 4.0, {"label_weight": 0.1, "weight": 0.9}


class Commands(tfdistill_worker.Commands):
    """What the process can be asked to do."""

    def prepare(self, student: str, teacher: str, batch_size: int, folder: str, ahead_alone: bool) -> dict[str, Any]:
        """Makes a distiller of every form, each with a student of its own; all are taught by one teacher.

        Args:
            student, teacher: networks by name.
            batch_size: images of a step.
            folder: where the batch and the weights before and after a first step are left.
            ahead_alone: only the forms whose teacher is asked ahead are to be measured. A GPU has none of them.

        Returns:
            What the other side needs for the same step, the forms to measure, and the multiply-adds of the teacher and
            of the student.
        """
        batch, to = tfdistill_worker.made_up_batch(batch_size), pathlib.Path(folder)
        source = settled(networks.build(teacher, classes=tfdistill_worker.CLASSES, model_name="teacher"), batch)
        # Before it is folded: then its layers are called twice.
        teachers_own = multiply_adds(source)
        gpus = tf.config.list_physical_devices("GPU")
        measured = [form for form in FORMS if not (gpus and form in ASKED_AHEAD)]
        if ahead_alone:
            measured = [form for form in measured if form in ASKED_AHEAD]
        self.distillers = {form: distiller(student, source, form) for form in (PLAIN, KEPT, *measured)}
        # As --teacher_views has them once a teacher was asked about a view.
        answers = self.distillers[KEPT].teachers.called["teacher"](batch["images"], training=False)["logits"]
        kept = {**batch, "teacher/logits": np.asarray(answers).astype(np.float16)}
        given = {form: kept if form == KEPT else batch for form in self.distillers}
        self.batches = {form: tf.data.Dataset.from_tensors(one).repeat() for form, one in given.items()}
        plain = self.distillers[PLAIN]
        np.savez(to / "batch.npz", **batch)
        np.savez(to / "before.npz", **tfdistill_worker.named_weights(plain), **weights_of(source))
        self.distiller, self.held = plain, iter(self.batches[PLAIN])
        super().train(1)
        np.savez(to / "after.npz", **tfdistill_worker.named_weights(plain))
        for form in measured:
            self.train(form, 1)
        case = {
            "student": student,
            "teacher": teacher,
            "classes": tfdistill_worker.CLASSES,
            "recipe": {group: dataclasses.asdict(one) for group, one in recipe(plain).items()},
            "temperature": TEMPERATURE,
            "weights": WEIGHTS,
        }
        operations = {"teacher": teachers_own, "student": 3 * multiply_adds(plain.networks[0])}
        return {"case": case, "forms": measured, "operations": operations}

    def train(self, form: str, steps: int) -> dict[str, Any]:
        """Seconds that so many steps take in a form, once its stream of batches runs.

        Each turn has a stream of its own. A teacher that is asked ahead is as far ahead at the end of the steps as at
        their beginning, and does not go on answering in the turn of another form.
        """
        self.distiller = self.distillers[form]
        self.held = iter(self.distiller.ahead.of(self.batches[form], {}))
        super().train(AT_ONCE + 1)
        found = super().train(steps)
        self.held = None
        time.sleep(1.0)  # until the answers that nobody waits for are given
        return found


def distiller(student: str, teacher: keras.Model, form: str) -> Distillation:
    """A distiller of a form, ready to train."""
    network = networks.build(student, classes=tfdistill_worker.CLASSES, seed=1, model_name="network1")
    transfer = KD(temperature=TEMPERATURE, weight=WEIGHTS["weight"])
    made = Distillation(network, teacher, [transfer], label_weight=WEIGHTS["label_weight"])
    unfolded = mock.patch.object(Teachers, "fold", lambda teachers, precision: None)
    with unfolded if form == PLAIN else contextlib.nullcontext():
        made.compile(
            recipe(made),
            teacher_precision="bfloat16" if form in (LOWERED, LOWERED_AHEAD, KEPT) else "float32",
            teacher_ahead="on" if form in ASKED_AHEAD else "off",
        )
    # So long that no schedule moves a rate.
    made.prepare(steps_per_epoch=10_000, epochs=1000)
    made.make_train_function()
    return made


def recipe(made: Distillation) -> dict[str, Any]:
    """The method's settings, with a rate that does not diverge on labels drawn by chance."""
    return {
        group: dataclasses.replace(one, learning_rate=min(one.learning_rate, tfdistill_worker.HIGHEST_RATE))
        for group, one in made.recipe().items()
    }


def settled(network: keras.Model, batch: dict[str, np.ndarray]) -> keras.Model:
    """A network whose normalizations have the batch's statistics, so that its maps are of the usual size."""
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    network(batch["images"], training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    return network


def weights_of(teacher: keras.Model) -> dict[str, np.ndarray]:
    """Every weight as "teacher/layer/variable"."""
    return {
        f"teacher/{layer.name}/{variable.name}": np.asarray(variable)
        for layer in teacher.layers
        for variable in layer.weights
    }


if __name__ == "__main__":
    served = Commands()
    serve({name: getattr(served, name) for name in ("about", "prepare", "train")})
