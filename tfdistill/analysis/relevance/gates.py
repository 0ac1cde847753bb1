"""Products of maps: which factor is the signal, and which are gates that weigh it.

A gate is a weight, and the signal takes all relevance. Source: Arras et al., "Explaining and Interpreting LSTMs", in
"Explainable AI: Interpreting, Explaining and Visualizing Deep Learning", 2019, Section 11.3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from tfdistill.analysis.walk import arguments_of

# Functions whose values lie between two bounds, as those of a gate do. That of MobileNetV3 is relu6(x + 3) / 6.
BOUNDED = ("sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax", "sparsemax", "relu6")
# What a gate may still go through behind its function: it is brought to the shape and scale of the signal.
_KERAS = keras.layers
BEHIND = (_KERAS.Reshape, _KERAS.Permute, _KERAS.Flatten, _KERAS.Identity, _KERAS.Dropout, _KERAS.UpSampling2D)
BEHIND_FUNCTIONS = ("Reshape", "ExpandDims", "Multiply", "Divide", "TrueDivide")


def signal_of(node: Any, producers: Mapping[int, Any]) -> keras.KerasTensor | None:
    """The factor of a product that carries the signal, where the others are gates.

    A gate ends in a sigmoid, or in another function with two bounds, and one factor does not. Where all do, the signal
    is the one that the others are computed from, as a squeeze-and-excite gate is computed from the map that it weighs.

    Args:
        node: the product.
        producers: by the id of each tensor of the graph, the call that gives it.

    Returns:
        the factor, the only one where a map is multiplied by a number; None where it cannot be told.
    """
    factors = arguments_of(node)
    if len(factors) < len(node.arguments.keras_tensors):
        return None  # a map times itself
    signals = [one for one in factors if not _is_gate(one, producers)] if len(factors) > 1 else factors
    if not signals:
        signals = [one for one in factors if _gives_all(one, factors, producers)]
    return signals[0] if len(signals) == 1 else None


def producers_of(nodes: Sequence[Any]) -> dict[int, Any]:
    """By the id of each tensor, the call that gives it."""
    return {id(output): node for node in nodes for output in node.outputs}


def _is_gate(tensor: keras.KerasTensor, producers: Mapping[int, Any]) -> bool:
    """Whether the last function that it went through has two bounds."""
    node = producers.get(id(tensor))
    while node is not None and not _is_bounded(node.operation):
        operation, given = node.operation, arguments_of(node)
        if not (isinstance(operation, BEHIND) or _is_function(operation, BEHIND_FUNCTIONS)) or len(given) != 1:
            return False
        node = producers.get(id(given[0]))
    return node is not None


def _is_bounded(operation: Any) -> bool:
    if isinstance(operation, keras.layers.ReLU):
        return operation.max_value is not None
    if isinstance(operation, keras.layers.Softmax):
        return True
    if not isinstance(operation, keras.Layer):
        return _is_function(operation, ("Sigmoid", "HardSigmoid", "SparseSigmoid", "Softmax", "Sparsemax", "Relu6"))
    return getattr(getattr(operation, "activation", None), "__name__", "") in BOUNDED


def _is_function(operation: Any, names: Sequence[str]) -> bool:
    return not isinstance(operation, keras.Layer) and type(operation).__name__ in names


def _gives_all(one: keras.KerasTensor, factors: Sequence[keras.KerasTensor], producers: Mapping[int, Any]) -> bool:
    """Whether all other factors are computed from this one."""
    others = [other for other in factors if other is not one]
    return all(id(one) in set(_sources(other, producers)) for other in others)


def _sources(tensor: keras.KerasTensor, producers: Mapping[int, Any]) -> Iterator[int]:
    """The ids of the tensors that one is computed from."""
    waiting, seen = [tensor], set()
    while waiting:
        node = producers.get(id(waiting.pop()))
        for one in arguments_of(node) if node else ():
            if id(one) not in seen:
                seen.add(id(one))
                waiting.append(one)
                yield id(one)
