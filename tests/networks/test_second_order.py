"""A network that is differentiated twice, against central differences of its input gradient in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks.layers import BatchNormalization
from tfdistill.networks.second_order import TwiceDifferentiable, normalized_by_batch

DRAW = np.random.default_rng(0)
INPUTS, SLOPES = DRAW.normal(1.5, 2.0, (4, 3, 3, 2)), DRAW.normal(size=(4, 3, 3, 2))
SCALE, OFFSET, EPSILON = np.array([1.5, -0.5]), np.array([0.3, 0.2]), 1e-2
COMPILED = {"eager": None, "graph": False, "xla": True}


def sloped(inputs, scale, offset):
    """Input gradients of the sum of y^4, times some slopes, summed: what is differentiated again."""
    mean, inverse = inputs.mean((0, 1, 2)), 1 / np.sqrt(inputs.var((0, 1, 2)) + EPSILON)
    unit = (inputs - mean) * inverse
    given = 4 * (unit * scale + offset) ** 3
    projected = given - given.mean((0, 1, 2)) - unit * (given * unit).mean((0, 1, 2))
    return (scale * inverse * projected * SLOPES).sum()


def central_differences():
    found, values = [], [INPUTS, SCALE, OFFSET]
    for side, value in enumerate(values):
        slopes = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = [one.copy() for one in values]
                moved[side][place] += sign * 1e-5
                ends.append(sloped(*moved))
            slopes[place] = (ends[0] - ends[1]) / 2e-5
        found.append(slopes)
    return found


def twice(normalize, inputs, scale, offset):
    """The same of a function of TensorFlow, with its gradients."""
    with tf.GradientTape() as outer, tf.GradientTape(watch_accessed_variables=False) as inner:
        outer.watch((inputs, scale, offset))
        inner.watch(inputs)
        total = tf.reduce_sum(tf.cast(normalize(inputs, scale, offset), tf.float32) ** 4)
        value = tf.reduce_sum(tf.cast(inner.gradient(total, inputs), tf.float32) * SLOPES.astype("float32"))
    return value, *outer.gradient(value, (inputs, scale, offset))


@pytest.mark.parametrize("mode", COMPILED)
def test_batch_normalization_has_the_gradients_of_its_gradient(mode):
    def run(*given):
        return twice(lambda *sides: normalized_by_batch(*sides, EPSILON), *given)

    run = run if mode == "eager" else tf.function(run, jit_compile=COMPILED[mode])
    value, *gradients = run(*(tf.constant(one, tf.float32) for one in (INPUTS, SCALE, OFFSET)))
    assert float(value) == pytest.approx(sloped(INPUTS, SCALE, OFFSET), rel=1e-4)
    for gradient, expected in zip(gradients, central_differences(), strict=True):
        largest = np.abs(expected).max()
        assert largest > 1 and np.abs(gradient - expected).max() < 1e-4 * largest
    low = twice(
        lambda *sides: normalized_by_batch(*sides, EPSILON),
        tf.constant(INPUTS, tf.bfloat16),
        *(tf.constant(one, tf.float32) for one in (SCALE, OFFSET)),
    )
    np.testing.assert_allclose(tf.cast(low[1], tf.float32), gradients[0], atol=0.05 * np.abs(gradients[0]).max())


@pytest.mark.parametrize("kind", [BatchNormalization, keras.layers.BatchNormalization])
def test_it_is_the_network_without_moves_whosever_its_normalizations_are(kind):
    """In training mode, in inference, and frozen; Keras' own differentiates a constant per channel wrongly."""
    images = keras.Input((3, 3, 2), name="images")
    inner = keras.Sequential([keras.Input((3, 3, 2)), kind(epsilon=EPSILON, name="norm")], name="inner")
    network = keras.Model(images, {"maps": inner(images), "logits": keras.layers.Flatten()(images)}, name="network")
    norm, inputs = inner.get_layer("norm"), tf.constant(INPUTS, tf.float32)
    norm.set_weights([SCALE, OFFSET, np.array([0.5, 1.0]), np.array([2.0, 3.0])])
    again = TwiceDifferentiable(network)
    assert [id(one) for one in again.trainable_variables] == [id(one) for one in network.trainable_variables]
    before = norm.get_weights()
    found = again(inputs, training=True)
    assert all(np.array_equal(old, new) for old, new in zip(before, norm.get_weights(), strict=True))
    assert found.keys() == {"maps", "logits"}
    still = again(inputs, training=False)["maps"]
    np.testing.assert_array_equal(still, network(inputs, training=False)["maps"])
    np.testing.assert_allclose(found["maps"], network(inputs, training=True)["maps"], atol=1e-5)
    norm.set_weights(before)
    _, gradient, *_ = twice(lambda x, *_: again(x, training=True)["maps"], inputs, norm.gamma.value, norm.beta.value)
    expected = central_differences()[0]
    np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())
    norm.trainable = False
    np.testing.assert_array_equal(again(inputs, training=True)["maps"], still)
