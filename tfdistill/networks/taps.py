"""From the tensors of a network in the making to the network with its named taps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import keras

# What a network has after its stages: a classifier "logits", a detector what follows them.
LAST = ("features", "embedding", "logits", "offsets", "class_logits", "default_boxes")


def tapped(
    images: keras.KerasTensor,
    taps: Mapping[str, keras.KerasTensor],
    *,
    preactivations: Sequence[str],
    name: str,
    architecture: str | None,
) -> keras.Model:
    """The network of these taps and its stages' pre-activations, which are outputs of layers that it has anyway.

    A pre-activation is what a stage's last ReLU reads; where a stage ends without ReLU, the normalization that
    reads the stage, as activation-boundary and overhaul distillation take it.

    Args:
        images: the input.
        taps: the other taps, in order.
        preactivations: the names of the layers that give "stage1_preactivation", "stage2_preactivation", ...
        name: of the model.
        architecture: the name in `NETWORKS` that such a network is built by; `None` where no name means it.

    Returns:
        a functional `keras.Model` from images to the dict of taps. The layers, their names and their order are
        the same with and without pre-activations. Its attribute `architecture` is that argument.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries", AAAI 2019, and "A
    Comprehensive Overhaul of Feature Distillation", ICCV 2019, Section 3.1.
    """
    whole = keras.Model(images, dict(taps), name=name)
    inputs_of_relus = {
        f"stage{stage}_preactivation": whole.get_layer(layer).output for stage, layer in enumerate(preactivations, 1)
    }
    stages = {tap: tensor for tap, tensor in taps.items() if tap not in LAST}
    network = keras.Model(images, {**stages, **inputs_of_relus, **taps}, name=name)
    network.architecture = architecture
    return network


def tap_of(network: keras.Model, tap: str) -> keras.KerasTensor:
    """The symbolic tensor of a tap, `[batch, ...]`.

    Raises:
        ValueError: the network has no such tap.
    """
    if tap not in network.output:
        raise ValueError(f"networks: {network.name} has no tap {tap!r}; it has {', '.join(network.output)}")
    return network.output[tap]


def map_of(network: keras.Model, tap: str) -> keras.KerasTensor:
    """The symbolic feature map of a tap, `[batch, height, width, channels]`.

    Raises:
        ValueError: the network has no such tap, or it is no map of a known size.
    """
    found = tap_of(network, tap)
    if len(found.shape) != 4 or None in found.shape[1:]:
        raise ValueError(
            f"networks: {network.name}: {tap!r} must be [batch, height, width, channels] of one size, not "
            f"{tuple(found.shape)}; build it for images of one size"
        )
    return found


def features_of(network: keras.Model) -> keras.KerasTensor:
    """As `map_of`, of the last feature map, "features"."""
    return map_of(network, "features")


def before_relu_of(network: keras.Model, tap: str) -> str:
    """The name of the tap before the last ReLU of a tap; of the tap itself where the network has none."""
    preactivation = f"{tap}_preactivation"
    return preactivation if preactivation in network.output else tap


def stages_of(network: keras.Model) -> list[str]:
    """The names of the taps "stage1", "stage2", ... that a network has, in this order."""
    numbers = (re.fullmatch(r"stage(\d+)", tap) for tap in network.output)
    return [f"stage{number}" for number in sorted(int(found[1]) for found in numbers if found)]
