"""A frozen network made cheaper: batch normalization folded into the layer before it, and maps of lower precision."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import keras
import numpy as np

from tfdistill.networks import graphs, lower_precision

FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


class FoldedNetwork:
    """A copy of a network that answers as the network does with `training=False`, in less time.

    A normalization that follows a convolution or a dense layer, and alone reads it, becomes part of that layer: with
    s = gamma / sqrt(variance + epsilon), the kernel W becomes s W, and the bias b becomes s (b - mean) + beta, computed
    in float64. What the network gives out is kept: a layer whose own output is a tap stays as it is. Layers that do not
    change are the network's own. Models within the network are folded too.

    Args:
        network: functional, from images to a dict of taps. It is not changed.
        precision: "bfloat16" has maps computed in bfloat16, see `lower_precision`, and casts taps to float32; None
            keeps every layer's own.

    Attributes:
        model: a functional model with the network's inputs, taps and name, to be called with `training=False`; the
            network itself where there is nothing to fold or to convert.
        precision: what was given, or None where no layer could be converted.
        kept: the names of layers that would be computed in `precision`, but cannot be built anew.
    """

    def __init__(self, network: keras.Model, *, precision: str | None = None) -> None:
        graph = graphs.flat_graph(network)
        self.precision = precision if precision and lower_precision.can_lower(graph) else None
        self.kept: list[str] = []
        self.model = network
        self._copies: list[_Copy] = []
        if self.precision or _folds(graph):
            images = _like(graph)
            outputs = _Rebuilding(graph, self.precision, self._copies, self.kept).run(images)
            if self.precision:
                outputs = {name: lower_precision.in_float32(name, one) for name, one in outputs.items()}
            self.model = keras.Model(images, outputs, name=network.name)
            self.refresh()

    def refresh(self) -> None:
        """Takes over what the network's weights are now."""
        for layer, norm, copy in self._copies:
            copy.set_weights(_folded_weights(layer, norm) if norm else layer.get_weights())


class _Copy(NamedTuple):
    """A layer built anew, and what it stands for."""

    layer: keras.Layer
    norm: keras.layers.BatchNormalization | None
    copy: keras.Layer


class _Rebuilding:
    """A graph with copies in place of the layers that change.

    Args:
        graph: functional, with one input.
        precision: of maps; None for the layers' own.
        copies: takes what is built anew.
        kept: takes the names of layers that cannot be.
    """

    def __init__(self, graph: keras.Model, precision: str | None, copies: list[_Copy], kept: list[str]) -> None:
        self._graph, self._precision, self._copies, self._kept = graph, precision, copies, kept
        self._norms = _norms(graph)
        self._absorbed = {id(norm) for norm in self._norms.values()}
        self._of_maps = lower_precision.of_maps(graph) if precision else {}
        self._instead: dict[int, Any] = {}

    def run(self, images: keras.KerasTensor) -> Any:
        """The outputs of the graph for `images`."""
        return graphs.run_through(self._graph, images, self._call)

    def _call(self, operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if id(operation) in self._absorbed:
            return arguments[0]
        if id(operation) not in self._instead:
            self._instead[id(operation)] = self._replaced(operation, (arguments, keywords))
        return self._instead[id(operation)](*arguments, **keywords)

    def _replaced(self, operation: Any, given: Any) -> Any:
        """What stands in for an operation: another layer, or itself."""
        if _is_nested(operation):
            images, graph = _like(operation), graphs.flat_graph(operation)
            if not (self._precision or _folds(graph)):
                return operation
            outputs = _Rebuilding(graph, self._precision, self._copies, self._kept).run(images)
            return keras.Model(images, outputs, name=operation.name)
        norm, dtype = self._norms.get(id(operation)), None
        if self._precision and (kind := self._of_maps.get(id(operation))) and lower_precision.is_lowered(kind, given):
            dtype = lower_precision.dtype_of(operation, self._precision)
        if norm is None and dtype is None:
            return operation
        copy = _copied(operation, dtype, folds=norm is not None)
        if copy is None:
            self._kept.append(operation.name)
            return operation
        self._copies.append(_Copy(operation, norm, copy))
        return copy


def _is_nested(operation: Any) -> bool:
    """Whether it is a graph of layers within one, as where the layers of both share names."""
    return graphs.is_functional(operation) and len(operation.inputs) == 1


def _like(model: keras.Model) -> keras.KerasTensor:
    """An input as the model has it."""
    (given,) = model.inputs
    return keras.Input(given.shape[1:], dtype=given.dtype, name=given.name)


def _folds(graph: keras.Model) -> bool:
    """Whether there is a normalization to fold, in the graph or in one within it."""
    nested = (node.operation for node in graphs.nodes_of(graph) if _is_nested(node.operation))
    return bool(_norms(graph)) or any(map(_folds, nested))


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


def _copied(layer: keras.Layer, dtype: str | None, *, folds: bool) -> keras.Layer | None:
    """A layer of the same kind, not built yet; none where its configuration does not make one."""
    changes: dict[str, Any] = {"dtype": dtype} if dtype else {}
    kind = type(layer)
    if folds:
        changes["use_bias"] = True
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kind = keras.layers.DepthwiseConv2D  # ours takes no bias
    return lower_precision.built_anew(layer, kind, changes)


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
