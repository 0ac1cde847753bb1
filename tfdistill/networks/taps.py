"""From the tensors of a network in the making to the network with its named taps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras


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
        taps: the other taps, in order; "logits" is among them.
        preactivations: the names of the layers that give "stage1_preactivation", "stage2_preactivation", ...
        name: of the model.
        architecture: the name in `NETWORKS` that such a network is built by; `None` where no name means it.

    Returns:
        a functional `keras.Model` from images to the dict of taps. The layers, their names and their order are
        the same with and without pre-activations. Its attribute `architecture` is that argument.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries", AAAI 2019, and "A
    Comprehensive Overhaul of Feature Distillation", ICCV 2019, Section 3.1.
    """
    whole = keras.Model(images, taps["logits"], name=name)
    inputs_of_relus = {
        f"stage{stage}_preactivation": whole.get_layer(layer).output for stage, layer in enumerate(preactivations, 1)
    }
    stages = {tap: tensor for tap, tensor in taps.items() if tap not in ("features", "embedding", "logits")}
    network = keras.Model(images, {**stages, **inputs_of_relus, **taps}, name=name)
    network.architecture = architecture
    return network


def features_of(network: keras.Model) -> keras.KerasTensor:
    """The symbolic last feature map, `[batch, height, width, channels]`, of a network.

    Raises:
        ValueError: the network has no tap "features", or one that is no map of a known size.
    """
    if "features" not in network.output:
        raise ValueError(f"networks: {network.name} has no tap 'features'; it has {', '.join(network.output)}")
    features = network.output["features"]
    if len(features.shape) != 4 or None in features.shape[1:]:
        raise ValueError(
            f"networks: {network.name}: 'features' must be [batch, height, width, channels] of one size, not "
            f"{tuple(features.shape)}; build it for images of one size"
        )
    return features
