"""The models that take a learner's features to where its source's are, against NumPy float64."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill.helpers.connectors import gaussian_regressor, linear_embedding
from tfdistill.networks.initialization import LayerSeeds


def test_a_gaussian_regressor_is_three_convolutions_of_single_pixels_and_a_variance_per_channel():
    model = gaussian_regressor((2, 2, 3), 5, name="regressor", seeds=LayerSeeds(0))
    weights = {one.path: one.numpy().astype("float64") for one in model.trainable_variables}
    assert [one.shape for one in weights.values()] == [(1, 1, 3, 5), (1, 1, 5, 5), (1, 1, 5, 5), (5,)]
    *kernels, raw = weights.values()
    maps = np.random.default_rng(0).normal(size=(4, 2, 2, 3))
    mean = np.maximum(np.maximum(maps @ kernels[0][0, 0], 0) @ kernels[1][0, 0], 0) @ kernels[2][0, 0]
    found = model(maps.astype("float32"), training=True)
    np.testing.assert_allclose(found["mean"], mean, atol=1e-6)
    np.testing.assert_allclose(found["variance"], 5.0, rtol=1e-6)
    model.trainable_variables[-1].assign([-3.0, 0.0, 1.0, 2.0, 30.0])
    expected = np.log1p(np.exp([-3.0, 0.0, 1.0, 2.0, 30.0])) + 1e-5
    np.testing.assert_allclose(model(maps.astype("float32"))["variance"], expected, rtol=1e-6)
    assert np.abs(kernels[0]).max() <= 3**-0.5 and raw.std() == 0


def test_the_variance_is_float32_beside_a_mean_in_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = gaussian_regressor((1, 1, 3), 2, name="regressor", seeds=LayerSeeds(0))
        found = model(tf.zeros((2, 1, 1, 3)))
    finally:
        keras.config.set_dtype_policy(before)
    assert (found["mean"].dtype, found["variance"].dtype) == (tf.bfloat16, tf.float32)
    np.testing.assert_allclose(found["variance"], 5.0, rtol=1e-6)


def test_a_linear_embedding_reads_flattened_features_and_starts_as_pytorchs():
    model = linear_embedding((2, 2, 4), 6, name="embedding", seeds=LayerSeeds(0))
    kernel, bias = (one.numpy().astype("float64") for one in model.trainable_variables)
    maps = np.random.default_rng(0).normal(size=(3, 2, 2, 4))
    np.testing.assert_allclose(model(maps.astype("float32")), maps.reshape(3, 16) @ kernel + bias, atol=1e-6)
    assert 0.2 < np.abs(kernel).max() <= 0.25 and 0 < np.abs(bias).max() <= 0.25
