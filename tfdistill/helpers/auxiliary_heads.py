"""The auxiliary classifiers of dense cross-layer mutual distillation (DCM), as networks of their own.

A head reads one tap of a network and ends in logits. It has as many downsamplings as the rest of the network behind
that tap, in blocks of the network's kind. Three places, from near the end to far from it:

| place | tap | stages of the head, by default |
| --- | --- | --- |
| C2 | where the last resolution begins | the last stage, twice as wide |
| C3 | a resolution earlier | the stages left, the last or all of them half as deep |
| C4 | another one earlier, or the stem | likewise |

The depths and widths for Wide ResNet and MobileNet are those of the code of DCM's authors. Those for the other networks
are of the code of dynamic hierarchical mimicking (Li and Chen, CVPR 2020), whose heads for Wide ResNet are the same. Of
the CIFAR ResNets that code has 32, 110 and 1202; every depth is read here as its 110 and 1202, halves of the backbone's
stages, though its C3 of ResNet-32 has 5 and 3 blocks.
Neither has ResNet-164, MobileNetV2 or any C4: these are read by analogy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from tfdistill.bounds import choose
from tfdistill.helpers.head_designs import Design, has_designs, head_designs, stage_designs
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.networks.layers import classify
from tfdistill.networks.taps import tap_of

KINDS = ("default", "narrow", "pooled")
PLACES = ("C2", "C3", "C4")


@dataclass(frozen=True, eq=False)
class AuxiliaryHead:
    """A head and what it reads.

    Args:
        tap: the network's tap that feeds it.
        model: from that map [batch, height, width, channels] to {"embedding", "logits"}.
    """

    tap: str
    model: keras.Model


def auxiliary_heads(
    network: keras.Model,
    architecture: str | None,
    places: Sequence[str] = ("C2", "C3"),
    *,
    kind: str = "default",
    seed: int | None = None,
) -> dict[str, AuxiliaryHead]:
    """DCM's auxiliary classifiers for a network.

    Example:
        network = tfdistill.networks.build("wide_resnet_28_10", classes=100)
        heads = auxiliary_heads(network, "wide_resnet_28_10")
        taps = network(images)
        logits = {place: head.model(taps[head.tap])["logits"] for place, head in heads.items()}

    Args:
        network: the one to have heads; its taps' shapes and its number of classes are read off it.
        architecture: its name in `NETWORKS`, such as "wide_resnet_28_10"; None, or one without designs, is for pooled
            heads alone: C2 reads the last stage but one, C3 and C4 those before it, the stem counting as the first.
        places: some of "C2", "C3" and "C4", see above.
        kind: "default"; "narrow", which halves every width of the heads; or "pooled", where a head is global pooling
            and a linear classifier alone (the paper's APFC). The paper describes neither further; both are read so.
        seed: of the initial weights, which do not depend on which other heads there are; None draws new ones.

    The weights start from what their architecture's start from, the classifier's bias included.

    Returns:
        from place to head, in the order of `places`. The models are called "<network>_<place>".

    Raises:
        ValueError: an unknown place or kind, an architecture without heads, or a network without the tap or stage.

    Source: Yao and Sun, "Knowledge Transfer via Dense Cross-Layer Mutual-Distillation", ECCV 2020, Section 3.2 and
    Tables 3 and 4.
    """
    LayerSeeds(seed)  # refuses what is no seed
    for argument, value, choices in [("kind", kind, KINDS), *(("places", place, PLACES) for place in places)]:
        choose(argument, value, dict.fromkeys(choices))
    designs = _designs(network, architecture, kind) if places else {}
    heads = {}
    for place in places:
        if place not in designs:
            raise ValueError(
                f"network {network.name!r} has no stage for a head {place}; it has {', '.join(network.output)}"
            )
        design = designs[place]
        if design.tap not in network.output:
            raise ValueError(
                f"network {network.name!r} has no tap {design.tap!r}, which {place} of {architecture} reads"
            )
        # A seed per place: leaving one out changes none of the others.
        own_seed = None if seed is None else seed * len(PLACES) + PLACES.index(place)
        heads[place] = AuxiliaryHead(design.tap, _head(network, design, kind, own_seed, f"{network.name}_{place}"))
    return heads


def _designs(network: keras.Model, architecture: str | None, kind: str) -> dict[str, Design]:
    if kind == "pooled" and not has_designs(architecture or ""):
        return stage_designs(network.output, architecture or "")
    if architecture is None:
        raise ValueError(
            f"network {network.name!r} has no attribute 'architecture', which {kind} heads are made by; set it to the "
            "name of the network that it is, such as 'wide_resnet_28_10'; pooled heads are for any network"
        )
    return head_designs(architecture)


def _head(network: keras.Model, design: Design, kind: str, seed: int | None, name: str) -> keras.Model:
    tap, seeds = network.output[design.tap], LayerSeeds(seed, design.initialization)
    features = keras.Input(tap.shape[1:], dtype=tap.dtype, name=design.tap)
    x = features if kind == "pooled" else design.body(features, 0.5 if kind == "narrow" else 1.0, seeds)
    outputs = classify(x, tap_of(network, "logits").shape[-1], seeds=seeds)
    return keras.Model(features, {"embedding": outputs["embedding"], "logits": outputs["logits"]}, name=name)
