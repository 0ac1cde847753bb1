"""Residual networks for CIFAR-sized images, with basic or bottleneck blocks, activated after the sum."""

from __future__ import annotations

import functools
from typing import Literal

import keras

from tfdistill.bounds import choose
from tfdistill.networks.architectures.stages import three_stages
from tfdistill.networks.depths import basic_blocks, bottlenecks
from tfdistill.networks.initialization import IE_KD_RESNET, USUAL, LayerSeeds
from tfdistill.networks.layers import (
    BatchNormalization,
    SubsampledShortcut,
    classify,
    conv,
    image_input,
    norm_relu,
)
from tfdistill.networks.taps import tapped

# How many channels leave a bottleneck block for each that its 3 x 3 convolution has.
EXPANSION = 4

INITIALIZATIONS = {"usual": USUAL, "ie_kd": IE_KD_RESNET}

# What a depth d says of n bottlenecks per stage: their own three layers each, or the two of a basic block.
COUNTED = {"bottleneck": bottlenecks, "basic": basic_blocks}


def cifar_resnet(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    shortcut: Literal["A", "B"] = "B",
    width: int = 16,
    initialization: Literal["usual", "ie_kd"] = "usual",
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A residual network of three stages of n basic blocks, where depth = 6n + 2.

    A block is conv - norm - ReLU - conv - norm, added to its shortcut, then ReLU. The stages have `width`, 2
    `width` and 4 `width` channels; the second and the third halve the resolution.

    The convolutions start from N(0, 2 / fan_out) and the classifier from PyTorch's default, as in most CIFAR
    code that mutual-learning papers compare with; IE-KD's authors draw both weights from N(0, 2 / fan_in) instead.

    Args:
        depth: the number of weighted layers: 8, 14, 20, ..., 32, ..., 56, ..., 110, ...
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        shortcut: what replaces the identity where the shape changes: "A", every second pixel and zero
            channels (no parameters), or "B", a strided 1 x 1 convolution with normalization.
        width: the channels of the first stage.
        initialization: what the first weights are drawn from, "usual" or "ie_kd".
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "resnet<depth>" by default.

    Returns:
        a network with the taps "stem", "stage1", "stage2", "stage3" (each after the stage's last ReLU),
        "stage1_preactivation" to "stage3_preactivation" (before it), "features" (which is "stage3"),
        "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Section 4.2.
    """
    if shortcut not in ("A", "B"):
        raise ValueError(f'shortcut must be "A" or "B", got {shortcut!r}')
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    chosen = choose("initialization", initialization, INITIALIZATIONS)
    blocks = basic_blocks(depth)
    seeds = LayerSeeds(seed, chosen)
    images = image_input(image_shape, classes, smallest=4)
    x = norm_relu(conv(images, width, 3, seeds=seeds, name="stem"), name="stem")
    block = functools.partial(basic_block, shortcut=shortcut)
    taps = {"stem": x, **three_stages(block, x, width, blocks, seeds=seeds)}
    taps |= classify(taps["stage3"], classes, seeds=seeds)
    sums = [f"stage{stage}_block{blocks}_add" for stage in (1, 2, 3)]
    kind = f"_{shortcut.lower()}_ie_kd" if initialization == "ie_kd" else "_a" if shortcut == "A" else ""
    architecture = f"resnet{depth}{kind}" if width == 16 else None
    return tapped(images, taps, preactivations=sums, name=name or f"resnet{depth}", architecture=architecture)


def cifar_bottleneck_resnet(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    counted_as: Literal["bottleneck", "basic"] = "bottleneck",
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A residual network of three stages of n bottleneck blocks, whose stages end in 64, 128 and 256 channels.

    A block is 1 x 1 - 3 x 3 - 1 x 1 convolution, each with normalization and all but the last with ReLU, added
    to its shortcut (identity, or B where the shape changes), then ReLU. Initial values as in `cifar_resnet`.

    Args:
        depth: 9n + 2, the number of weighted layers, where `counted_as` is "bottleneck"; 6n + 2 where it is
            "basic", which is how ONE's code counts: its "ResNet-56" has nine bottlenecks in each stage, 83
            layers.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        counted_as: "bottleneck" or "basic", see `depth`.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "resnet<depth>_bottleneck" or, counted as basic blocks, "resnet<depth>_one".

    Returns:
        a network with the taps of `cifar_resnet`.

    Raises:
        ValueError: an argument is outside of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Figure 5; Lan et al.,
    "Knowledge Distillation by On-the-Fly Native Ensemble", NeurIPS 2018, for the other count.
    """
    blocks = choose("counted_as", counted_as, COUNTED)(depth)
    seeds = LayerSeeds(seed)
    images = image_input(image_shape, classes, smallest=4)
    x = norm_relu(conv(images, 16, 3, seeds=seeds, name="stem"), name="stem")
    taps = {"stem": x, **three_stages(bottleneck_block, x, 16, blocks, seeds=seeds)}
    taps |= classify(taps["stage3"], classes, seeds=seeds)
    sums = [f"stage{stage}_block{blocks}_add" for stage in (1, 2, 3)]
    architecture = f"resnet{depth}_{'bottleneck' if counted_as == 'bottleneck' else 'one'}"
    return tapped(images, taps, preactivations=sums, name=name or architecture, architecture=architecture)


def basic_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    strides: int,
    seeds: LayerSeeds,
    name: str,
    shortcut: Literal["A", "B"] = "B",
) -> keras.KerasTensor:
    """Two 3 x 3 convolutions to `filters` channels beside a shortcut, "A" or "B" as of `cifar_resnet`.

    Returns:
        the sum behind its ReLU; "<name>_add" is the layer before it.
    """
    residual = norm_relu(conv(x, filters, 3, strides=strides, seeds=seeds, name=f"{name}_conv1"), name=f"{name}_conv1")
    residual = conv(residual, filters, 3, seeds=seeds, name=f"{name}_conv2")
    residual = BatchNormalization(name=f"{name}_conv2_norm")(residual)
    if shortcut == "A" and (strides > 1 or x.shape[-1] != filters):
        x = SubsampledShortcut(filters, strides, name=f"{name}_shortcut")(x)
    return _rectified_sum(residual, x, strides, seeds, name)


def bottleneck_block(
    x: keras.KerasTensor, filters: int, *, strides: int, seeds: LayerSeeds, name: str, strided_conv: int = 2
) -> keras.KerasTensor:
    """A 3 x 3 convolution of `filters` channels between two of 1 x 1, the last to four times as many.

    Args:
        x: a map [batch, height, width, channels].
        filters: the channels of the first two convolutions.
        strides: of the block, 1 or 2.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names.
        strided_conv: which convolution has the strides: 2, the 3 x 3 one, or 1, the 1 x 1 one before it, as in the
            paper.

    Returns:
        the sum behind its ReLU; "<name>_add" is the layer before it.
    """
    residual = x
    for index, (channels, size) in enumerate([(filters, 1), (filters, 3)], 1):
        steps = strides if index == strided_conv else 1
        residual = conv(residual, channels, size, strides=steps, seeds=seeds, name=f"{name}_conv{index}")
        residual = norm_relu(residual, name=f"{name}_conv{index}")
    residual = conv(residual, EXPANSION * filters, 1, seeds=seeds, name=f"{name}_conv3")
    residual = BatchNormalization(name=f"{name}_conv3_norm")(residual)
    return _rectified_sum(residual, x, strides, seeds, name)


def _rectified_sum(
    residual: keras.KerasTensor, x: keras.KerasTensor, strides: int, seeds: LayerSeeds, name: str
) -> keras.KerasTensor:
    if x.shape != residual.shape:
        x = conv(x, residual.shape[-1], 1, strides=strides, seeds=seeds, name=f"{name}_shortcut")
        x = BatchNormalization(name=f"{name}_shortcut_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([residual, x]))
