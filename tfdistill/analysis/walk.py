"""A functional network walked layer by layer, so that what lies between its layers can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# By the id of each symbolic tensor of a graph, its value.
Values = dict[int, tf.Tensor]


def arguments_of(node: Any) -> list[keras.KerasTensor]:
    """The symbolic tensors that a call reads, each once."""
    return list({id(one): one for one in node.arguments.keras_tensors}.values())


def call(node: Any, values: Values) -> list[tf.Tensor]:
    """The outputs of one call of a layer, as in inference.

    Args:
        node: of `graphs.nodes_in_order`.
        values: those that it reads are there.
    """
    arguments, keywords = node.arguments.fill_in(values)
    return keras.tree.flatten(node.operation(*arguments, **keywords))


def walk(
    nodes: Sequence[Any],
    values: Values,
    seen: Callable[[keras.KerasTensor, tf.Tensor], None] = lambda tensor, value: None,
) -> Values:
    """The values of all tensors of a graph.

    Args:
        nodes: of `graphs.nodes_in_order`, as many as are wanted.
        values: of the inputs; the others are added.
        seen: gets each tensor and its value before anything reads it.
    """
    for node in nodes:
        for tensor, value in zip(node.outputs, call(node, values), strict=True):
            values[id(tensor)] = value
            seen(tensor, value)
    return values
