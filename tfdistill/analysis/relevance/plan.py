"""Which rule holds at each call of a layer, in the order in which images go through a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from tfdistill.analysis.relevance.composites import Composite, PixelRule
from tfdistill.analysis.relevance.kinds import Kind, kind_of
from tfdistill.analysis.walk import arguments_of
from tfdistill.networks import graphs

Rule = Literal[Kind, PixelRule]


@dataclass(frozen=True, eq=False)
class Stop:
    """One call of a layer on the way of relevance.

    Attributes:
        node: the call, see `graphs.nodes_of`.
        rule: a kind without choice, or the rule of a layer with a kernel.
        reads_pixels: whether no kernel stands between the image and its inputs.
    """

    node: Any
    rule: Rule
    reads_pixels: bool


def plan(model: keras.Model, composite: Composite) -> list[Stop]:
    """The stops of a network, from the image to the logits.

    Args:
        model: as `canonical` makes it.
        composite: which rule where.

    Raises:
        ArgumentError: there is no rule for one of the layers.
    """
    nodes = graphs.nodes_in_order(model)
    kinds = [kind_of(node.operation) for node in nodes]
    pixels = _of_pixels(model, nodes, kinds)
    convolutions = [
        node
        for node, kind in zip(nodes, kinds, strict=True)
        if kind == "weighs" and len(node.outputs[0].shape) > 2 and id(node) not in pixels
    ]
    lower = {id(node) for node in convolutions[: round(composite.lower * len(convolutions))]}

    def rule_of(node: Any, kind: Kind) -> Rule:
        if kind == "weighs":
            if id(node) in pixels:
                return composite.pixels
            return "gamma" if id(node) in lower else "epsilon"
        return "brings" if id(node) in pixels and kind in ("shares", "shifts") else kind

    return [Stop(node, rule_of(node, kind), id(node) in pixels) for node, kind in zip(nodes, kinds, strict=True)]


def _of_pixels(model: keras.Model, nodes: Sequence[Any], kinds: Sequence[Kind]) -> set[int]:
    """The ids of the calls that read the image, or what layers without kernel have made of it."""
    tensors, found = {id(model.inputs[0])}, set()
    for node, kind in zip(nodes, kinds, strict=True):
        if all(id(one) in tensors for one in arguments_of(node)):
            found.add(id(node))
            if kind != "weighs":
                tensors.update(map(id, node.outputs))
    return found
