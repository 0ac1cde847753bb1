"""Images as a network was trained on them, made inside its graph of images that others read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks.own_images import OwnImages, described, normalized_otherwise, reading_own_images, resizing

PIXELS = np.random.default_rng(0).integers(0, 256, size=(2, 8, 8, 3)).astype("float32")
GIVEN = ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.mark.parametrize(("before", "after"), [(8, 20), (20, 8), (32, 7), (5, 5), (1, 4), (4, 1)])
def test_resizing_is_tensorflows_bilinear_with_antialiasing(before, after):
    images = np.random.default_rng(1).normal(size=(1, before, 3, 2)).astype("float32")
    theirs = tf.image.resize(images, (after, 3), antialias=True).numpy()
    np.testing.assert_allclose(np.einsum("hi,bijc->bhjc", resizing(before, after), images), theirs, atol=1e-5)


def test_a_network_gets_the_values_and_the_size_that_it_was_trained_on(tiny_network):
    network = tiny_network("own", seed=1)
    own = ((0.1,), (0.5,))
    shown = np.kron(PIXELS, np.ones((1, 2, 2, 1), "float32"))  # four pixels each
    scale, offset = normalized_otherwise(GIVEN, own)
    adapted = reading_own_images(network, (16, 16, 3), scale, offset)
    found = adapted((shown / 255 - GIVEN[0]) / GIVEN[1])
    expected = network((tf.image.resize(shown, (8, 8), antialias=True) / 255 - 0.1) / 0.5)
    assert adapted.name == "own" and list(found) == list(expected)
    assert described(adapted) == "on images of 8×8 normalized for it" and not described(network)
    assert [id(one) for one in adapted.variables] == [id(one) for one in network.variables]
    for tap, value in expected.items():
        np.testing.assert_allclose(found[tap], value, atol=1e-5, err_msg=tap)


def test_nothing_stands_before_a_network_that_reads_these_images(tiny_network):
    network = tiny_network("own", seed=1)
    scale, offset = normalized_otherwise(GIVEN, GIVEN)
    assert reading_own_images(network, (8, 8, 3), scale, offset) is network
    with pytest.raises(ValueError, match=r"^own reads images of 3 channels, not 2$"):
        reading_own_images(network, (8, 8, 2))


def test_a_network_of_colours_gets_a_grey_image_three_times(tiny_network):
    network = tiny_network("own", seed=1)
    grey, own = PIXELS[..., :1] / 255, ((0.1, 0.2, 0.3), (0.5, 0.5, 0.4))
    for normalization in (own, ((0.4,), (0.2,))):
        adapted = reading_own_images(network, (8, 8, 1), *normalized_otherwise(((0.4,), (0.2,)), normalization))
        expected = network((np.repeat(grey, 3, axis=-1) - normalization[0]) / normalization[1])["logits"]
        np.testing.assert_allclose(adapted((grey - 0.4) / 0.2)["logits"], expected, atol=1e-5)
    assert described(adapted) == "on images in 3 channels"


def test_channels_are_reversed_after_the_normalization():
    layer = OwnImages((1.0, 2.0, 3.0), (0.0, 0.0, 1.0), reverse_channels=True)
    np.testing.assert_array_equal(layer(np.ones((1, 1, 1, 3), "float32"))[0, 0, 0], [4.0, 2.0, 1.0])


def test_a_network_of_integers_gets_the_pixels_back_to_the_last_bit():
    images = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    taken = keras.Model(images, {"logits": keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))}, name="raw")
    adapted = reading_own_images(taken, (8, 8, 3), *normalized_otherwise(GIVEN, ((0.0,), (1 / 255,))))
    normalized = ((PIXELS / 255 - GIVEN[0]) / GIVEN[1]).astype("float32")
    np.testing.assert_array_equal(adapted(normalized)["logits"], PIXELS.reshape(2, -1))


def test_it_is_saved_with_the_network(tiny_network, tmp_path):
    adapted = reading_own_images(tiny_network("own", seed=1), (16, 16, 3), (2.0,), (0.5,))
    adapted.save(tmp_path / "adapted.keras")
    images = np.random.default_rng(2).normal(size=(2, 16, 16, 3)).astype("float32")
    again = keras.saving.load_model(tmp_path / "adapted.keras")
    np.testing.assert_array_equal(again(images)["logits"], adapted(images)["logits"])
