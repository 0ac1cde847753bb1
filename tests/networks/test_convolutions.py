import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks import convolutions
from tfdistill.networks.convolutions import Conv2D, DepthwiseConv2D

DEPTHWISE = {"padding": "same", "depthwise_initializer": keras.initializers.RandomNormal(seed=1)}
FULL = {"filters": 5, "padding": "same", "kernel_initializer": keras.initializers.RandomNormal(seed=1)}


@pytest.fixture
def kernels(request, monkeypatch):
    monkeypatch.setattr(convolutions, "has_bfloat16_kernels", lambda: request.param)
    return request.param


def maps(dtype):
    return tf.cast(np.random.default_rng(0).normal(size=(2, 6, 6, 4)), dtype)


def outputs_and_gradients(layer, inputs):
    """The outputs, and gradients of the sum of their squares by inputs and kernel, traced as in training."""

    @tf.function(autograph=False)
    def run(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(tf.square(tf.cast(outputs, tf.float32)))
        return outputs, *tape.gradient(loss, [inputs, layer.trainable_variables[0].value])

    layer.build(inputs.shape)
    return run(inputs)


@pytest.mark.parametrize("kernels", [False], indirect=True)
@pytest.mark.parametrize(("ours", "settings"), [(Conv2D, FULL), (DepthwiseConv2D, DEPTHWISE)])
def test_without_kernels_for_bfloat16_products_are_float32_of_rounded_factors(kernels, ours, settings):
    layer = ours(kernel_size=3, dtype="mixed_bfloat16", **settings)
    outputs, *gradients = outputs_and_gradients(layer, maps(tf.bfloat16))
    plain = getattr(keras.layers, ours.__name__)(kernel_size=3, **settings)
    plain.build((2, 6, 6, 4))
    kernel = plain.trainable_variables[0]
    kernel.assign(tf.cast(tf.cast(kernel.value, tf.bfloat16), tf.float32))
    expected = plain(tf.cast(maps(tf.bfloat16), tf.float32))
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_array_equal(outputs, tf.cast(expected, tf.bfloat16))
    assert [gradient.dtype for gradient in gradients] == [tf.bfloat16, tf.float32]


@pytest.mark.parametrize("kernels", [False, True], indirect=True)
@pytest.mark.parametrize(("ours", "settings"), [(Conv2D, FULL), (DepthwiseConv2D, DEPTHWISE)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_agrees_with_keras(kernels, ours, settings, policy):
    dtype = tf.float32 if policy == "float32" else tf.bfloat16
    mine = outputs_and_gradients(ours(kernel_size=3, dtype=policy, **settings), maps(dtype))
    keras_own = getattr(keras.layers, ours.__name__)(kernel_size=3, dtype=policy, **settings)
    for value, expected in zip(mine, outputs_and_gradients(keras_own, maps(dtype)), strict=True):
        assert value.dtype == expected.dtype
        scale = np.abs(tf.cast(expected, tf.float32)).max()
        np.testing.assert_allclose(
            tf.cast(value, tf.float32) / scale,
            tf.cast(expected, tf.float32) / scale,
            atol=2e-2 if dtype != tf.float32 else 1e-6,
        )


def test_bias_and_activation_of_conv2d_stay(monkeypatch):
    monkeypatch.setattr(convolutions, "has_bfloat16_kernels", lambda: False)
    layer = Conv2D(3, 1, activation="relu", bias_initializer=keras.initializers.Constant(-100), dtype="mixed_bfloat16")
    assert not np.any(layer(maps(tf.bfloat16)))


@pytest.mark.parametrize("asked", [{"use_bias": True}, {"activation": "relu"}])
def test_depthwise_refuses_what_it_would_leave_out(asked):
    with pytest.raises(ValueError, match="neither bias nor activation"):
        DepthwiseConv2D(3, **asked)


@pytest.mark.parametrize("layer", [Conv2D(3, 3, name="one"), DepthwiseConv2D(3, strides=2, name="other")])
def test_comes_back_from_its_configuration(layer):
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(back) is type(layer) and back.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("machine", "flags", "found"),
    [
        ("x86_64", "fma avx avx2 bmi2", False),
        ("x86_64", "avx2 avx512f avx512dq", True),
        ("x86_64", "avx2 avx_ne_convert", True),
        ("aarch64", "asimd", True),
    ],
)
def test_what_a_processor_is_known_by(monkeypatch, tmp_path, machine, flags, found):
    information = tmp_path / "cpuinfo"
    information.write_text(f"processor : 0\nflags : fpu {flags} rdseed\n")
    monkeypatch.setattr(convolutions, "CPU_INFORMATION", information)
    monkeypatch.setattr(convolutions.platform, "machine", lambda: machine)
    assert convolutions.has_bfloat16_kernels.__wrapped__() is found


def test_where_nothing_tells_there_are_kernels(monkeypatch, tmp_path):
    monkeypatch.setattr(convolutions, "CPU_INFORMATION", tmp_path / "absent")
    assert convolutions.has_bfloat16_kernels.__wrapped__() is True


def test_where_there_is_a_gpu_there_are_kernels(monkeypatch, tmp_path):
    information = tmp_path / "cpuinfo"
    information.write_text("flags : avx2\n")
    monkeypatch.setattr(convolutions, "CPU_INFORMATION", information)
    monkeypatch.setattr(convolutions.tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert convolutions.has_bfloat16_kernels.__wrapped__() is True
