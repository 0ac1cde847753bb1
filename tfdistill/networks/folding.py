"""A frozen network made cheaper: batch normalization folded into the layer before it, and layers of lower precision."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np

from tfdistill.networks import graphs

FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


class FoldedNetwork:
    """A copy of a network that answers as the network does with `training=False`, in less time.

    A normalization that follows a convolution or a dense layer, and alone reads it, becomes part of that layer: with
    s = gamma / sqrt(variance + epsilon), the kernel W becomes s W, and the bias b becomes s (b - mean) + beta, computed
    in float64. What the network gives out is kept: a layer whose own output is a tap stays as it is. Layers that do not
    change are the network's own, unless `precision` is given.

    Args:
        network: functional, from images to a dict of taps. It is not changed.
        precision: "bfloat16" has every layer compute and keep its weights in bfloat16, and casts its taps to float32;
            None keeps every layer's own.

    Attributes:
        model: a functional model with the network's inputs, taps and name, to be called with `training=False`; the
            network itself where there is nothing to fold or to convert.
    """

    def __init__(self, network: keras.Model, *, precision: str | None = None) -> None:
        graph = graphs.flat_graph(network)
        self._norms = _norms(graph)
        self._precision = precision
        self._copies: dict[int, tuple[keras.Layer, keras.Layer]] = {}
        self.model = network
        if self._norms or precision:
            self._absorbed = {id(norm) for norm in self._norms.values()}
            (given,) = graph.inputs
            images = keras.Input(given.shape[1:], dtype=given.dtype, name=given.name)
            outputs = graphs.run_through(graph, images, self._call)
            if precision:
                outputs = {name: _in_float32(name, one) for name, one in outputs.items()}
            self.model = keras.Model(images, outputs, name=network.name)
            self.refresh()

    def refresh(self) -> None:
        """Takes over what the network's weights are now."""
        for layer, copy in self._copies.values():
            norm = self._norms.get(id(layer))
            copy.set_weights(_folded_weights(layer, norm) if norm else layer.get_weights())

    def _call(self, operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if id(operation) in self._absorbed:
            return arguments[0]
        if not isinstance(operation, keras.Layer) or not (self._precision or id(operation) in self._norms):
            return operation(*arguments, **keywords)
        if id(operation) not in self._copies:
            copy = _copy(operation, self._precision, folds=id(operation) in self._norms)
            self._copies[id(operation)] = operation, copy
        return self._copies[id(operation)][1](*arguments, **keywords)


def _norms(network: keras.Model) -> dict[int, keras.layers.BatchNormalization]:
    """By the id of each layer that a normalization can be folded into, that normalization."""
    nodes = graphs.nodes_of(network)
    calls = Counter(id(node.operation) for node in nodes)
    readers: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.arguments.keras_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    taps = {id(one) for one in keras.tree.flatten(network.output)}
    found = {}
    for node in nodes:
        if not isinstance(node.operation, FOLDABLE) or calls[id(node.operation)] > 1:
            continue
        (output,) = node.outputs
        reading = readers.get(id(output), [])
        if id(output) not in taps and len(reading) == 1 and _follows(reading[0], node.operation, output):
            found[id(node.operation)] = reading[0]
    return {one: norm for one, norm in found.items() if calls[id(norm)] == 1}


def _follows(norm: Any, layer: keras.Layer, output: keras.KerasTensor) -> bool:
    """Whether it is a normalization of the channels that a linear layer gives."""
    is_linear = layer.activation is keras.activations.linear and not getattr(layer, "lora_rank", None)
    if not is_linear or not isinstance(norm, keras.layers.BatchNormalization):
        return False
    return norm.axis in (-1, len(output.shape) - 1) and not norm.renorm


def _copy(layer: keras.Layer, precision: str | None, *, folds: bool) -> keras.Layer:
    """A layer of the same kind, not built yet."""
    kind, config = type(layer), layer.get_config()
    if precision:
        config["dtype"] = precision
    if folds:
        config["use_bias"] = True
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kind = keras.layers.DepthwiseConv2D  # ours takes no bias
    copy = kind.from_config(config)
    copy.trainable = False
    return copy


def _folded_weights(layer: keras.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    kernel, *bias = (np.asarray(one, np.float64) for one in layer.get_weights())
    mean, variance = (np.asarray(one, np.float64) for one in (norm.moving_mean, norm.moving_variance))
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma, np.float64)
    offset = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    # The kernel of a depthwise convolution ends in input channels and multiplier, whose product are the outputs.
    scaled = kernel * scale.reshape(kernel.shape[2:] if isinstance(layer, keras.layers.DepthwiseConv2D) else -1)
    return [scaled, ((bias[0] if bias else 0.0) - mean) * scale + offset]


def _in_float32(name: str, tensor: keras.KerasTensor) -> keras.KerasTensor:
    if tensor.dtype == "float32":
        return tensor
    return keras.layers.Activation("linear", dtype="float32", name=f"{name}_float32")(tensor)
