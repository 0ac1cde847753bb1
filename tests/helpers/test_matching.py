"""Two networks' feature maps, brought to one shape."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.helpers.matching import match, transfer_layer
from tfdistill.networks.initialization import LayerSeeds


def call(model, inputs):
    return model(inputs, training=True)


def matched(tiny, learner, source):
    learner, source = tiny.network("learner", **learner), tiny.network("source", **source)
    images = tiny.batch()["images"]
    taps = {network.name: network(images) for network in (learner, source)}
    matching = match(learner, source, seeds=LayerSeeds(0))
    return matching, taps, matching.maps(taps["learner"], taps["source"], call)


def test_maps_of_one_shape_stay_as_they_are(tiny):
    matching, taps, (own, peer) = matched(tiny, {}, {"seed": 1})
    assert (matching.shape, matching.helpers()) == ((4, 4, 4), ())
    assert own is taps["learner"]["features"] and peer is taps["source"]["features"]


def test_the_learners_map_takes_the_sources_channels(tiny):
    matching, taps, (own, peer) = matched(tiny, {"channels": 6}, {"channels": 3})
    (transfer,) = matching.helpers()
    assert transfer.name == "learner_transfer"
    assert own.shape == peer.shape == (6, *matching.shape) == (6, 4, 4, 3)
    assert peer is taps["source"]["features"]


@pytest.mark.parametrize(("larger", "pools"), [("learner", (1, 2)), ("source", (2, 1))])
def test_the_larger_map_is_pooled_to_the_smaller(tiny, larger, pools):
    matching, taps, maps = matched(tiny, {"pooling": pools[0]}, {"pooling": pools[1], "seed": 1})
    assert matching.shape == (2, 2, 4)
    for name, found in zip(("learner", "source"), maps, strict=True):
        np.testing.assert_allclose(found, tiny.mean_pool(taps[name]["features"], 2), atol=1e-6)
        assert (found is taps[name]["features"]) == (name != larger)


def test_a_transfer_layer_is_a_convolution_of_single_pixels_with_norm_and_relu(tiny):
    model = transfer_layer((4, 4, 3), 5, name="transfer", seeds=LayerSeeds(0))
    maps = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32")
    weights = tiny.weights_of(model)
    assert [tuple(one.shape) for one in tiny.trainable(weights)] == [(1, 1, 3, 5), (5,), (5,)]
    expected = tf.cast(maps, tf.float64) @ weights["conv/kernel"][0, 0]
    expected = tf.nn.relu(tiny.batch_norm(weights, "transfer_norm", expected))
    np.testing.assert_allclose(call(model, maps), expected, atol=1e-5)
    assert np.abs(weights["conv/kernel"].numpy()).max() <= 3**-0.5
