"""Which layers of a network are computed in bfloat16: those of maps; what cannot be built anew stays and is named."""

import keras
import numpy as np

from tfdistill.networks.folding import FoldedNetwork
from tfdistill.networks.lower_precision import can_lower, in_float32
from tfdistill.networks.own_images import reading_own_images

IMAGES = np.random.default_rng(0).uniform(0, 255, size=(4, 8, 8, 3)).astype("float32")


class WithoutConfiguration(keras.layers.Layer):
    """A convolution that nothing can be built from again, as one around a SavedModel."""

    def __init__(self, held, filters, **settings):
        super().__init__(**settings)
        self.held, self.filters = held, filters

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.filters), name="kernel")

    def call(self, maps):
        return keras.ops.matmul(maps, self.kernel)


def network_of(*layers):
    """Layers one after the other, on images of 8×8 pixels, and their dict of taps."""
    maps = images = keras.Input((8, 8, 3), name="images")
    for layer in layers:
        maps = layer(maps)
    return keras.Model(images, {"logits": maps}, name="made_up")


def precisions(model):
    return {layer.name: layer.compute_dtype for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}


def behind(maps_give_vectors):
    return [maps_give_vectors, keras.layers.Dense(4, name="logits")]


def test_what_brings_images_to_the_networks_own_and_what_reads_vectors_stays_exact():
    inner = network_of(
        keras.layers.Rescaling(1 / 255, name="rescaled"),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.LayerNormalization(name="norm"),
        keras.layers.ReLU(name="relu"),
        *behind(keras.layers.GlobalAveragePooling2D(name="mean")),
    )
    network = reading_own_images(inner, (8, 8, 3), (0.5,), (0.25,))
    folded = FoldedNetwork(network, precision="bfloat16")
    assert (folded.precision, folded.kept) == ("bfloat16", [])
    lowered = {name for name, one in precisions(folded.model).items() if one == "bfloat16"}
    assert lowered == {"conv", "norm", "relu"}
    assert folded.model.get_layer("conv").kernel.dtype == "bfloat16"
    assert folded.model.get_layer("norm").gamma.dtype == "float32", "as in mixed precision"
    assert folded.model.get_layer("own_images") is network.get_layer("own_images")
    taps, own = folded.model(IMAGES), network(IMAGES)
    assert keras.backend.standardize_dtype(taps["logits"].dtype) == "float32"
    # Three layers that round what they read and what they give, and a kernel: 2^-9 each; then a mean, which evens out.
    assert np.max(np.abs(taps["logits"] - own["logits"])) < 7 * 2**-9 * np.max(np.abs(own["logits"]))


def test_a_layer_that_cannot_be_built_anew_is_kept_and_named():
    held = WithoutConfiguration(object(), 4, name="held")
    network = network_of(keras.layers.Conv2D(4, 3, name="conv"), held, *behind(keras.layers.Flatten(name="flat")))
    folded = FoldedNetwork(network, precision="bfloat16")
    assert (folded.precision, folded.kept, folded.model.get_layer("held") is held) == ("bfloat16", ["held"], True)
    own = np.asarray(network(IMAGES)["logits"])
    assert np.max(np.abs(folded.model(IMAGES)["logits"] - own)) < 0.02 * np.max(np.abs(own))


def test_a_network_without_such_layers_stays_what_it_is():
    for layers in (
        [WithoutConfiguration(object(), 4, name="held"), *behind(keras.layers.Flatten())],
        behind(keras.layers.Flatten()),
        [keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16"), *behind(keras.layers.GlobalAveragePooling2D())],
    ):
        network = network_of(*layers)
        folded = FoldedNetwork(network, precision="bfloat16")
        assert not can_lower(network) and folded.precision is None and folded.model is network


def test_a_tap_of_float32_is_given_as_it_is():
    tap = keras.KerasTensor((None, 4), "float32")
    assert in_float32("logits", tap) is tap
