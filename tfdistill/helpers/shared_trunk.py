"""Networks that share their first layers: one trunk, and a branch of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfdistill.bounds import ArgumentError

Taps = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class SharedTrunk:
    """Networks with one trunk in common, whole and in parts; parts and wholes have the same variables.

    Attributes:
        tap: where the trunk ends; every branch reads it.
        trunk: from images to the dict of the taps that it computes, `tap` among them.
        branches: a model per network, from the map at `tap` to the dict of all other taps.
        networks: the whole networks, trunk and branch, with the taps and variables of the ones given, in their order.
    """

    tap: str
    trunk: keras.Model
    branches: tuple[keras.Model, ...]
    networks: tuple[keras.Model, ...]

    def call_networks(
        self, images: Any, call: Callable[[keras.Model, Any], Taps], before_branches: Callable[[Any], Any] | None = None
    ) -> dict[str, Taps]:
        """The taps of every network, by its name; the trunk runs once.

        Args:
            images: [batch, height, width, channels], tensor or symbol.
            call: calls a model on its inputs.
            before_branches: what the map at `tap` goes through on its way to the branches; nothing if not given.
        """
        shared = call(self.trunk, images)
        maps = before_branches(shared[self.tap]) if before_branches else shared[self.tap]
        taps: dict[str, Taps] = {}
        for network, branch in zip(self.networks, self.branches, strict=True):
            found = {**shared, **call(branch, maps)}
            taps[network.name] = {tap: found[tap] for tap in network.output}
        return taps


def share_trunk(networks: Sequence[keras.Model], tap: str = "") -> SharedTrunk:
    """Lets networks of one architecture share everything up to a tap.

    The trunk is the first network's; each branch has its own network's layers, hence its own initial weights. The
    trunks of the other networks are used no more. No weight is copied: training the result trains the layers given.

    Args:
        networks: functional models from images to a dict of taps, whose trunks have the same layers.
        tap: where to cut; the last but one of "stage1", "stage2", ... if empty. What computes this tap belongs to the
            trunk, everything that reads it to the branches. So a network of pre-activation blocks is cut at the raw sum
            of a stage, and the normalization behind it, with the tap "stage2_preactivation", is each branch's own.

    Returns:
        the trunk, the branches, and the whole networks under the names given.

    Raises:
        ValueError: a network without that tap or that cannot be cut there, or trunks that differ; in one line.
    """
    if not networks:
        raise ArgumentError("networks", "at least one is needed")
    tap = tap or _last_but_one_stage(networks[0])
    trunks = [_trunk(network, tap) for network in networks]
    for network, trunk in zip(networks[1:], trunks[1:], strict=True):
        _require_same(networks[0].name, trunks[0], network.name, trunk, tap)
    joined = [networks[0]]
    joined += [_on_trunk(network, own, trunks[0]) for network, own in zip(networks[1:], trunks[1:], strict=True)]
    later = _taps_behind(networks[0], tap, trunks[0])
    branches = tuple(_branch(network, tap, later) for network in joined)
    taps = {name: tensor for name, tensor in networks[0].output.items() if name not in later}
    trunk = keras.Model(networks[0].input, taps, name="trunk")
    return SharedTrunk(tap, trunk, branches, tuple(joined))


def _last_but_one_stage(network: keras.Model) -> str:
    stages = sorted(
        (name for name in _taps_of(network) if re.fullmatch(r"stage\d+", name)), key=lambda name: int(name[5:])
    )
    if len(stages) < 2:
        raise ArgumentError(
            "networks", f"{network.name} has no two stages to be cut between; name a tap of {', '.join(network.output)}"
        )
    return stages[-2]


def _taps_of(network: keras.Model) -> Mapping[str, keras.KerasTensor]:
    outputs = getattr(network, "output", None) if getattr(network, "inputs", None) else None
    if not isinstance(outputs, dict):
        raise ArgumentError("networks", f"{network.name} must be a functional model that returns a dict of taps")
    return outputs


def _trunk(network: keras.Model, tap: str) -> keras.Model:
    taps = _taps_of(network)
    if tap not in taps:
        raise ArgumentError("tap", f"{network.name} has no tap {tap!r} to be cut at; it has {', '.join(taps)}")
    return keras.Model(network.input, taps[tap])


def _require_same(first_name: str, first: keras.Model, name: str, other: keras.Model, tap: str) -> None:
    ours, theirs = _description(first), _description(other)
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        what = f"it has {len(theirs)} layers, not {len(ours)}"
    else:
        position = next(index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        what = f"its layer {other.layers[position].name} is another one"
    raise ArgumentError(
        "networks",
        f"{name} cannot share {first_name}'s trunk up to {tap!r}: {what}; give one architecture several times",
    )


def _description(trunk: keras.Model) -> list[tuple]:
    """What makes two trunks interchangeable: kinds of layers, the shapes of their weights and of what they return."""
    return [
        (
            type(layer),
            [tuple(one.shape) for one in layer.variables],
            [tuple(one.shape) for one in keras.tree.flatten(layer.output)],
        )
        for layer in trunk.layers
    ]


def _on_trunk(network: keras.Model, own: keras.Model, shared: keras.Model) -> keras.Model:
    """The network anew, with the layers of the shared trunk in the place of its own trunk's."""
    replacing = {id(layer): other for layer, other in zip(own.layers, shared.layers, strict=True)}
    joined = keras.models.clone_model(network, clone_function=lambda layer: replacing.get(id(layer), layer))
    if hasattr(network, "architecture"):
        joined.architecture = network.architecture
    return joined


def _taps_behind(network: keras.Model, tap: str, trunk: keras.Model) -> list[str]:
    """The taps that the trunk's layers do not compute."""
    inside = {id(operation) for operation in trunk.operations}
    found = [
        name
        for name, tensor in network.output.items()
        if any(id(operation) not in inside for operation in keras.Model(network.input, tensor).operations)
    ]
    if "logits" not in found:
        raise ArgumentError(
            "networks", f"{network.name} cannot be cut at {tap!r}: no layer of the classifier comes after it"
        )
    return found


def _branch(network: keras.Model, tap: str, later: Sequence[str]) -> keras.Model:
    outputs = {name: network.output[name] for name in later}
    # Keras loses a tensor that is two outputs of a model which begins at another layer's output.
    different = list({id(tensor): tensor for tensor in outputs.values()}.values())
    try:
        inner = keras.Model(network.output[tap], different)
    except ValueError as error:
        raise ArgumentError(
            "networks", f"{network.name} cannot be cut at {tap!r}: what comes after it reads other layers too"
        ) from error
    found = dict(zip(map(id, different), inner.outputs, strict=True))
    taps = {name: found[id(tensor)] for name, tensor in outputs.items()}
    return keras.Model(inner.inputs[0], taps, name=f"{network.name}_branch")
