"""Which layers of a frozen network are computed in a lower precision, and how they are built anew for it.

A network's time goes into maps: tensors with two dimensions or more for an example, such as height, width and channels.
A layer is computed in the lower precision

- if it multiplies maps by a kernel, weights of two dimensions or more, or
- if it gives maps, and reads some that are in the lower precision.

So what brings images to those that the network was trained on is as exact as before, and so are the average over a last
map and the classifier behind it.
"""

from __future__ import annotations

from typing import Any, Literal

import keras

from tfdistill.networks import graphs

BFLOAT16 = "bfloat16"
# What a layer does with maps.
Kind = Literal["multiplies", "passes on"]
# Layers that nothing but their kernel makes inexact; others keep their weights in float32, as in mixed precision.
ALL_LOWERED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def of_maps(graph: keras.Model) -> dict[int, Kind]:
    """By the id of each layer of a graph that may be computed in a lower precision, what it does with maps."""
    found: dict[int, Kind] = {}
    for node in graphs.nodes_of(graph):
        layer = node.operation
        if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model):
            continue
        gives = all(map(_is_map, node.outputs))
        if any(len(one.shape) > 1 for one in layer.weights):
            if gives or any(map(_is_map, node.arguments.keras_tensors)):
                found[id(layer)] = "multiplies"
        elif gives:
            found[id(layer)] = "passes on"
    return found


def _is_map(tensor: keras.KerasTensor) -> bool:
    return len(tensor.shape) > 2


def is_lowered(kind: Kind, given: Any) -> bool:
    """Whether a layer of that kind is computed in the lower precision.

    Args:
        kind: of the layer.
        given: its arguments, symbolic.
    """
    dtypes = [getattr(one, "dtype", None) for one in keras.tree.flatten(given)]
    return kind == "multiplies" or BFLOAT16 in dtypes


def can_lower(graph: keras.Model) -> bool:
    """Whether a graph, or one within it, has a layer that lower precision makes cheaper."""
    kinds = of_maps(graph)

    def gains(layer: Any) -> bool:
        if graphs.is_functional(layer):
            return can_lower(layer)
        if kinds.get(id(layer)) != "multiplies" or layer.compute_dtype == BFLOAT16:
            return False
        return built_anew(layer, type(layer), {"dtype": dtype_of(layer, BFLOAT16)}) is not None

    return any(gains(node.operation) for node in graphs.nodes_of(graph))


def dtype_of(layer: keras.Layer, precision: str) -> str:
    """The policy of a layer that is computed in a precision."""
    return precision if isinstance(layer, ALL_LOWERED) else f"mixed_{precision}"


def built_anew(layer: keras.Layer, kind: type[keras.Layer], changes: dict[str, Any]) -> keras.Layer | None:
    """A layer of the same configuration with changes, and with weights of its own.

    Args:
        layer: built.
        kind: its class, or the one to take instead.
        changes: of its configuration; `use_bias` may add a bias.

    Returns:
        None where the configuration makes no such layer, as that of code of one's own may not.
    """
    try:
        copy = kind.from_config({**layer.get_config(), **changes})
        if layer.weights:
            copy.build_from_config(layer.get_build_config())
    except Exception:  # whatever a layer that was not made to be built again raises
        return None
    shapes = [tuple(one.shape) for one in copy.weights]
    own = [tuple(one.shape) for one in layer.weights]
    if shapes[: len(own)] != own or (len(shapes) > len(own) and "use_bias" not in changes):
        return None
    copy.trainable = False
    return copy


def in_float32(name: str, tensor: keras.KerasTensor) -> keras.KerasTensor:
    """A tap as losses read it.

    Args:
        name: of the tap.
        tensor: its values.
    """
    if tensor.dtype == "float32":
        return tensor
    return keras.layers.Activation("linear", dtype="float32", name=f"{name}_float32")(tensor)
