"""Takes the softmax or sigmoid off a model's end, where it is a layer or a layer's activation."""

from __future__ import annotations

from typing import Any

import keras

from tfdistill.networks.answers import TwoLogits
from tfdistill.networks.found_taps import logits_of
from tfdistill.networks.graphs import flat_graph, outputs_by_layer, sources_of, weights_of_operation

KINDS = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
# What `keras.ops.softmax` and `keras.activations.softmax` put into a graph; Keras exports no class for it.
FUNCTIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


def without_probabilities(model: keras.Model) -> tuple[keras.Model, str]:
    """The model before the softmax or sigmoid that its output is of.

    A layer with that activation, such as a Dense layer, gets none: the model that is given is changed. A layer that is
    nothing else, Softmax or Activation, is left out, and so is a function such as `keras.ops.softmax`. One sigmoid
    output becomes two logits, see `TwoLogits`.

    Args:
        model: functional, with one input; of a dict of outputs the one called "logits" counts.

    Returns:
        the model from its input to its logits, or to its dict with these; and what there is to tell, empty where the
        model stays as it is: another function at its end is left to `require_logits`.

    Raises:
        ValueError: it has several outputs, and none is called "logits".
    """
    graph = flat_graph(model)
    given = logits = logits_of(graph)
    while _activation(_operation(logits)) is keras.activations.linear and not weights_of_operation(_operation(logits)):
        (logits,) = sources_of(logits)
    layer = _operation(logits)
    kind = _kind(layer)
    if not kind or len(logits.shape) != 2 or len(outputs_by_layer(graph)[layer.name]) != 1:
        return model, ""
    if weights_of_operation(layer):
        layer.activation = keras.activations.linear
        logits = given
    else:
        (logits,) = sources_of(logits)
    told = f"the {kind} of layer {layer.name!r} is taken off"
    if kind == "sigmoid" and logits.shape[-1] == 1:
        logits, told = TwoLogits(name="two_logits")(logits), f"{told}, and its one output is made two logits"
    outputs = {**graph.output, "logits": logits} if isinstance(graph.output, dict) else logits
    return keras.Model(graph.input, outputs, name=model.name), told


def _operation(tensor: keras.KerasTensor) -> Any:
    return tensor._keras_history.operation


def _activation(layer: Any) -> Any:
    return getattr(layer, "activation", None) if isinstance(layer, keras.layers.Layer) else None


def _kind(layer: Any) -> str:
    if not isinstance(layer, keras.layers.Layer):
        kind = FUNCTIONS.get(type(layer).__name__, "")
        return kind if getattr(layer, "axis", -1) in (-1, 1) else ""
    if isinstance(layer, keras.layers.Softmax):
        return "softmax" if layer.axis in (-1, 1) else ""
    return KINDS.get(_activation(layer), "")
