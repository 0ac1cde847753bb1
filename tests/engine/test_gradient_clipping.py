"""Clipping by the global norm, against its formula and from one replica to two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import DML
from tfdistill.optimizers import SGD, Adam, OptimizerSettings, build

SHAPES = ((3, 2), (2,))
DECAY, RATE = 0.3, 0.1


def drawn(seed, scale=1.0):
    draw = np.random.default_rng(seed)
    return [scale * draw.normal(size=shape) for shape in SHAPES]


def clipped(gradients, limit):
    norm = np.sqrt(sum((one**2).sum() for one in gradients))
    return [one * min(1.0, limit / norm) for one in gradients], norm


def moved(optimizer, gradients):
    variables = [keras.Variable(value.astype("float32")) for value in drawn(0)]
    optimizer.build(variables)
    optimizer.apply([tf.constant(one, tf.float32) for one in gradients], variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_the_whole_gradient_is_clipped_before_the_decay(limit):
    gradients = drawn(1)
    expected, norm = clipped(gradients, limit)
    assert 0.5 < norm < 100.0
    found = moved(SGD(RATE, coupled_decay=DECAY, clip_norm=limit), gradients)
    for weight, gradient, value in zip(drawn(0), expected, found, strict=True):
        np.testing.assert_allclose(value, weight - RATE * (gradient + DECAY * weight), rtol=1e-5)


def test_adam_sees_the_clipped_gradient():
    gradients = drawn(1)
    expected = moved(Adam(RATE, epsilon=1.0), clipped(gradients, 0.5)[0])
    np.testing.assert_allclose(moved(Adam(RATE, epsilon=1.0, clip_norm=0.5), gradients)[0], expected[0], rtol=1e-5)
    assert np.abs(moved(Adam(RATE, epsilon=1.0), gradients)[0] - expected[0]).max() > 1e-3


def test_settings_and_config_carry_it():
    for kind in ("sgd", "adam"):
        made = build(OptimizerSettings(kind=kind, clip_norm=0.7), steps_per_epoch=1, epochs=1)
        assert made.clip_norm == 0.7
        assert type(made).from_config(made.get_config()).clip_norm == 0.7
    with pytest.raises(ValueError, match=r"^clip_norm: must be a finite number from 0, got -1$"):
        OptimizerSettings(clip_norm=-1)
    with pytest.raises(ValueError, match=r"^clip_norm: must be a finite number from 0, got nan$"):
        SGD(0.1, clip_norm=float("nan"))


def moves(strategy, limit):
    """How far one step at the rate 1 takes each of two peers of one matrix, each an update with a norm of its own."""
    settings = OptimizerSettings(learning_rate=1.0, momentum=0.0, clip_norm=limit)
    with strategy.scope():
        images = keras.Input((2, 2, 3), name="images")
        flat = keras.layers.Flatten()(images)
        peers = []
        for seed, name in enumerate(("one", "two")):
            draw = keras.initializers.RandomNormal(seed=seed)
            logits = keras.layers.Dense(4, kernel_initializer=draw, name="logits")(flat)
            peers.append(keras.Model(images, {"logits": logits}, name=name))
        distiller = DML(peers)
        distiller.compile({"networks": settings}, xla="off")
    before = [peer.get_weights() for peer in peers]
    draw = np.random.default_rng(2)
    batch = {"images": draw.normal(size=(8, 2, 2, 3)).astype("float32"), "labels": np.arange(8, dtype="int32") % 4}
    distiller.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False)
    return [
        np.concatenate([(new - old).ravel() for old, new in zip(weights, peer.get_weights(), strict=True)])
        for weights, peer in zip(before, peers, strict=True)
    ]


def test_two_replicas_clip_the_sum_of_their_gradients(two_replicas):
    one, two = moves(tf.distribute.get_strategy(), 0.1), moves(two_replicas, 0.1)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
        assert np.linalg.norm(second) == pytest.approx(0.1, rel=1e-5)
    # Without a limit each peer's step is longer than that.
    assert all(np.linalg.norm(free) > 0.15 for free in moves(two_replicas, 0.0))
