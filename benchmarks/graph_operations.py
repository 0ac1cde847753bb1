"""How many multiply-adds a traced function takes: those of its products and convolutions, read off its graph.

Where `operations.py` says what must be computed, this says what a graph asks for, gradients, helpers and what a loss
multiplies included. What nothing reads is left out, as TensorFlow leaves it out, and of two branches the one counts
that has fewer, as where the other one is taken in a first step alone. Sums, activations and normalizations have no
product and count as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import tensorflow as tf


def multiply_adds(graph: tf.Graph) -> int:
    """Of one call of a function.

    Args:
        graph: of a concrete function, all of whose shapes are known.

    Raises:
        ValueError: a product of unknown shape, or a loop of unknown length.
    """
    return sum(_of(op, graph) for op in _read(graph))


def _read(graph: tf.Graph) -> Iterable[tf.Operation]:
    """The operations that what a function gives, or leaves behind, depends on."""
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    waiting += [op for op in graph.get_operations() if op.op_def.is_stateful]
    found: dict[str, tf.Operation] = {}
    while waiting:
        op = waiting.pop()
        if op.name not in found:
            found[op.name] = op
            waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return found.values()


def _of(op: tf.Operation, graph: tf.Graph) -> int:
    if op.type in PRODUCTS:
        return PRODUCTS[op.type](op)
    if op.type in ("While", "StatelessWhile"):
        longest = tf.get_static_value(op.inputs[1])
        once = multiply_adds(_called(op, "body", graph))
        if once and (longest is None or longest < 0):
            raise ValueError(f"{op.name} multiplies in a loop of unknown length")
        return once * int(longest) if once else 0
    if op.type in ("If", "StatelessIf"):
        return min(multiply_adds(_called(op, f"{branch}_branch", graph)) for branch in ("then", "else"))
    if op.type in ("PartitionedCall", "StatefulPartitionedCall"):
        return multiply_adds(_called(op, "f", graph))
    return 0


def _called(op: tf.Operation, attribute: str, graph: tf.Graph) -> tf.Graph:
    return graph._get_function(op.get_attr(attribute).name).graph


def _size(shape: tf.TensorShape) -> int:
    if not shape.is_fully_defined():
        raise ValueError(f"a product of unknown shape, {shape}")
    return shape.num_elements()


def _convolution(maps: Callable[[tf.Operation], tf.Tensor], kernel: Callable[[tf.Operation], tf.Tensor]) -> Callable:
    """A value of the deeper maps takes a kernel without its last axis, whichever of the three is what comes out."""

    def count(op: tf.Operation) -> int:
        return _size(maps(op).shape) * _size(kernel(op).shape[:-1])

    return count


def _depthwise(maps: Callable[[tf.Operation], tf.Tensor], kernel: Callable[[tf.Operation], tf.Tensor]) -> Callable:
    """As of a convolution, but each value is of one channel of the shallower maps."""

    def count(op: tf.Operation) -> int:
        return _size(maps(op).shape) * _size(kernel(op).shape[:2])

    return count


def _matrices(op: tf.Operation) -> int:
    flags = {"MatMul": "transpose_a"}.get(op.type, "adj_x")
    common = op.inputs[0].shape[-2 if op.get_attr(flags) else -1]
    return _size(op.outputs[0].shape) * int(common)


def _einsum(op: tf.Operation) -> int:
    read, _, given = op.get_attr("equation").decode().partition("->")
    words = read.split(",")
    if len(words) < 2:
        return 0
    if "." in read:
        raise ValueError(f"{op.name}: what an ellipsis stands for is not counted")
    sizes = {
        letter: size
        for word, one in zip(words, op.inputs, strict=True)
        for letter, size in zip(word, one.shape, strict=True)
    }
    # An axis that neither the other factor nor the result has is summed before the product.
    return math.prod(size for letter, size in sizes.items() if letter in given or all(letter in one for one in words))


def _kinds(name: str, count: Callable) -> dict[str, Callable[[tf.Operation], int]]:
    """A convolution and its two gradients."""
    forward = count(lambda op: op.outputs[0], lambda op: op.inputs[1])
    to_input = count(lambda op: op.inputs[2], lambda op: op.inputs[1])
    to_kernel = count(lambda op: op.inputs[2], lambda op: op.outputs[0])
    return {name: forward, f"{name}BackpropInput": to_input, f"{name}BackpropFilter": to_kernel}


PRODUCTS: dict[str, Callable[[tf.Operation], int]] = {
    **_kinds("Conv2D", _convolution),
    **_kinds("DepthwiseConv2dNative", _depthwise),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matrices),
    "Einsum": _einsum,
}
