"""A folded network answers as the network does in inference, on every tap; in bfloat16 nearly so."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill.networks.answers import mean_of_logits
from tfdistill.networks.folding import FoldedNetwork

DRAW = np.random.default_rng(0)
# Each of the nine layers of a ResNet-8 rounds images or maps, kernel and result, each by a share of 2^-9 at most.
MOST_ROUNDING = 9 * 3 * 2**-9
IMAGES = tf.constant(DRAW.normal(size=(4, 32, 32, 3)), tf.float32)


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def seen(model):
    """The model, with normalizations that have seen some images."""
    for layer in norms(model):
        gamma, beta, mean, variance = (one.shape for one in layer.get_weights())
        drawn = [DRAW.uniform(0.5, 1.5, gamma), DRAW.normal(0, 0.2, beta), DRAW.normal(0, 0.2, mean)]
        layer.set_weights([*drawn, DRAW.uniform(0.5, 1.5, variance)])
    return model


def worst(one, other):
    """The largest difference on any tap, as a share of the tap's largest value."""
    assert list(one) == list(other)
    return max(float(np.max(np.abs(one[tap] - other[tap])) / np.max(np.abs(one[tap]))) for tap in one)


# In a Wide ResNet and a DenseNet most normalizations come before a ReLU and then a convolution.
@pytest.mark.parametrize(("name", "left"), [("resnet8", 0), ("wide_resnet_10_1", 4), ("mobilenet", 0)])
def test_a_folded_network_gives_the_same_taps(name, left):
    network = seen(tfdistill.networks.build(name, classes=5, image_shape=(32, 32, 3), seed=1))
    folded = FoldedNetwork(network).model
    assert len(norms(folded)) == left < max(1, len(norms(network)))
    assert worst(network(IMAGES, training=False), folded(IMAGES, training=False)) < 1e-5
    assert not folded.losses and folded.name == network.name and folded.input_shape == network.input_shape


def layered(*taps):
    """A convolution with bias, a depthwise one with multiplier, a dense layer, each normalized; and chosen taps."""
    images = keras.Input((8, 8, 3), name="images")
    found = {"conv": keras.layers.Conv2D(4, 3, dilation_rate=2)(images)}
    found["norm"] = keras.layers.BatchNormalization(scale=False)(found["conv"])
    found["depth"] = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(keras.ops.relu(found["norm"]))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(center=False)(found["depth"]))
    found["dense"] = keras.layers.Dense(6)(pooled)
    found["logits"] = keras.layers.BatchNormalization(epsilon=0.1)(found["dense"])
    model = keras.Model(images, {tap: found[tap] for tap in (*taps, "logits")})
    for layer in norms(model):
        layer.set_weights([DRAW.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.mark.parametrize(("taps", "left"), [((), 0), (("norm",), 0), (("conv",), 1), (("conv", "depth", "dense"), 3)])
def test_a_layer_whose_own_output_is_a_tap_is_left_as_it_is(taps, left):
    network, images = layered(*taps), IMAGES[:, :8, :8]
    folded = FoldedNetwork(network).model
    assert len(norms(folded)) == left
    assert worst(network(images, training=False), folded(images, training=False)) < 1e-5


def test_what_reads_a_convolution_beside_the_normalization_keeps_it_unfolded():
    images = keras.Input((8, 8, 3), name="images")
    maps = keras.layers.Conv2D(4, 3)(images)
    both = keras.layers.Add()([keras.layers.BatchNormalization()(maps), maps])
    active = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(both))
    network = seen(keras.Model(images, {"logits": keras.layers.GlobalAveragePooling2D()(active)}))
    assert FoldedNetwork(network).model is network, "there is nothing to fold"


def test_weights_that_come_later_are_taken_over_by_refresh_and_the_network_stays_as_it_was():
    network = seen(tfdistill.networks.resnet8(classes=5, image_shape=(32, 32, 3), seed=1))
    before = network.get_weights()
    folded = FoldedNetwork(network)
    folded.model(IMAGES, training=False)
    assert all(np.array_equal(one, other) for one, other in zip(before, network.get_weights(), strict=True))
    seen(network)
    assert worst(network(IMAGES, training=False), folded.model(IMAGES, training=False)) > 1e-3
    folded.refresh()
    assert worst(network(IMAGES, training=False), folded.model(IMAGES, training=False)) < 1e-5


def test_in_bfloat16_taps_are_float32_and_differ_by_rounding_alone():
    network = seen(tfdistill.networks.resnet8(classes=5, image_shape=(32, 32, 3), seed=1))
    folded = FoldedNetwork(network, precision="bfloat16").model
    taps = folded(IMAGES, training=False)
    assert {one.dtype for one in taps.values()} == {tf.float32}
    kernels = {layer.name: layer.kernel.dtype for layer in folded.layers if layer.weights}
    assert kernels.pop("logits") == "float32" and set(kernels.values()) == {"bfloat16"}
    assert 1e-4 < worst(network(IMAGES, training=False), taps) < MOST_ROUNDING


def test_the_members_of_an_ensemble_are_folded_though_their_layers_share_names():
    members = [seen(tfdistill.networks.resnet8(classes=5, seed=seed)) for seed in (1, 2)]
    ensemble = mean_of_logits(members, (32, 32, 3))
    expected, before = ensemble(IMAGES, training=False), [one.get_weights() for one in members]
    folded, lowered = FoldedNetwork(ensemble), FoldedNetwork(ensemble, precision="bfloat16")
    for one in (folded, lowered):
        inner = [layer for layer in one.model.layers if isinstance(layer, keras.Model)]
        assert len(inner) == 2 and not any(map(norms, inner))
    assert worst(expected, folded.model(IMAGES, training=False)) < 1e-5
    assert 1e-4 < worst(expected, lowered.model(IMAGES, training=False)) < MOST_ROUNDING
    for member, weights in zip(members, before, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(weights, member.get_weights(), strict=True))
    seen(members[1])
    folded.refresh()
    assert worst(ensemble(IMAGES, training=False), folded.model(IMAGES, training=False)) < 1e-5
