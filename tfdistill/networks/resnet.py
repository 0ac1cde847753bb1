"""Residual networks for CIFAR-sized images, with basic blocks, of any depth 6n + 2."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from tfdistill.networks.layers import (
    BatchNormalization,
    SubsampledShortcut,
    classify,
    conv,
    image_input,
    layer_seeds,
    norm_relu,
)


def cifar_resnet(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    shortcut: str = "B",
    width: int = 16,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A residual network of three stages of n basic blocks, where depth = 6n + 2.

    A block is conv - norm - ReLU - conv - norm, added to its shortcut, then ReLU. The stages have `width`, 2
    `width` and 4 `width` channels; the second and the third halve the resolution.

    The convolutions start from N(0, 2 / fan_out) and the classifier from PyTorch's default, as in most CIFAR
    code that mutual-learning papers compare with; IE-KD's authors draw both from N(0, 2 / fan_in) instead.

    Args:
        depth: the number of weighted layers: 8, 14, 20, ..., 32, ..., 56, ..., 110, ...
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        shortcut: what replaces the identity where the shape changes: "A", every second pixel and zero
            channels (no parameters), or "B", a strided 1 x 1 convolution with normalization.
        width: the channels of the first stage.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "resnet<depth>" by default.

    Returns:
        a network with the taps "stage1", "stage2", "stage3" (each after the stage's last ReLU), "features"
        (which is "stage3"), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Section 4.2.
    """
    if shortcut not in ("A", "B"):
        raise ValueError(f'shortcut must be "A" or "B", got {shortcut!r}')
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    blocks = blocks_per_stage(depth, convolutions=6, others=2)
    seeds = layer_seeds(seed)
    images = image_input(image_shape, classes, smallest=4)
    x = norm_relu(conv(images, width, 3, seeds=seeds, name="stem"), name="stem")
    taps = {}
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _basic_block(x, width * 2 ** (stage - 1), strides, shortcut, seeds, f"stage{stage}_block{block}")
        taps[f"stage{stage}"] = x
    taps |= classify(x, classes, seeds=seeds)
    return keras.Model(images, taps, name=name or f"resnet{depth}")


def _basic_block(
    x: keras.KerasTensor, filters: int, strides: int, shortcut: str, seeds: Iterator[int | None], name: str
) -> keras.KerasTensor:
    residual = norm_relu(conv(x, filters, 3, strides=strides, seeds=seeds, name=f"{name}_conv1"), name=f"{name}_conv1")
    residual = conv(residual, filters, 3, seeds=seeds, name=f"{name}_conv2")
    residual = BatchNormalization(name=f"{name}_conv2_norm")(residual)
    if strides > 1:
        if shortcut == "A":
            x = SubsampledShortcut(filters, strides, name=f"{name}_shortcut")(x)
        else:
            x = conv(x, filters, 1, strides=strides, seeds=seeds, name=f"{name}_shortcut")
            x = BatchNormalization(name=f"{name}_shortcut_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([residual, x]))


def blocks_per_stage(depth: int, *, convolutions: int, others: int) -> int:
    """n of depth = convolutions * n + others, the number of blocks in each stage.

    Args:
        depth: the number of weighted layers.
        convolutions: how many layers one more block in every stage adds.
        others: how many layers lie outside of the blocks, or count as if they did.

    Raises:
        ValueError: no n of at least 1 gives this depth; the message names the nearest depths that have one.
    """
    blocks, rest = divmod(depth - others, convolutions)
    if rest == 0 and blocks >= 1:
        return blocks
    below = convolutions * max(blocks, 1) + others
    nearest = f"{below} and {below + convolutions}" if depth > below else f"{below}"
    raise ValueError(f"depth must be {convolutions}n + {others} with n of at least 1, got {depth}; nearest: {nearest}")
