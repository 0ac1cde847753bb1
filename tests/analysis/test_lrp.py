"""Relevance: a network worked by hand, a ledger that closes on every family, halves that add up, and refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill.analysis.lrp import lrp
from tfdistill.analysis.relevance.canonical import canonical
from tfdistill.analysis.relevance.composites import Composite

DRAW = np.random.default_rng(0)
RANGE = (-1.0, 1.0)


def two_layers():
    """Pixels 1 and 2; hidden 1 + 1 = 2 and -1 + 2 - 0.5 = 0.5; logits 3 * 2 - 2 * 0.5 + 1 = 6 and 3 * 2 = 6."""
    images = keras.Input((1, 2, 1), name="images")
    hidden = keras.layers.Dense(2, activation="relu", name="hidden")(keras.layers.Flatten()(images))
    network = keras.Model(images, {"logits": keras.layers.Dense(2, name="logits")(hidden)}, name="by_hand")
    network.get_layer("hidden").set_weights([np.array([[1.0, -1.0], [0.5, 1.0]]), np.array([0.0, -0.5])])
    network.get_layer("logits").set_weights([np.array([[3.0, 3.0], [-2.0, 0.0]]), np.array([1.0, 0.0])])
    return network


# The logit 6 gives the hidden units 6 and -1, and its bias 1. Of these, with the weights (1, 0.5) and (-1, 1):
@pytest.mark.parametrize(
    ("composite", "pixels", "biases", "stabilizer"),
    [
        # 6 * (1, 1) / 2 and -1 * (-1, 2) / 0.5; the bias -0.5 gets 1.
        (Composite("epsilon", epsilon=0.0), (3 + 2, 3 - 4), 1 + 1, 0),
        # What rises counts twice: 6 * (2, 2) / 4 and -1 * (-1, 4) / 2.5; the bias gets 0.5 / 2.5.
        (Composite("gamma", epsilon=0.0, gamma=1.0), (3 + 0.4, 3 - 1.6), 1 + 0.2, 0),
        # From 0, or from 4 where the weight falls: 6 * (1, 1) / 2 and -1 * (-1 + 4, 2) / 5.
        (Composite("bounded", epsilon=0.0), (3 - 0.6, 3 - 0.4), 1, 0),
        # 6 * (1, 0.25) / 1.25 and -1 * (1, 1) / 2.
        (Composite("squared_weights", epsilon=0.0), (4.8 - 0.5, 1.2 - 0.5), 1, 0),
        # Both logits are 6, and half of their root mean square is 3: 6 / 9 of all that the logit gives.
        (Composite("bounded", epsilon=0.5), (2 - 0.4, 2 - 0.8 / 3), 2 / 3, 2),
    ],
    ids=["epsilon", "gamma", "bounded", "squared weights", "stabilized"],
)
def test_a_network_of_two_layers_worked_by_hand(composite, pixels, biases, stabilizer):
    images = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    found = lrp(two_layers(), images, 0, composite=composite, pixel_range=(0.0, 4.0))
    np.testing.assert_allclose(found.maps, [[pixels]], rtol=1e-6)
    np.testing.assert_allclose([found.biases[0], found.stabilizer[0]], [biases, stabilizer], rtol=1e-6, atol=1e-7)
    assert found.explained.scores == found.totals + found.biases + found.stabilizer + found.error == 6.0


def drawn(network, *, constants):
    """The network with normalizations that have seen images; without `constants` no layer adds any."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            offsets = [DRAW.normal(0.0, 0.2, shape) * constants for _ in range(2)]
            layer.set_weights([DRAW.uniform(0.5, 1.5, shape), *offsets, DRAW.uniform(0.5, 1.5, shape)])
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(DRAW.normal(0.0, 0.2, layer.bias.shape) * constants)
    return network


FAMILIES = [
    ("resnet8", 8),
    ("resnet8_a", 8),
    ("resnet8_b", 8),
    ("resnet8_a_ie_kd", 8),
    ("resnet8_one", 8),
    ("resnet11_bottleneck", 8),
    ("resnet11_preactivation", 8),
    ("wide_resnet_10_1", 8),
    ("wide_resnet_10_1_dropout_dcm", 8),
    ("densenet_7_4", 8),
    ("vgg11", 32),
    ("vgg11_bn", 32),
    ("mobilenet", 32),
    ("mobilenet_dcm", 32),
    ("mobilenet_v2", 32),
    ("imagenet_resnet18", 32),
    ("keras_mobilenet_v3_small", 32),
    ("keras_xception", 71),
]


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_relevance_is_conserved_on_every_family_and_what_constants_and_epsilon_absorb_is_accounted_for(name, size):
    network = tfdistill.networks.build(name, classes=5, image_shape=(size, size, 3), seed=1)
    images = DRAW.uniform(*RANGE, (2, size, size, 3))
    plain = lrp(drawn(network, constants=0.0), images, [0, 3], composite=Composite(epsilon=0.0), pixel_range=RANGE)
    np.testing.assert_allclose(plain.totals, plain.explained.scores, rtol=2e-4)
    assert not plain.biases.any() and not plain.stabilizer.any()

    whole = lrp(drawn(network, constants=1.0), images, [0, 3], pixel_range=RANGE)
    assert np.abs(whole.biases).min() > 1e-3 and np.abs(whole.stabilizer).min() > 1e-4
    assert np.abs(whole.error).max() < 2e-5 * max(1.0, np.abs(whole.biases).max())
    logits = network(tf.constant(images, tf.float32), training=False)["logits"].numpy()
    np.testing.assert_allclose(whole.explained.scores, logits[[0, 1], [0, 3]], rtol=1e-4, atol=1e-5)


def test_the_halves_of_the_last_map_add_up_to_the_whole_and_an_image_does_not_know_its_neighbours():
    network = drawn(tfdistill.networks.resnet8(classes=5, image_shape=(8, 8, 3), seed=1), constants=1.0)
    images = DRAW.uniform(*RANGE, (3, 8, 8, 3))
    order = DRAW.permutation(64)

    def of(channels, **settings):
        composite = Composite(epsilon=0.0)
        return lrp(network, images, "predicted", composite=composite, pixel_range=RANGE, channels=channels, **settings)

    whole, inherited, explored = of(None), of(order[:20]), of(order[20:])
    np.testing.assert_allclose(inherited.maps + explored.maps, whole.maps, atol=1e-5)
    assert np.abs(inherited.maps).max() > 1e-4 and np.abs(explored.maps).max() > 1e-4
    # What each leaves out is what the other hands down: together the logit without the classifier's bias.
    bias = network.get_layer("logits").bias.numpy()[whole.explained.predicted]
    np.testing.assert_allclose(inherited.removed + explored.removed, whole.explained.scores - bias, rtol=1e-5)
    assert np.abs(inherited.error).max() < 1e-5 and not whole.removed.any()
    np.testing.assert_allclose(of(None, batch_size=1).maps, whole.maps, atol=1e-5)


def test_a_gate_is_a_weight_of_its_signal_and_a_separable_convolution_two_linear_layers():
    """The same network twice: with a gate and a separable convolution, and with what both are for one image."""
    keras.utils.set_random_seed(0)
    image = DRAW.uniform(*RANGE, (1, 4, 4, 3))
    images = keras.Input((4, 4, 3), name="images")
    signal = keras.layers.Conv2D(4, 3, activation="relu", name="signal")(images)
    gate = keras.layers.Dense(4, activation="sigmoid")(keras.layers.GlobalAveragePooling2D(keepdims=True)(signal))
    separable = keras.layers.SeparableConv2D(5, 2, activation="relu", name="separable")
    pooled = keras.layers.Flatten()(separable(keras.layers.Multiply()([gate, signal])))
    gated = drawn(keras.Model(images, {"logits": keras.layers.Dense(3, name="logits")(pooled)}), constants=1.0)

    weigh = keras.layers.DepthwiseConv2D(1, use_bias=False, name="weigh")
    turn = [keras.layers.DepthwiseConv2D(2, use_bias=False, name="one"), keras.layers.Conv2D(5, 1, name="two")]
    maps = weigh(gated.get_layer("signal").output)
    for one in turn:
        maps = one(maps)
    logits = gated.get_layer("logits")(keras.layers.Flatten()(keras.layers.ReLU()(maps)))
    plain = keras.Model(gated.input, {"logits": logits})
    weigh.set_weights([keras.Model(images, gate)(image).numpy().reshape(1, 1, 4, 1)])
    kernel, *others = separable.get_weights()
    turn[0].set_weights([kernel])
    turn[1].set_weights(others)

    composite = Composite(lower=0.0, epsilon=0.0)
    found, expected = (lrp(one, image, 1, composite=composite, pixel_range=RANGE) for one in (gated, plain))
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.biases, expected.biases, rtol=1e-5)
    assert np.abs(found.maps).max() > 1e-3 and abs(found.error[0]) < 1e-5


def of_many_layers():
    """Layers that the zoo does not have, in mixed precision, on pixels of 0..255."""
    images = keras.Input((8, 8, 3), name="images")
    maps = keras.layers.BatchNormalization()(keras.layers.Rescaling(1 / 127.5, -1.0)(images))
    maps = keras.layers.Conv2D(4, 3, activation="relu", dtype="mixed_bfloat16")(keras.layers.ZeroPadding2D()(maps))
    wide = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu")(maps)
    both = keras.layers.MaxPooling2D()(keras.ops.relu(keras.layers.Concatenate()([maps, wide]) + 1.0))
    both = keras.layers.Average()([both, keras.layers.UpSampling2D()(keras.layers.AveragePooling2D(2)(both))])
    pooled = keras.layers.Dropout(0.5)(keras.layers.Flatten()(keras.layers.Conv2DTranspose(2, 2, 2)(both)))
    return keras.Model(images, {"logits": keras.layers.Dense(3)(pooled)}, name="many")


def test_networks_of_other_layers_are_explained_on_the_pixels_that_they_read():
    network, images = drawn(of_many_layers(), constants=1.0), DRAW.integers(0, 256, (2, 8, 8, 3))
    found = lrp(network, images, 1, pixel_range=(0.0, 255.0))
    assert np.abs(found.error).max() < 1e-5 * np.abs(found.biases).max()
    answers = network(tf.constant(images, tf.float32), training=False)["logits"].numpy()
    np.testing.assert_allclose(found.explained.scores, answers[:, 1], rtol=0.02)  # bfloat16 has 8 bits
    assert canonical(network, ["logits"]).dtype_policy.name == "float32"


def broken(network):
    network.get_layer("logits").bias.assign([np.nan, 0.0])
    return network


def gated():
    images = keras.Input((1, 2, 1), name="images")
    gate = keras.layers.Multiply(name="gate")([images, keras.layers.Conv2D(1, 1)(images)])
    return keras.Model(images, {"logits": keras.layers.Dense(2)(keras.layers.Flatten()(gate))}, name="gated")


@pytest.mark.parametrize(
    ("network", "settings", "said"),
    [
        (gated, {}, "network: there is no rule for its layer 'gate', Multiply; there are rules for"),
        (lambda: broken(two_layers()), {}, "network: by_hand gives logits that are no numbers"),
        (two_layers, {"composite": "alpha_beta"}, "composite: 'alpha_beta' is none of epsilon_gamma_bounded"),
        (two_layers, {"pixel_range": None}, "pixel_range: the bounded rule needs"),
        (two_layers, {"pixel_range": (1.0, 0.0)}, "pixel_range: must be the least and the largest"),
        (two_layers, {"classes": 2}, "classes: must be in 0..1, which the network tells apart, not 2"),
        (two_layers, {"classes": "label"}, "classes: must be 'predicted', or classes in 0..1"),
        (two_layers, {"classes": [0, 1]}, "classes: must be an integer for each of 1 images"),
        (two_layers, {"channels": [0]}, "networks: by_hand has no tap 'features'; it has logits"),
        (two_layers, {"images": np.zeros((1, 2, 1))}, "images: must be"),
        (two_layers, {"images": np.zeros((0, 1, 2, 1))}, "images: must be"),
        (two_layers, {"images": np.full((1, 1, 2, 1), np.inf)}, "images: hold values that are no numbers"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(network, settings, said):
    given = {"images": np.ones((1, 1, 2, 1)), "classes": 0, "pixel_range": RANGE} | settings
    with pytest.raises(ValueError, match="^" + said.replace("(", r"\(")) as error:
        lrp(network(), given.pop("images"), given.pop("classes"), **given)
    assert "\n" not in str(error.value)
