"""Transfers of maps and relations under XLA on two replicas: one step is that of the halves' mean, taken eagerly."""

import numpy as np
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods import Distillation
from tfdistill.optimizers import OptimizerSettings
from tfdistill.transfers import TRANSFERS, TapTransfer

NAMES = [
    name
    for name, made in TRANSFERS.items()
    if issubclass(made, TapTransfer) or name in ("map_distance", "od", "review_kd", "jacobian")
]
# One step at this rate is the gradient itself.
RATE, BATCH = 1.0, 8


def made(tiny_network):
    one = tiny_network("one", seed=1, channels=8, preactivations=True)
    other = tiny_network("other", seed=20, channels=6, preactivations=True)
    return Distillation(one, other, [TRANSFERS[name]() for name in NAMES])


def halves_step(distiller, batch):
    """Terms in the mean over both halves, and every variable with its step, the mean of their gradients."""
    (update,), (one,), (teacher,) = distiller.phase.updates(), distiller.networks, distiller.teachers
    variables, found, gradients = update.variables(), [], []
    for half in (slice(0, 4), slice(4, 8)):
        images, labels = batch["images"][half], batch["labels"][half]
        with tf.GradientTape() as tape:
            taps = {"one": one(images, training=True), "other": teacher(images, training=False)}
            terms = distiller.phase.rounds[0].losses({"images": images, "labels": labels}, taps)["one"]
            means = {name: tf.reduce_mean(value) for name, value in terms.items()}
            weighted = [
                (weight(tf.constant(0.0)) if callable(weight) else weight) * means[name]
                for name, weight in update.terms.items()
            ]
            total = tf.add_n(weighted)
        found.append({name: float(value) for name, value in means.items()})
        gradients.append(tape.gradient(total, [variable.value for variable in variables]))
        np.testing.assert_allclose(means["cross_entropy"], np.mean(losses.cross_entropy(labels, taps["one"]["logits"])))
    steps = [
        (variable.numpy(), RATE * (first + second).numpy() / 2)
        for variable, first, second in zip(variables, *gradients, strict=True)
    ]
    return {name: np.mean([one[name] for one in found]) for name in found[0]}, steps


def test_a_step_under_xla_on_two_replicas_is_that_of_the_halves(tiny_network, two_replicas):
    draw = np.random.default_rng(5)
    batch = {
        "images": draw.standard_normal((BATCH, 8, 8, 3)).astype("float32"),
        "labels": draw.integers(0, 4, BATCH).astype("int32"),
    }
    expected, steps = halves_step(made(tiny_network), batch)
    with two_replicas.scope():
        distiller = made(tiny_network)
        distiller.compile({"networks": OptimizerSettings(learning_rate=RATE, momentum=0.0)}, xla="on")
    data = tf.data.Dataset.from_tensors(batch)
    logs = distiller.fit(data, verbose=0, shuffle=False).history
    assert expected.keys() == {"cross_entropy", *NAMES, "jacobian_activations"}
    for name, value in expected.items():
        np.testing.assert_allclose(logs[f"one/{name}"][0], value, rtol=2e-4, err_msg=name)
    for one, (start, step) in zip(distiller.phase.updates()[0].variables(), steps, strict=True):
        largest = np.abs(step).max()
        assert largest > 1e-4, one.path
        assert np.abs(start - one.numpy() - step).max() < 2e-3 * largest, one.path
