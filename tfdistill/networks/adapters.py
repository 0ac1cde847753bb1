"""Any functional Keras model as a network: name its taps."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import keras

TAP_RANKS = {"features": 4, "embedding": 2, "logits": 2}


def network_from(model: keras.Model, taps: Mapping[str, str], *, name: str | None = None) -> keras.Model:
    """Makes a network of a functional model: the same layers and weights, with named taps as outputs.

    Nothing is cloned: training the network trains the model. Logits of lower precision come out cast to
    float32. A model whose input has another name than "images" becomes one layer of the network behind an
    input of that name.

    Example:
        backbone = keras.applications.ResNet50(weights=None, classes=100, classifier_activation=None)
        network = network_from(backbone, {"stage4": "conv5_block3_out", "logits": "predictions"})

    Args:
        model: a functional `keras.Model` (or a built Sequential) with one input, [batch, height, width,
            channels].
        taps: from the name of a tap to the name of the layer whose output it is. "logits" is required;
            "features" must be a map [batch, height, width, channels], "embedding" and "logits" [batch, size].
        name: the network's name, the model's by default.

    Returns:
        a `keras.Model` from images to the dict of taps, in the order given.

    Raises:
        ValueError: the model has no layer of that name, the tap has the wrong rank, "logits" is missing or
            behind a softmax, or the model is not functional with a single image input.
    """
    images = _single_image_input(model)
    if "logits" not in taps:
        raise ValueError(f'taps must name the layer of "logits", got {sorted(taps)}')
    outputs = {tap: _layer_output(model, tap, layer) for tap, layer in taps.items()}
    if outputs["logits"].dtype != "float32":
        to_float32 = keras.layers.Activation("linear", dtype="float32", name="logits_float32")
        outputs["logits"] = to_float32(outputs["logits"])
    network_name = name or model.name
    if images.name == "images":
        return keras.Model(images, outputs, name=network_name)
    inner = keras.Model(images, outputs, name=f"{network_name}_taps")
    images = keras.Input(images.shape[1:], name="images")
    return keras.Model(images, inner(images), name=network_name)


def _single_image_input(model: keras.Model) -> keras.KerasTensor:
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or not getattr(model, "outputs", None):
        raise ValueError(
            f"model {model.name!r} must be functional with one input [batch, height, width, channels], "
            f"got inputs of shapes {[tuple(one.shape) for one in inputs]}"
        )
    return inputs[0]


def _layer_output(model: keras.Model, tap: str, layer_name: str) -> keras.KerasTensor:
    layers = {layer.name: layer for layer in model.layers}
    if layer_name not in layers:
        nearest = difflib.get_close_matches(layer_name, layers, n=1, cutoff=0.0)[0]
        raise ValueError(f"taps[{tap!r}]: {model.name!r} has no layer {layer_name!r}; nearest: {nearest!r}")
    layer = layers[layer_name]
    # Keras has no public count of a layer's calls, and `output` would be the first call's without a word.
    output = layer.output if len(layer._inbound_nodes) == 1 else None
    if not isinstance(output, keras.KerasTensor):
        raise ValueError(f"taps[{tap!r}]: layer {layer_name!r} must be called once and give one tensor")
    if tap in TAP_RANKS and len(output.shape) != TAP_RANKS[tap]:
        raise ValueError(f"taps[{tap!r}] must have rank {TAP_RANKS[tap]}, layer {layer_name!r} gives {output.shape}")
    softmax = isinstance(layer, keras.layers.Softmax)
    if tap == "logits" and (softmax or getattr(layer, "activation", None) is keras.activations.softmax):
        raise ValueError(f'taps["logits"]: layer {layer_name!r} applies a softmax; build it without')
    return output
