"""How the tests of transfers set one up between two networks, and call what it builds."""

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
