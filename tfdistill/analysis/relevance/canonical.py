"""A network brought to the form that rules of relevance are stated for: linear layers, and activations of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfdistill.bounds import ArgumentError
from tfdistill.networks import folding, graphs, lower_precision
from tfdistill.networks.taps import tap_of

# Layers that may end in an activation.
ACTIVATED = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def canonical(network: keras.Model, taps: Sequence[str]) -> keras.Model:
    """A copy of a network that computes the same in float32, with as few normalizations as can be.

    Batch normalization is folded into the layer before it, where that layer is linear and nothing else reads it. A
    layer with an activation becomes two.

    Args:
        network: functional, from images to a dict of taps. It is not changed.
        taps: those that the copy gives; all other outputs go, so that they are in no normalization's way.

    Raises:
        ValueError: it has no such tap, or a layer cannot be built anew.
    """
    graph = graphs.flat_graph(
        keras.Model(network.input, {tap: tap_of(network, tap) for tap in taps}, name=network.name)
    )
    if any(map(_changes, (node.operation for node in graphs.nodes_of(graph)))):
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


def _plain(graph: keras.Model) -> keras.Model:
    (given,) = graph.inputs
    images, copies = keras.Input(given.shape[1:], name=given.name), {}

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        changes = _changes(operation)
        if not changes:
            return operation(*arguments, **keywords)
        if id(operation) not in copies:
            copies[id(operation)] = _built(operation, changes)
        outputs = copies[id(operation)](*arguments, **keywords)
        if "activation" not in changes:
            return outputs
        return keras.layers.Activation(operation.activation, dtype="float32", name=f"{operation.name}_activation")(
            outputs
        )

    return keras.Model(images, graphs.run_through(graph, images, call), name=graph.name)


def _built(layer: keras.Layer, changes: dict[str, Any]) -> keras.Layer:
    copy = lower_precision.built_anew(layer, type(layer), changes)
    if copy is None:
        raise ArgumentError("network", f"its layer {layer.name!r}, a {type(layer).__name__}, cannot be built anew")
    copy.set_weights(layer.get_weights())
    return copy
