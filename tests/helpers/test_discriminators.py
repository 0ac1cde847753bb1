"""Discriminators: their size, what they compute, on any map and in any precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.helpers.discriminators import discriminator
from tfdistill.networks.initialization import LayerSeeds


def build(shape, seed=0):
    return discriminator(shape, name="judge", seeds=LayerSeeds(seed))


def maps_of(shape, examples=6):
    return np.random.default_rng(1).normal(size=(examples, *shape)).astype("float32")


def trainable_weights(model):
    return sum(int(np.prod(one.shape)) for one in model.trainable_variables)


@pytest.mark.parametrize(("channels", "expected"), [(64, 19_009), (128, 74_881), (256, 297_217)])
@pytest.mark.parametrize("size", [8, 7])
def test_parameters(size, channels, expected):
    """9·C·C/2 of the first convolution, C of BatchNorm, 16·C/2 + 1 of the second."""
    assert trainable_weights(build((size, size, channels))) == expected


@pytest.mark.parametrize("shape", [(8, 8, 4), (7, 7, 4), (4, 6, 3), (2, 2, 2), (1, 1, 1)])
def test_one_probability_per_example_on_a_map_of_any_size(shape):
    likely = build(shape)(maps_of(shape), training=True)
    assert likely.shape == (6,) and likely.dtype == tf.float32
    assert np.all((likely > 0) & (likely < 1)) and np.std(likely) > 0


@pytest.mark.parametrize("shape", [(8, 8, 4), (7, 7, 4), (1, 1, 2)])
def test_it_is_what_it_says(tiny, shape):
    model, maps = build(shape), maps_of(shape)
    weights = tiny.weights_of(model)
    hidden = tf.pad(tf.cast(maps, tf.float64), [[0, 0], [1, 1], [1, 1], [0, 0]])
    hidden = tf.nn.conv2d(hidden, weights["conv1/kernel"], 2, "VALID")
    hidden = tiny.batch_norm(weights, "norm1", hidden)
    hidden = tf.where(hidden > 0, hidden, 0.2 * hidden)
    score = tf.einsum("bhwc,hwcd->b", hidden, weights["conv2/kernel"]) + weights["conv2/bias"]
    np.testing.assert_allclose(model(maps, training=True), tf.sigmoid(score), atol=1e-6)
    tiny.assert_weights(model, weights, atol=1e-6)


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_fan_in():
    kernel, _, _, last, bias = build((8, 8, 64)).trainable_variables
    for weight, fan_in in ((kernel, 9 * 64), (last, 16 * 32)):
        values, limit = weight.numpy(), fan_in**-0.5
        assert 0.98 * limit < np.abs(values).max() <= limit
        assert np.std(values) == pytest.approx(limit / 3**0.5, rel=0.1)
    assert 0 < np.abs(bias.numpy()[0]) <= 512**-0.5


def test_weights_are_a_function_of_the_seed():
    one, same, other = (build((4, 4, 4), seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_float32_comes_out_under_bfloat16_too():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build((4, 4, 4))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    likely = model(tf.cast(maps_of((4, 4, 4)), tf.bfloat16), training=True)
    assert likely.dtype == tf.float32
    # More digits than bfloat16 has: the last convolution and the sigmoid were float32.
    assert np.any(tf.cast(tf.cast(likely, tf.bfloat16), tf.float32) != likely)
