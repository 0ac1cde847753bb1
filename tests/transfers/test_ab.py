"""Activation boundaries: the authors' values, what each phase moves and reads, resuming, and steps in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods import Distillation
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import checkpoints
from tfdistill.transfers import AB


def test_the_loss_is_that_of_the_authors_code():
    shapes = (4, 32, 32, 8), (4, 16, 16, 16), (4, 8, 8, 32)
    authors = [11.773157328657767, 11.900429561608343, 11.888076632513227]
    for stage, (shape, expected) in enumerate(zip(shapes, authors, strict=True)):
        student, teacher = (
            tf.constant(np.random.default_rng(seed + stage).normal(size=shape), tf.float32) for seed in (70, 75)
        )
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = 0.003 * 2.0 ** (stage - 2) * tf.reduce_mean(losses.boundary_distance(student, teacher))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradient = tape.gradient(value, student).numpy()
    size = [np.linalg.norm(gradient), np.abs(gradient).sum()]
    np.testing.assert_allclose(size, [0.18884975482520397, 13.346003505501034], rtol=1e-5)


def test_at_0_every_value_counts_as_1_and_on_the_right_side_from_1_on_as_0():
    source = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 4, 5)), tf.float32)
    np.testing.assert_allclose(0.003 * losses.boundary_distance(tf.zeros_like(source), source), 0.003 * 80, rtol=1e-6)
    assert not np.any(losses.boundary_distance(tf.where(source > 0, 1.0 + source, source - 1.0), source))
    # Of the source the sign alone counts.
    own = source[::-1]
    np.testing.assert_array_equal(losses.boundary_distance(own, source), losses.boundary_distance(own, 9.0 * source**3))


def test_the_phases_have_their_terms_and_their_models(tiny_network, lesson_of, call, drawn):
    learner = tiny_network("learner", seed=1, preactivations=True)
    source = tiny_network("source", seed=2, channels=6, preactivations=True)
    lesson = lesson_of(AB(weight=0.5, boundary_weight=0.1, temperature=2.0, preparation_epochs=3), learner, source)
    body, *connectors = lesson.preparation.models
    assert lesson.helpers == () and lesson.kept == tuple(connectors)
    assert [one.name for one in connectors] == [
        f"learner_from_source_ab_stage{stage}_preactivation_connector" for stage in (1, 2)
    ]
    # All up to the last map, and nothing behind it.
    moved = {id(one) for one in body.trainable_variables}
    assert moved == {id(one) for one in learner.trainable_variables if not one.path.startswith("logits")}
    own, taught = drawn(learner, 1), drawn(source, 2)
    assert (lesson.weights, lesson.preparation.weights) == ({"ab": 0.5}, {"boundaries": 0.1})
    assert lesson.preparation.epochs == 3
    expected = losses.kl_divergence(taught["logits"], own["logits"], 2.0)
    np.testing.assert_array_equal(lesson.terms({}, own, taught, call)["ab"], expected)
    each = [
        losses.boundary_distance(call(one, own[f"{stage}_preactivation"]), taught[f"{stage}_preactivation"])
        for one, stage in zip(connectors, ("stage1", "stage2"), strict=True)
    ]
    found = lesson.preparation.terms({}, own, taught, call)["boundaries"]
    np.testing.assert_allclose(found, each[0] / 2 + each[1], rtol=1e-5)


class Kept(keras.callbacks.Callback):
    """The state after a step, as a run keeps it; the training ends there."""

    def __init__(self, step):
        super().__init__()
        self.step, self.state = step, None

    def on_train_batch_end(self, batch, logs=None):
        if self.model.steps_trained == self.step:
            self.state = snapshot(self.model)
            self.model.stop_training = True


def snapshot(distiller):
    return {name: np.array(one.numpy()) for name, one in distiller.state().items()}


def with_stage(network):
    """A network of `tiny` whose map before its ReLU is a tap."""
    before = network.get_layer("norm").output
    return keras.Model(
        network.input, {**network.output, "stage1_preactivation": before, "stage1": before}, name=network.name
    )


@pytest.mark.parametrize("label_weight", [0.0, 1.0])
def test_five_steps_of_each_phase(label_weight, tiny):
    """The first leaves the classifier alone, the second the connector, which nothing reads any more."""
    student = with_stage(tiny.network("student", seed=1))
    teacher = with_stage(tiny.network("teacher", channels=3, seed=2))
    batch, weights, sgd = tiny.batch(), tiny.weights_of(student), tiny.NesterovSGD()
    given = AB(preparation_epochs=1, boundary_weight=0.01, weight=0.8)
    distiller = Distillation(student, teacher, [given], label_weight=label_weight)
    (name,) = distiller.helpers
    connector = tiny.weights_of(distiller.helpers[name])
    taught = {tap: tf.cast(one, tf.float64) for tap, one in teacher(batch["images"], training=False).items()}
    settings = OptimizerSettings(
        learning_rate=tiny.RATE, momentum=tiny.MOMENTUM, nesterov=True, weight_decay=tiny.DECAY
    )
    distiller.compile({"networks": settings}, xla="off")
    data = tf.data.Dataset.from_tensors(batch).repeat(5)
    history = distiller.fit(data, epochs=2, verbose=0, shuffle=False).history

    def forward():
        images = tf.cast(batch["images"], tf.float64)
        before = tiny.batch_norm(weights, "norm", tiny.convolve(weights, "conv", images))
        return before, tf.reduce_mean(tf.nn.relu(before), (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]

    body = [one for key, one in weights.items() if one.trainable and not key.startswith("logits")]
    boundaries, predictions = [], []
    for _ in range(5):
        with tf.GradientTape() as tape:
            reached = tiny.batch_norm(connector, "norm", forward()[0] @ connector["conv/kernel"][0, 0])
            side = tf.cast(tf.where(taught["stage1_preactivation"] > 0, 1.0, -1.0), tf.float64)
            term = tf.reduce_sum(tf.nn.relu(1.0 - side * reached) ** 2) / tiny.BATCH
            total = 0.01 * term
        moved = [*body, *tiny.trainable(connector)]
        sgd.step(tape.gradient(total, moved), moved)
        boundaries.append(float(term))
    sgd = tiny.NesterovSGD()  # a phase has optimizers of its own
    for _ in range(5):
        with tf.GradientTape() as tape:
            logits = forward()[1]
            own, wanted = (tiny.log_softmax(one / 3.0) for one in (logits, taught["logits"]))
            term = tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - own), axis=1))
            total = 0.8 * term + label_weight * tiny.cross_entropy(batch["labels"], logits)
        moved = tiny.trainable(weights)
        sgd.step(tape.gradient(total, moved), moved)
        predictions.append(float(term))
    tiny.assert_terms(
        {key: values[-1] for key, values in history.items()},
        {"student_ab_preparation/boundaries": np.mean(boundaries), "student/ab": np.mean(predictions)},
    )
    tiny.assert_weights(student, weights)
    tiny.assert_weights(distiller.helpers[name], connector)


def test_cut_off_in_the_preparation_at_its_end_and_after_it_ends_in_the_same_bits(tiny):
    def made():
        networks = (with_stage(tiny.network(name, seed=seed)) for name, seed in (("student", 1), ("teacher", 2)))
        distiller = Distillation(*networks, [AB(preparation_epochs=1)])
        distiller.compile({"networks": OptimizerSettings(learning_rate=0.05)}, xla="off")
        return distiller

    data = tf.data.Dataset.from_tensor_slices(
        {name: np.stack([tiny.batch(seed)[name] for seed in range(4)]) for name in ("images", "labels")}
    )
    whole = made()
    whole.fit(data, epochs=2, verbose=0, shuffle=False)
    expected = snapshot(whole)
    for step in (2, 4, 6):
        kept = Kept(step)
        made().fit(data, epochs=2, verbose=0, shuffle=False, callbacks=[kept])
        resumed = made()
        resumed.prepare(steps_per_epoch=4, epochs=2)
        checkpoints.assign(resumed.state(), kept.state)
        epoch, rest = divmod(step, 4)
        if rest:
            resumed.fit(data.skip(rest), initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False)
            epoch += 1
        resumed.fit(data, initial_epoch=epoch, epochs=2, verbose=0, shuffle=False)
        found = snapshot(resumed)
        for name, value in expected.items():
            if not name.startswith("metrics/"):
                np.testing.assert_array_equal(found[name], value, err_msg=f"{step}: {name}")
