import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks import convolutions
from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds, fan_out_normal
from tfdistill.networks.layers import (
    BatchNormalization,
    Dropout,
    SubsampledShortcut,
    classify,
    conv,
    image_input,
)

MODES = {"eager": {}, "graph": {"jit_compile": False}, "xla": {"jit_compile": True}}


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(1.5, 2.0, shape).astype("float32")


def _compiled(function, mode):
    return function if mode == "eager" else tf.function(function, **MODES[mode])


def _built(layer, channels, rank=4):
    layer.build((None,) * (rank - 1) + (channels,))
    layer.gamma.assign(np.linspace(0.5, 2.0, channels))
    layer.beta.assign(np.linspace(-1.0, 1.0, channels))
    layer.moving_mean.assign(np.linspace(0.0, 1.0, channels))
    layer.moving_variance.assign(np.linspace(1.0, 3.0, channels))
    return layer


def _forward_and_backward(layer, inputs, weights, training):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
    return outputs, tape.gradient(total, [inputs, layer.gamma.value, layer.beta.value])


def test_batch_norm_defaults_are_pytorchs():
    layer = BatchNormalization()
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (7, 6), (3, 4, 6)])
def test_batch_norm_training_matches_numpy(mode, shape):
    inputs = _random(shape)
    layer = _built(BatchNormalization(), shape[-1], rank=len(shape))
    gamma, beta, old_mean, old_variance = (w.numpy().astype("float64") for w in layer.weights)

    outputs = _compiled(lambda x: layer(x, training=True), mode)(tf.constant(inputs))

    axes = tuple(range(len(shape) - 1))
    mean, variance = inputs.mean(axes, dtype="float64"), inputs.var(axes, dtype="float64")
    unbiased = inputs.var(axes, dtype="float64", ddof=1)
    expected = (inputs - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.9 * old_mean + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 * old_variance + 0.1 * unbiased, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_outputs_and_gradients_match_keras(mode, training):
    inputs, weights = tf.constant(_random((4, 3, 5, 6))), tf.constant(_random((4, 3, 5, 6), seed=1))
    ours = _built(BatchNormalization(), 6)
    keras_own = _built(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5), 6)
    expected, expected_gradients = _forward_and_backward(keras_own, inputs, weights, training)

    run = _compiled(lambda x, w: _forward_and_backward(ours, x, w, training), mode)
    outputs, gradients = run(inputs, weights)

    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-3)
    if not training:
        np.testing.assert_array_equal(ours.moving_mean.numpy(), keras_own.moving_mean.numpy())
        np.testing.assert_array_equal(ours.moving_variance.numpy(), keras_own.moving_variance.numpy())


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_has_second_order_gradients(training):
    """Losses on input gradients (Jacobian matching) differentiate the layer twice."""
    inputs = tf.constant(_random((4, 3, 3, 2)))

    def gradient_of_gradient(layer):
        with tf.GradientTape() as outer, tf.GradientTape() as inner:
            inner.watch(inputs)
            total = tf.reduce_sum(layer(inputs, training=training) ** 3)
            outer_loss = tf.reduce_sum(inner.gradient(total, inputs) ** 2)
        return outer.gradient(outer_loss, layer.gamma.value)

    ours = gradient_of_gradient(_built(BatchNormalization(), 2))
    expected = gradient_of_gradient(_built(keras.layers.BatchNormalization(epsilon=1e-5), 2))
    assert np.abs(expected.numpy()).min() > 1.0
    np.testing.assert_allclose(ours, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("policy", "kernels"), [("mixed_bfloat16", True), ("mixed_bfloat16", False), ("mixed_float16", True)]
)
@pytest.mark.parametrize("mode", MODES)
def test_batch_norm_takes_half_precision_and_keeps_float32_statistics(policy, kernels, mode, monkeypatch):
    monkeypatch.setattr(convolutions, "has_bfloat16_kernels", lambda: kernels)
    inputs = _random((8, 4, 4, 3))
    layer = _built(BatchNormalization(dtype=policy), 3)
    reference = _built(BatchNormalization(), 3)
    expected = reference(inputs, training=True)

    low = tf.cast(inputs, layer.compute_dtype)
    outputs = _compiled(lambda x: layer(x, training=True), mode)(low)

    assert outputs.dtype == layer.compute_dtype
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=0.05)
    np.testing.assert_allclose(layer.moving_variance.numpy(), reference.moving_variance.numpy(), rtol=0.01)


def test_batch_norm_moves_nothing_in_evaluation_or_when_frozen():
    layer = _built(BatchNormalization(), 3)
    before = [weight.numpy() for weight in layer.weights]
    evaluated = layer(_random((4, 2, 2, 3)), training=False)
    layer.trainable = False
    frozen = layer(_random((4, 2, 2, 3)), training=True)
    np.testing.assert_array_equal(evaluated, frozen)
    for old, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


@pytest.mark.parametrize("settings", [{"axis": 1}, {"dtype": "float64"}, {"renorm": True}])
def test_batch_norm_without_a_fused_kernel_is_keras(settings):
    inputs = _random((4, 3, 5, 6)).astype(settings.get("dtype", "float32"))
    ours = BatchNormalization(**settings)
    keras_own = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **settings)
    np.testing.assert_allclose(ours(inputs, training=True), keras_own(inputs, training=True), rtol=1e-5)
    for weight, expected in zip(ours.weights, keras_own.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected.numpy(), rtol=1e-6)


def test_batch_norm_leaves_masked_steps_out():
    inputs = _random((4, 5, 3))
    mask = np.ones((4, 5), bool)
    mask[:, 3:] = False
    layer = BatchNormalization()
    layer(inputs, training=True, mask=tf.constant(mask))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * inputs[:, :3].mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}])
def test_batch_norm_without_scale_or_center(settings):
    inputs = _random((4, 3, 3, 2))
    expected = keras.layers.BatchNormalization(epsilon=1e-5, **settings)(inputs, training=True)
    ours = BatchNormalization(**settings)(inputs, training=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_variables_are_named_ordered_and_tracked_as_keras_own():
    images = keras.Input((4, 4, 3))
    ours = keras.Model(images, BatchNormalization(name="norm")(images)).get_layer("norm")
    theirs = keras.Model(images, keras.layers.BatchNormalization(name="norm")(images)).get_layer("norm")
    assert [(w.path, w.trainable) for w in ours.weights] == [(w.path, w.trainable) for w in theirs.weights]


def test_batch_norm_round_trips_its_config():
    layer = BatchNormalization(momentum=0.8, epsilon=1e-3, scale=False, name="norm")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy, BatchNormalization)
    assert copy.get_config() == layer.get_config()


def test_dropout_is_the_same_with_and_without_xla():
    inputs = tf.ones((64, 100))
    masks = []
    for mode in MODES:
        layer = Dropout(0.3, seed=5)
        run = _compiled(lambda x, layer=layer: layer(x, training=True), mode)
        first, second = run(inputs).numpy(), run(inputs).numpy()
        assert (first != second).any()
        masks.append(first)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
    assert abs((masks[0] == 0).mean() - 0.3) < 0.03
    np.testing.assert_allclose(masks[0][masks[0] > 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(Dropout(0.3)(inputs, training=False), inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 1.0}, "rate must be at least 0"),
        ({"rate": 0.5, "noise_shape": (1, 2)}, "noise_shape must have None or 1 for each axis"),
    ],
)
def test_dropout_refuses_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Dropout(**settings)


@pytest.mark.parametrize("size", [7, 8])
def test_subsampled_shortcut_keeps_every_second_pixel_between_zero_channels(size):
    inputs = _random((2, size, size, 3))
    outputs = SubsampledShortcut(8, 2)(inputs).numpy()
    assert outputs.shape == (2, 4, 4, 8)
    np.testing.assert_array_equal(outputs[..., 2:5], inputs[:, ::2, ::2])
    assert not outputs[..., :2].any() and not outputs[..., 5:].any()


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("strides", [1, 2])
def test_conv_pads_symmetrically(size, strides):
    images = keras.Input((size, size, 2))
    model = keras.Model(images, conv(images, 3, 3, strides=strides, seeds=LayerSeeds(0), name="conv"))
    inputs = _random((1, size, size, 2))
    kernel = model.get_layer("conv").kernel.numpy()

    padded = np.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)])[0]
    steps = range(0, size, strides)
    expected = [[np.einsum("hwc,hwcd->d", padded[i : i + 3, j : j + 3], kernel) for j in steps] for i in steps]

    assert len(model.trainable_variables) == 1
    np.testing.assert_allclose(model(inputs)[0], expected, rtol=1e-4, atol=1e-5)


def test_initial_values_have_the_stated_distributions():
    kernel = keras.ops.convert_to_numpy(fan_out_normal(1)((3, 3, 64, 128)))
    assert abs(kernel.std() / np.sqrt(2 / (9 * 128)) - 1) < 0.01
    assert np.abs(kernel).max() > 3 * kernel.std()  # not truncated at two deviations

    features = keras.Input((2, 2, 64))
    dense = keras.Model(features, classify(features, 100, seeds=LayerSeeds(1))).get_layer("logits")
    for values in (dense.kernel.numpy(), dense.bias.numpy()):
        assert 0.9 / 8 < np.abs(values).max() <= 1 / 8
    zero = keras.Model(features, classify(features, 100, seeds=LayerSeeds(1, ZERO_BIAS)))
    assert not zero.get_layer("logits").bias.numpy().any()


def test_layer_seeds_are_distinct_and_a_function_of_the_seed():
    def first(seed):
        return [next(seeds) for seeds in [LayerSeeds(seed)] for _ in range(200)]

    assert first(0) == first(0)
    assert len({*first(0), *first(1), *first(2)}) == 600
    assert first(None) == [None] * 200


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_layer_seeds_refuse_what_is_no_seed(seed):
    with pytest.raises(ValueError, match=r"^seed must be None or an integer of at least 0"):
        LayerSeeds(seed)


@pytest.mark.parametrize(
    ("image_shape", "classes", "message"),
    [
        ((32, 32), 10, "image_shape must be"),
        ((32, 32, 0), 10, "image_shape must be"),
        ((32.5, 32, 3), 10, "image_shape must be"),
        (32, 10, "image_shape must be"),
        ((3, 32, 3), 10, "image_shape must be at least 4 x 4 pixels, got 3 x 32"),
        ((32, 32, 3), 1, "classes must be an integer of at least 2, got 1"),
        ((32, 32, 3), 2.0, "classes must be"),
    ],
)
def test_image_input_refuses_bad_shapes_and_classes(image_shape, classes, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        image_input(image_shape, classes, smallest=4)
    assert "\n" not in str(error.value)
