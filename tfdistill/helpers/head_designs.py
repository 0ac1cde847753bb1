"""What DCM's auxiliary classifiers are made of, a function a backbone: from the numbers in its name to its designs.

A design's body takes the tap, the factor of all widths (1, or 0.5 for a narrow head) and the head's layer seeds, and
returns the head's last feature map.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras

from tfdistill.networks.architectures.densenet import dense_block, transition
from tfdistill.networks.architectures.imagenet_resnet import block_of
from tfdistill.networks.architectures.mobilenet import separable_block
from tfdistill.networks.architectures.mobilenet_v2 import inverted_residual, norm_relu6
from tfdistill.networks.architectures.preactivation_resnet import preactivation_bottleneck
from tfdistill.networks.architectures.resnet import basic_block, bottleneck_block
from tfdistill.networks.architectures.stages import Block, stage
from tfdistill.networks.architectures.wide_resnet import wide_block
from tfdistill.networks.depths import IMAGENET_RESNET
from tfdistill.networks.initialization import (
    DCM_WIDE_RESNET,
    IE_KD_MOBILENET,
    IE_KD_RESNET,
    PYTORCH,
    SMALL_CLASSIFIER,
    USUAL,
    ZERO_BIAS,
    Initialization,
    LayerSeeds,
)
from tfdistill.networks.layers import conv, norm_relu

Seeds = LayerSeeds
Body = Callable[[keras.KerasTensor, float, Seeds], keras.KerasTensor]


@dataclass(frozen=True)
class Design:
    """A head as its network and its place decide it.

    Args:
        tap: what feeds it.
        body: everything before global pooling and classifier.
        initialization: what its weights are drawn from: what its network's are.
    """

    tap: str
    body: Body
    initialization: Initialization = USUAL


def head_designs(architecture: str) -> dict[str, Design]:
    """The heads of an architecture, from place ("C2", "C3", "C4") to design.

    Args:
        architecture: a name in `NETWORKS`.

    Raises:
        ValueError: there are none for it.
    """
    for pattern, designs in DESIGNS.items():
        if match := re.fullmatch(pattern, architecture):
            return designs(*match.groups())
    raise ValueError(
        f"there are no auxiliary heads for {architecture!r}; there are for {WITH_HEADS}; pooled ones for any network"
    )


def has_designs(architecture: str) -> bool:
    """Whether there are heads for an architecture of that name."""
    return any(re.fullmatch(pattern, architecture) for pattern in DESIGNS)


def stage_designs(taps: Iterable[str], architecture: str = "") -> dict[str, Design]:
    """Heads without a body for any network: each of its stages before the last, from the nearest to the end on.

    Args:
        taps: of the network. As many places as there are stages have a design; the stem counts as the first.
        architecture: its name in `NETWORKS`, if it has one.
    """
    drawn_from = next((one for pattern, one in UNDESIGNED.items() if re.fullmatch(pattern, architecture)), USUAL)
    named = set(taps)
    maps = [tap for tap in ("stem", *(f"stage{number}" for number in range(1, 10))) if tap in named]
    places = zip(("C2", "C3", "C4"), reversed(maps[:-1]), strict=False)
    return {place: Design(tap, _nothing, drawn_from) for place, tap in places}


def _nothing(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
    return x


def _wide_resnet(depth: str, width: str, dropout: str | None, dcm: str | None) -> dict[str, Design]:
    n, k, rate = (int(depth) - 4) // 6, int(width), 0.3 if dropout else 0.0
    drawn_from = DCM_WIDE_RESNET if dcm else ZERO_BIAS

    def body(*stages: tuple[int, int, int]) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            block = functools.partial(wide_block, dropout=rate)
            for index, (filters, blocks, strides) in enumerate(stages, 1):
                filters, name = int(filters * k * factor), f"stage{index}"
                x = stage(block, x, filters, blocks, strides=strides, seeds=seeds, name=name)
            return norm_relu(x, seeds=seeds, name="final")

        return build

    return {
        "C2": Design("stage2", body((128, n, 2)), drawn_from),
        "C3": Design("stage1", body((32, n, 2), (64, _half(n), 2)), drawn_from),
        "C4": Design("stem", body((16, n, 1), (32, _half(n), 2), (64, _half(n), 2)), drawn_from),
    }


def _mobilenet_dcm() -> dict[str, Design]:
    def body(*widths: int) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            for index, filters in enumerate(widths, 1):
                # The backbone halves the resolution at its first block of 512 and of 1024 channels.
                first = filters >= 512 and filters not in widths[: index - 1]
                name = f"block{index}"
                x = separable_block(x, int(filters * factor), strides=2 if first else 1, seeds=seeds, name=name)
            return x

        return build

    return {
        "C2": Design("stage2", body(2048, 2048), PYTORCH),
        "C3": Design("stage1", body(512, 512, 512, 512, 1024, 1024), PYTORCH),
        "C4": Design("stem", body(64, 128, 128, 256, 256, 512, 512, 512, 1024), PYTORCH),
    }


def _cifar_resnet(
    block: Block,
    n: int,
    *,
    preactivation: bool = False,
    drawn_from: Initialization = USUAL,
) -> dict[str, Design]:
    def body(*stages: tuple[int, int, int]) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            for index, (filters, blocks, strides) in enumerate(stages, 1):
                filters, name = int(filters * factor), f"stage{index}"
                x = stage(block, x, filters, blocks, strides=strides, seeds=seeds, name=name)
            return norm_relu(x, name="final") if preactivation else x

        return build

    half = _half(n)
    return {
        "C2": Design("stage2", body((128, n, 2)), drawn_from),
        "C3": Design("stage1", body((32, half, 2), (64, half, 2)), drawn_from),
        "C4": Design("stem", body((16, half, 1), (32, half, 2), (64, half, 2)), drawn_from),
    }


def _preactivation(depth: str) -> dict[str, Design]:
    n = (int(depth) - 2) // 9
    return _cifar_resnet(preactivation_bottleneck, n, preactivation=True, drawn_from=ZERO_BIAS)


def _bottleneck(depth: str) -> dict[str, Design]:
    return _cifar_resnet(bottleneck_block, (int(depth) - 2) // 9)


def _bottleneck_counted_as_basic(depth: str) -> dict[str, Design]:
    return _cifar_resnet(bottleneck_block, (int(depth) - 2) // 6)


def _basic(depth: str, shortcut: str | None, ie_kd: str | None) -> dict[str, Design]:
    def block(x: keras.KerasTensor, filters: int, **settings: Any) -> keras.KerasTensor:
        # Shortcut A adds channels and cannot take any away, as a narrow head at the stem would have to.
        kept = shortcut == "a" and filters >= x.shape[-1]
        return basic_block(x, filters, shortcut="A" if kept else "B", **settings)

    return _cifar_resnet(block, (int(depth) - 2) // 6, drawn_from=IE_KD_RESNET if ie_kd else USUAL)


def _densenet(depth: str, growth: str) -> dict[str, Design]:
    n, k = (int(depth) - 4) // 3, int(growth)

    def body(*blocks: tuple[int, int]) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            for index, (layers, growth) in enumerate(blocks, 1):
                if index > 1:
                    x = transition(x, seeds=seeds, name=f"transition{index - 1}")
                x = dense_block(x, layers, max(1, int(growth * factor)), seeds=seeds, name=f"stage{index}")
            return norm_relu(x, name="final")

        return build

    return {
        "C2": Design("transition2", body((n, 3 * k)), ZERO_BIAS),
        "C3": Design("transition1", body((n, k), (_half(n), k)), ZERO_BIAS),
        "C4": Design("stem", body((n, k), (_half(n), k), (_half(n), k)), ZERO_BIAS),
    }


def _imagenet_resnet(library: str, depth: str) -> dict[str, Design]:
    drawn_from = ZERO_BIAS if library == "keras" else USUAL
    block, (_, second, third, fourth) = block_of(int(depth)), IMAGENET_RESNET[int(depth)]

    def body(*stages: tuple[int, int]) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            for index, (filters, blocks) in enumerate(stages, 1):
                filters, name = int(filters * factor), f"stage{index}"
                x = stage(block, x, filters, blocks, strides=2, seeds=seeds, name=name)
            return x

        return build

    return {
        "C2": Design("stage3", body((1024, fourth)), drawn_from),
        "C3": Design("stage2", body((256, -(-third // 2)), (512, 2)), drawn_from),
        "C4": Design("stage1", body((128, _half(second)), (256, -(-third // 2)), (512, 2)), drawn_from),
    }


def _mobilenet_v2(library: str | None) -> dict[str, Design]:
    drawn_from = ZERO_BIAS if library else SMALL_CLASSIFIER

    def body(*groups: tuple[int, int, int], last: int) -> Body:
        def build(x: keras.KerasTensor, factor: float, seeds: Seeds) -> keras.KerasTensor:
            for index, (filters, blocks, strides) in enumerate(groups, 1):
                filters, name = int(filters * factor), f"group{index}"
                x = stage(inverted_residual, x, filters, blocks, strides=strides, seeds=seeds, name=name)
            return norm_relu6(conv(x, int(last * factor), 1, seeds=seeds, name="final"), name="final")

        return build

    far = ((64, 2, 2), (96, 2, 1), (160, 2, 2), (320, 1, 1))
    return {
        "C2": Design("stage4", body((320, 3, 2), (640, 1, 1), last=2560), drawn_from),
        "C3": Design("stage3", body(*far, last=1280), drawn_from),
        "C4": Design("stage2", body((32, 2, 2), *far, last=1280), drawn_from),
    }


def _half(blocks: int) -> int:
    return max(1, blocks // 2)


# A pattern of names, whose groups the function takes. Names with fixed numbers come before patterns.
DESIGNS: dict[str, Callable[..., dict[str, Design]]] = {
    r"resnet(164)": _preactivation,
    r"resnet(\d+)_preactivation": _preactivation,
    r"resnet(\d+)_bottleneck": _bottleneck,
    r"resnet(\d+)_one": _bottleneck_counted_as_basic,
    r"resnet(\d+)(?:_([ab])(_ie_kd)?)?": _basic,
    r"wide_resnet_(\d+)_(\d+)(_dropout)?(_dcm)?": _wide_resnet,
    r"densenet_(\d+)_(\d+)": _densenet,
    r"mobilenet_dcm": _mobilenet_dcm,
    r"(imagenet|keras)_resnet(\d+)": _imagenet_resnet,
    r"(keras_)?mobilenet_v2": _mobilenet_v2,
}
# What the classifiers of networks without designs start from, where it is not the usual.
UNDESIGNED = {r"vgg\d+": SMALL_CLASSIFIER, r"mobilenet": IE_KD_MOBILENET}
WITH_HEADS = "CIFAR and ImageNet ResNets, wide ResNets, DenseNets, mobilenet_dcm and mobilenet_v2"
