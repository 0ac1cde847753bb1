"""Grad-CAM against a closed form, and against tf-keras-vis where that is installed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.analysis.grad_cam import grad_cam

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(5, 8, 8, 3)).astype(np.float32)
CLASSES = [0, 1, 2, 3, 1]


def brought_to_one(maps):
    least, most = (reduce(maps, axis=(1, 2), keepdims=True) for reduce in (np.min, np.max))
    return (maps - least) / (most - least)


def test_before_an_average_and_a_linear_layer_the_weights_are_the_classifiers_over_the_number_of_positions(
    tiny_network,
):
    network = tiny_network("net", seed=1)
    found = grad_cam(network, IMAGES, CLASSES)
    taps = network(IMAGES, training=False)
    maps, kernel = taps["features"].numpy(), network.get_layer("logits").kernel.numpy()
    expected = np.maximum(np.einsum("bhwc,cb->bhw", maps, kernel[:, CLASSES]) / maps[0, :, :, 0].size, 0.0)
    np.testing.assert_allclose(found.peaks, expected.max(axis=(1, 2)), rtol=1e-5)
    larger = tf.image.resize(expected[..., None], (8, 8))[..., 0].numpy()
    np.testing.assert_allclose(found.maps, brought_to_one(larger), atol=1e-5)
    shares = tf.nn.softmax(taps["logits"]).numpy()
    np.testing.assert_allclose(found.explained.probabilities, shares[range(5), CLASSES], rtol=1e-5)
    assert found.explained.predicted.tolist() == shares.argmax(axis=1).tolist()
    np.testing.assert_allclose(grad_cam(network, IMAGES, CLASSES, batch_size=2).maps, found.maps, atol=1e-6)
    of_any_size = grad_cam(tiny_network("net", seed=1, size=None), IMAGES, CLASSES)
    np.testing.assert_allclose(of_any_size.maps, found.maps, atol=1e-6)


def test_tf_keras_vis_finds_the_same_at_every_map(tiny_network):
    vis = pytest.importorskip("tf_keras_vis.gradcam", reason="tf-keras-vis is of the extra 'oracle'")
    from tf_keras_vis.utils.scores import CategoricalScore

    network = tiny_network("net", seed=1)
    theirs = vis.Gradcam(keras.Model(network.input, network.output["logits"]), clone=False)
    for tap, layer in (("features", "relu1"), ("stage1", "relu0")):
        settings = {"penultimate_layer": layer, "seek_penultimate_conv_layer": False}
        expected = theirs(CategoricalScore(CLASSES), IMAGES, expand_cam=False, normalize_cam=False, **settings)
        found = grad_cam(network, IMAGES, CLASSES, tap=tap)
        np.testing.assert_allclose(found.peaks, np.max(expected, axis=(1, 2)), rtol=1e-5)
        larger = tf.image.resize(np.asarray(expected)[..., None], (8, 8))[..., 0].numpy()
        np.testing.assert_allclose(found.maps, brought_to_one(larger), atol=1e-5)


def test_a_map_that_logits_also_pass_by_and_one_that_says_nothing():
    images = keras.Input((4, 4, 1), name="images")
    maps = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="maps")(images)
    beside = keras.layers.Add()([maps, images])
    logits = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(beside))
    network = keras.Model(images, {"features": maps, "logits": logits})
    network.get_layer("logits").set_weights([np.array([[16.0, -16.0]]), np.zeros(2)])
    ramp = np.arange(16.0).reshape(1, 4, 4, 1)
    found = grad_cam(network, np.concatenate([ramp, ramp]), [0, 1])
    np.testing.assert_allclose(found.maps[0], ramp[0, :, :, 0] / 15, rtol=1e-6)
    assert found.peaks.tolist() == [15.0, 0.0] and not found.maps[1].any()


@pytest.mark.parametrize(
    ("tap", "said"),
    [
        ("stage9", "networks: net has no tap 'stage9'; it has stage1, stage2, features, embedding, logits"),
        ("embedding", "tap: 'embedding' of net must be .batch, height, width, channels., not .None, 8."),
        ("aside", "tap: the logits of net do not depend on 'aside'; give another"),
    ],
)
def test_what_is_no_map_of_the_network_is_refused(tiny_network, tap, said):
    network = tiny_network("net", seed=1)
    aside = keras.layers.Conv2D(2, 1)(network.output["stage1"])
    more = keras.Model(network.input, {**network.output, "aside": aside}, name="net")
    with pytest.raises(ValueError, match=said):
        grad_cam(network if tap == "stage9" else more, IMAGES, 0, tap=tap)
