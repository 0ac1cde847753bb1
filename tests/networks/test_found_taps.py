"""Taps that are found by what layers give."""

import keras
import pytest

from tfdistill.networks import build, network_from
from tfdistill.networks.found_taps import found_taps
from tfdistill.networks.keras_files import with_taps

CONV = {"padding": "same", "activation": "relu"}


def model(ends):
    """Rescaling, then maps of 8, 4 and 2 pixels with a gate of one pixel beside the way, then `ends`."""
    layers = keras.layers
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Rescaling(2.0, name="scale")(images)
    x = layers.Conv2D(4, 3, name="whole", **CONV)(x)
    x = layers.ZeroPadding2D(1, name="padded")(x)
    x = layers.Conv2D(4, 3, 2, name="half")(x)
    gate = layers.Conv2D(4, 1, name="gate")(layers.GlobalAveragePooling2D(keepdims=True, name="squeezed")(x))
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.Conv2D(6, 3, 2, name="quarter", **CONV)(x)
    return keras.Model(images, ends(x), name="own")


def test_taps_are_the_last_map_of_each_size_what_the_classifier_reads_and_what_comes_out():
    def ends(x):
        x = keras.layers.Dropout(0.1, name="dropped")(keras.layers.GlobalAveragePooling2D(name="pool")(x))
        return keras.layers.Activation("linear", name="out")(keras.layers.Dense(3, name="head")(x))

    own = model(ends)
    assert found_taps(own) == {
        "stage1": "whole",
        "stage2": "gated",
        "stage3": "quarter",
        "features": "quarter",
        "embedding": "dropped",
        "logits": "out",
    }
    shapes = {tap: tensor.shape[1:] for tap, tensor in network_from(own).output.items()}
    assert shapes == {
        "stage1": (8, 8, 4),
        "stage2": (4, 4, 4),
        "stage3": (2, 2, 6),
        "features": (2, 2, 6),
        "embedding": (6,),
        "logits": (3,),
    }


def test_a_gate_of_the_size_of_the_end_does_not_put_the_end_first():
    def ends(x):
        x = keras.layers.Conv2D(4, 2, name="single")(x)
        return keras.layers.Dense(3, name="head")(keras.layers.Flatten()(x))

    found = found_taps(model(ends))
    assert [found[f"stage{number}"] for number in (1, 2, 3, 4)] == ["whole", "gated", "quarter", "single"]


def test_a_network_of_ours_that_lost_its_taps_gets_those_of_its_stages_back():
    network = build("resnet8", classes=4, image_shape=(8, 8, 3), seed=0)
    bare = keras.Model(network.input, network.output["logits"])
    found = network_from(bare).output
    for tap in ("stage1", "stage2", "stage3", "features", "embedding", "logits"):
        assert found[tap].shape == network.output[tap].shape, tap


def test_before_its_relu_a_stage_is_what_the_relu_reads_or_the_normalization_that_reads_the_stage():
    layers = keras.layers

    def conv(x, name, strides=1):
        x = layers.Conv2D(4, 3, strides, "same", name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    images = keras.Input((16, 16, 3), name="images")
    x = layers.ReLU(6.0, name="first_relu")(conv(images, "first"))
    x = keras.ops.relu(layers.Add(name="sum")([conv(x, "second", 2), conv(x, "shortcut", 2)]))
    x = layers.Add(name="raw")([layers.Conv2D(4, 3, 2, "same")(x), layers.AveragePooling2D(2)(x)])
    x = layers.Activation("relu")(layers.BatchNormalization(name="raw_norm")(x))
    x = layers.LeakyReLU(name="leaky")(layers.Conv2D(4, 3, 2, "same", name="fourth")(x))
    x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(images, x)
    found = found_taps(model)
    before = {tap.removesuffix("_preactivation"): layer for tap, layer in found.items() if "_pre" in tap}
    assert before == {"stage1": "first_norm", "stage2": "sum", "stage3": "raw_norm"} and found["stage4"] == "leaky"
    named = with_taps(model, {"stage3": "raw", "stage1": "second_norm", "stage2": "first_relu"}).output
    origins = {tap: one._keras_history.operation.name for tap, one in named.items() if "_pre" in tap}
    assert origins == {"stage2_preactivation": "first_norm", "stage3_preactivation": "raw_norm"}


def test_what_is_not_there_is_no_tap_and_several_outputs_are_refused():
    images = keras.Input((8, 8, 3), name="images")
    dense = keras.layers.Dense(3, name="head")(keras.layers.Flatten(name="flat")(images))
    assert found_taps(keras.Model(images, dense)) == {"embedding": "flat", "logits": "head"}
    with pytest.raises(
        ValueError, match=r"^'two' has 2 outputs, of the layers head, multiply.*; name that of its logits in "
    ):
        found_taps(keras.Model(images, {"one": dense, "other": dense * 2.0}, name="two"))
