"""How the tests of transfers set one up between two networks, call what it builds, and follow five steps."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.transfers import courses


def _lesson_of(transfer, learner, source):
    (course,) = courses([transfer], [(learner, [source])])
    return course.lessons[source.name]


def _call(model, inputs):
    return model(inputs, training=True)


def _drawn(network, seed, batch=6):
    draw = np.random.default_rng(seed)
    return {
        tap: tf.constant(draw.normal(size=(batch, *one.shape[1:])), tf.float32) for tap, one in network.output.items()
    }


def _five_steps(tiny, distiller, weights, helpers, terms, batch=None):
    batch, sgd = batch or tiny.batch(), tiny.NesterovSGD()
    (student,) = distiller.networks
    own = tiny.weights_of(student)
    copies = {name: tiny.weights_of(distiller.helpers[name]) for name in helpers}
    logs, seen = tiny.train(distiller, 5, batch), {name: [] for name in weights}
    moved = tiny.trainable(own, *copies.values())
    for _ in range(5):
        with tf.GradientTape() as tape:
            features, logits = tiny.run_network(own, batch["images"], 4)
            found = terms(features, copies)
            total = tiny.cross_entropy(batch["labels"], logits)
            total += tf.add_n([weight * found[name] for name, weight in weights.items()])
        sgd.step(tape.gradient(total, moved), moved)
        for name, value in found.items():
            seen[name].append(float(value))
    for name, values in seen.items():
        np.testing.assert_allclose(logs[f"{student.name}/{name}"], np.mean(values), rtol=1e-3, err_msg=name)
    tiny.assert_weights(student, own)
    for name, copy in copies.items():
        tiny.assert_weights(distiller.helpers[name], copy)


@pytest.fixture(scope="session")
def lesson_of():
    """From a transfer, a learner and a source to the lesson between them."""
    return _lesson_of


@pytest.fixture(scope="session")
def call():
    """Calls a helper in training mode."""
    return _call


@pytest.fixture(scope="session")
def drawn():
    """Taps of a network's shapes from a seed, without calling it."""
    return _drawn


@pytest.fixture(scope="session")
def five_steps(tiny):
    """Five steps by the engine and five of a transcription on one batch, which end at the same weights.

    Called with the distiller of a `tiny.network` of 4 × 4 positions, the weight of each term, the names of the helpers
    that learn along, and a function from the student's map in float64 and from float64 copies of these helpers' weights
    to each term's mean.
    """
    return functools.partial(_five_steps, tiny)
