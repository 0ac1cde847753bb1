"""What relevance does at each class of layer: the table that says which networks can be explained."""

from __future__ import annotations

from typing import Any, Literal

import keras

from tfdistill.bounds import ArgumentError
from tfdistill.networks import answers, layers, own_images

# stays: each value's relevance is its own before the layer too.
# moves: values change their places, are copied, dropped, or the largest wins; relevance goes back along the same ways.
# shares: each output is a sum of inputs, which share its relevance as they share the sum.
# shifts: as `shares`, of a layer that adds a constant besides; the constant's share is absorbed.
# weighs: as `shifts`, by a kernel, which rules may change.
# gates: a product of maps, all but one of which are gates. A gate is a weight: the signal takes all relevance.
# normalizes: as `shifts`, where the deviation that the layer divides by is held.
# brings: the images are brought to other numbers; relevance goes by weights alone, as 0 means nothing there.
Kind = Literal["stays", "moves", "shares", "shifts", "weighs", "gates", "normalizes", "brings"]

_KERAS = keras.layers
KINDS: dict[type, Kind] = {
    _KERAS.ReLU: "stays",
    _KERAS.LeakyReLU: "stays",
    _KERAS.PReLU: "stays",
    _KERAS.ELU: "stays",
    _KERAS.Activation: "stays",
    _KERAS.Identity: "stays",
    _KERAS.Dropout: "stays",
    _KERAS.SpatialDropout2D: "stays",
    _KERAS.GaussianNoise: "stays",
    _KERAS.GaussianDropout: "stays",
    _KERAS.ActivityRegularization: "stays",
    _KERAS.Flatten: "moves",
    _KERAS.Reshape: "moves",
    _KERAS.Permute: "moves",
    _KERAS.Concatenate: "moves",
    _KERAS.ZeroPadding2D: "moves",
    _KERAS.Cropping2D: "moves",
    _KERAS.MaxPooling2D: "moves",
    _KERAS.GlobalMaxPooling2D: "moves",
    layers.SubsampledShortcut: "moves",
    answers.ChosenClasses: "moves",
    answers.TwoLogits: "moves",
    _KERAS.Add: "shares",
    _KERAS.Average: "shares",
    _KERAS.AveragePooling2D: "shares",
    _KERAS.GlobalAveragePooling2D: "shares",
    _KERAS.UpSampling2D: "shares",
    _KERAS.BatchNormalization: "shifts",
    _KERAS.Conv2D: "weighs",
    _KERAS.Conv2DTranspose: "weighs",
    _KERAS.DepthwiseConv2D: "weighs",
    _KERAS.SeparableConv2D: "weighs",  # two layers, see `canonical`
    _KERAS.Dense: "weighs",
    _KERAS.Multiply: "gates",
    _KERAS.LayerNormalization: "normalizes",
    _KERAS.Rescaling: "brings",
    _KERAS.Normalization: "brings",
    _KERAS.Resizing: "brings",
    own_images.OwnImages: "brings",
}
# Layers that Keras does not export: those of InceptionResNetV2, a + b * scale, and of ConvNeXt, a * scale.
UNEXPORTED: dict[str, Kind] = {"CustomScaleLayer": "shares", "LayerScale": "shares"}
# Functions of `keras.ops`, and operators such as `+`, which are no layers.
FUNCTIONS: dict[str, Kind] = {
    "Relu": "stays",
    "Relu6": "stays",
    "LeakyRelu": "stays",
    "Add": "shifts",  # of two maps, or of a map and a number
    "Concatenate": "moves",
    "Multiply": "gates",
}
# Those that keep 0 at 0, so that no relevance falls on what says nothing.
ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "swish", "hard_silu", "mish"),
    *("tanh", "hard_tanh", "softsign"),
)

RULED = (
    "there are rules for convolutions, dense layers, normalization, pooling, sums, concatenations, ReLU's kind, and "
    "products with gates that end in a sigmoid"
)


def kind_of(operation: Any) -> Kind:
    """What relevance does at a layer.

    Raises:
        ArgumentError: there is no rule for it.
    """
    found = next((KINDS[one] for one in type(operation).__mro__ if one in KINDS), None)
    if not isinstance(operation, keras.Layer):
        found = FUNCTIONS.get(type(operation).__name__)
    elif type(operation).__module__.startswith("keras."):
        found = found or UNEXPORTED.get(type(operation).__name__)
    if found is None or not _is_plain(operation):
        raise without_rule(operation)
    return found


def without_rule(operation: Any) -> ArgumentError:
    """What is said of a layer that there is no rule for."""
    said = f"there is no rule for its layer {operation.name!r}, {_described(operation)}"
    return ArgumentError("network", f"{said}; {RULED}")


def _is_plain(operation: Any) -> bool:
    if getattr(operation, "rms_scaling", False):
        return False  # of a layer normalization
    activation = getattr(operation, "activation", keras.activations.linear)
    return getattr(activation, "__name__", "") in ACTIVATIONS and not getattr(operation, "lora_rank", None)


def _described(operation: Any) -> str:
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    return type(operation).__name__ + (f" of {activation}" if activation not in ("", "linear") else "")
