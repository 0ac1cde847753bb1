"""Which rule holds at each call of a layer, in the order in which images go through a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from tfdistill.analysis.relevance.composites import Composite, PixelRule
from tfdistill.analysis.relevance.gates import producers_of, signal_of
from tfdistill.analysis.relevance.kinds import Kind, kind_of, without_rule
from tfdistill.analysis.walk import arguments_of
from tfdistill.networks import graphs

# "aside": no relevance comes here, as in the branch that computes a gate; no rule is needed.
Rule = Literal[Kind, PixelRule, "aside"]


@dataclass(frozen=True, eq=False)
class Stop:
    """One call of a layer on the way of relevance.

    Attributes:
        node: the call, see `graphs.nodes_of`.
        rule: a kind without choice, or the rule of a layer with a kernel.
        heirs: those tensors, of all that it reads, that take its relevance.
        reads_pixels: whether no kernel stands between the image and its inputs.
    """

    node: Any
    rule: Rule
    heirs: Sequence[keras.KerasTensor]
    reads_pixels: bool


def plan(model: keras.Model, composite: Composite) -> list[Stop]:
    """The stops of a network, from the image to the logits.

    Args:
        model: as `canonical` makes it, with the output "logits", where relevance begins.
        composite: which rule where.

    Raises:
        ArgumentError: there is no rule for one of the layers that relevance comes through.
    """
    nodes = graphs.nodes_in_order(model)
    heirs = _heirs(model, nodes)
    kinds = {id(node): kind_of(node.operation) for node in nodes if id(node) in heirs}
    pixels = _of_pixels(model, nodes, kinds)
    convolutions = [
        node
        for node in nodes
        if kinds.get(id(node)) == "weighs" and len(node.outputs[0].shape) > 2 and id(node) not in pixels
    ]
    lower = {id(node) for node in convolutions[: round(composite.lower * len(convolutions))]}

    def rule_of(node: Any) -> Rule:
        kind: Kind | Literal["aside"] = kinds.get(id(node), "aside")
        if kind == "weighs":
            if id(node) in pixels:
                return composite.pixels
            return "gamma" if id(node) in lower else "epsilon"
        return "brings" if id(node) in pixels and kind in ("shares", "shifts", "gates") else kind

    return [Stop(node, rule_of(node), heirs.get(id(node), ()), id(node) in pixels) for node in nodes]


def _heirs(model: keras.Model, nodes: Sequence[Any]) -> dict[int, Sequence[keras.KerasTensor]]:
    """By the id of each call that relevance comes to, the tensors that it goes on to."""
    reached, producers = {id(model.output["logits"])}, producers_of(nodes)
    found: dict[int, Sequence[keras.KerasTensor]] = {}
    for node in reversed(nodes):
        if not any(id(one) in reached for one in node.outputs):
            continue
        found[id(node)] = arguments_of(node)
        if kind_of(node.operation) == "gates":
            signal = signal_of(node, producers)
            if signal is None:
                raise without_rule(node.operation)
            found[id(node)] = [signal]
        reached.update(map(id, found[id(node)]))
    return found


def _of_pixels(model: keras.Model, nodes: Sequence[Any], kinds: Mapping[int, Kind]) -> set[int]:
    """The ids of the calls that read the image, or what layers without kernel have made of it."""
    tensors, found = {id(model.inputs[0])}, set()
    for node in nodes:
        if id(node) in kinds and all(id(one) in tensors for one in arguments_of(node)):
            found.add(id(node))
            if kinds[id(node)] != "weighs":
                tensors.update(map(id, node.outputs))
    return found
