"""A network brought to the form that rules of relevance are stated for: linear layers, and activations of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfdistill.bounds import ArgumentError
from tfdistill.networks import folding, graphs, lower_precision
from tfdistill.networks.taps import tap_of

# Layers that may end in an activation.
ACTIVATED = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
)


def canonical(network: keras.Model, taps: Sequence[str]) -> keras.Model:
    """A copy of a network that computes the same in float32, with as few normalizations as can be.

    Batch normalization is folded into the layer before it, where that layer is linear and nothing else reads it. A
    layer with an activation becomes two, and so does a separable convolution.

    Args:
        network: functional, from images to a dict of taps. It is not changed.
        taps: those that the copy gives; all other outputs go, so that they are in no normalization's way.

    Raises:
        ValueError: it has no such tap, or a layer cannot be built anew.
    """
    graph = graphs.flat_graph(
        keras.Model(network.input, {tap: tap_of(network, tap) for tap in taps}, name=network.name)
    )
    if any(_is_changed(node.operation) for node in graphs.nodes_of(graph)):
        graph = _plain(graph)
    return folding.FoldedNetwork(graph).model


def _changes(operation: Any) -> dict[str, Any]:
    """What of a layer's configuration has to change."""
    changes: dict[str, Any] = {}
    if isinstance(operation, ACTIVATED) and operation.activation is not keras.activations.linear:
        changes["activation"] = "linear"
    if isinstance(operation, keras.Layer) and operation.compute_dtype != "float32":
        changes["dtype"] = "float32"
    return changes


def _is_changed(operation: Any) -> bool:
    return isinstance(operation, keras.layers.SeparableConv2D) or bool(_changes(operation))


def _plain(graph: keras.Model) -> keras.Model:
    (given,) = graph.inputs
    images, copies = keras.Input(given.shape[1:], name=given.name), {}

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if not _is_changed(operation):
            return operation(*arguments, **keywords)
        if id(operation) not in copies:
            copies[id(operation)] = _in_turn(operation)
        first, *others = copies[id(operation)]
        outputs = first(*arguments, **keywords)
        for one in others:
            outputs = one(outputs)
        return outputs

    return keras.Model(images, graphs.run_through(graph, images, call), name=graph.name)


def _in_turn(layer: keras.Layer) -> list[keras.Layer]:
    """The layers that compute, one after another, what one does: linear ones, and an activation."""
    changes = _changes(layer)
    if isinstance(layer, keras.layers.SeparableConv2D):
        layers = _separated(layer)
    else:
        layers = [_built(layer, changes)]
    if "activation" in changes:
        name = f"{layer.name}_activation"
        layers.append(keras.layers.Activation(layer.activation, dtype="float32", name=name))
    return layers


def _separated(layer: keras.layers.SeparableConv2D) -> list[keras.Layer]:
    """A depthwise convolution, and a 1 x 1 convolution of its maps."""
    kernel, *pointwise = layer.get_weights()
    settings = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    maps = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        depth_multiplier=layer.depth_multiplier,
        use_bias=False,
        dtype="float32",
        name=f"{layer.name}_depthwise",
        **settings,
    )
    sums = keras.layers.Conv2D(
        layer.filters, 1, use_bias=layer.use_bias, dtype="float32", name=f"{layer.name}_pointwise"
    )
    maps.build((None, None, None, kernel.shape[2]))
    sums.build((None, None, None, kernel.shape[2] * kernel.shape[3]))
    maps.set_weights([kernel])
    sums.set_weights(pointwise)
    return [maps, sums]


def _built(layer: keras.Layer, changes: dict[str, Any]) -> keras.Layer:
    copy = lower_precision.built_anew(layer, type(layer), changes)
    if copy is None:
        raise ArgumentError("network", f"its layer {layer.name!r}, a {type(layer).__name__}, cannot be built anew")
    copy.set_weights(layer.get_weights())
    return copy
