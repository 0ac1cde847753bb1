"""The gradient of an answer for the image: of which class, through batch normalization, and without a trace."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.helpers.input_gradients import input_gradients, require_input_gradients
from tfdistill.networks.layers import BatchNormalization, Dropout
from tfdistill.networks.own_images import reading_own_images

IMAGES = tf.constant(np.random.default_rng(0).normal(size=(5, 2, 2, 3)), tf.float32)


def linear(kernel, bias=0.0, dtype="float32"):
    """Logits that are linear in the pixels."""
    images = keras.Input((2, 2, 3), name="images", dtype=dtype)
    layer = keras.layers.Dense(kernel.shape[1], name="logits")
    network = keras.Model(images, {"logits": layer(keras.layers.Flatten()(images))}, name="linear")
    layer.set_weights([kernel, np.full(kernel.shape[1], bias)])
    return network


def training(model, inputs):
    return model(inputs, training=True)


def test_of_a_linear_network_it_is_the_weights_of_the_largest_or_the_given_logit():
    kernel = np.random.default_rng(1).normal(size=(12, 4)).astype("float32")
    network = linear(kernel)
    taps, classes, gradients = input_gradients(network, IMAGES, training)
    expected = IMAGES.numpy().reshape(5, 12) @ kernel
    np.testing.assert_allclose(taps["logits"], expected, rtol=1e-5)
    np.testing.assert_array_equal(classes, expected.argmax(1))
    assert len(set(classes.numpy())) > 1
    np.testing.assert_allclose(gradients, kernel.T[expected.argmax(1)].reshape(5, 2, 2, 3), rtol=1e-6)
    given = tf.constant([3, 0, 0, 2, 1])
    _, _, gradients = input_gradients(network, IMAGES, training, given)
    np.testing.assert_allclose(gradients, kernel.T[given.numpy()].reshape(5, 2, 2, 3), rtol=1e-6)


def test_what_stands_before_a_network_counts_in():
    kernel = np.random.default_rng(1).normal(size=(12, 4)).astype("float32")
    adapted = reading_own_images(linear(kernel), (2, 2, 3), (2.0, 3.0, 4.0), (0.1, 0.2, 0.3))
    _, classes, gradients = input_gradients(adapted, IMAGES, training)
    expected = kernel.T[classes.numpy()].reshape(5, 2, 2, 3) * [2, 3, 4]
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)


def test_the_call_leaves_no_trace_and_reads_what_a_scope_around_it_holds():
    images = keras.Input((2, 2, 3), name="images")
    maps = Dropout(0.5, seed=1)(BatchNormalization(name="norm")(images))
    logits = keras.layers.Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=0))(keras.layers.Flatten()(maps))
    network = keras.Model(images, {"logits": logits}, name="network")
    before = [variable.numpy() for variable in network.variables]
    _, classes, first = input_gradients(network, IMAGES, training)
    _, _, again = input_gradients(network, IMAGES, training, classes)
    np.testing.assert_array_equal(first, again)
    assert len(before) == len(network.weights) + 1  # the generator of masks
    assert all(np.array_equal(old, one.numpy()) for old, one in zip(before, network.variables, strict=True))
    gamma = network.get_layer("norm").gamma
    doubled = 2 * tf.convert_to_tensor(gamma)
    with keras.StatelessScope([(gamma, doubled)]), tf.GradientTape() as tape:
        tape.watch(doubled)
        _, _, found = input_gradients(network, IMAGES, training, classes)
    np.testing.assert_allclose(found, 2 * first, rtol=1e-4, atol=1e-6)
    assert tape.gradient(found, doubled) is not None


def rounding(images):
    return tf.round(images)


def without_gradient(images):
    return tf.image.adjust_hue(images, 0.1)


@pytest.mark.parametrize("before", [rounding, without_gradient])
def test_a_network_that_cannot_be_differentiated_is_refused_in_one_line(before):
    network = linear(np.ones((12, 2), "float32"))
    images = keras.Input((2, 2, 3), name="images")
    odd = keras.Model(images, network(keras.layers.Lambda(before)(images)), name="odd")
    require_input_gradients(network)
    with pytest.raises(ValueError, match=r"^networks: the answer of odd has no gradient for its images, .*") as error:
        require_input_gradients(odd)
    assert "\n" not in str(error.value)


def test_a_network_that_reads_whole_numbers_is_refused():
    whole = reading_own_images(linear(np.ones((12, 2), "float32"), dtype="uint8"), (2, 2, 3))
    with pytest.raises(ValueError, match=r"^networks: the answer of linear has no gradient for its images, "):
        require_input_gradients(whole)
