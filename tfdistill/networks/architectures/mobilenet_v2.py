"""MobileNetV2 with PyTorch's padding and normalization, for images of 32 pixels or more."""

from __future__ import annotations

import functools

import keras

from tfdistill.networks.architectures.stages import stage
from tfdistill.networks.initialization import SMALL_CLASSIFIER, LayerSeeds
from tfdistill.networks.layers import BatchNormalization, classify, conv, depthwise_conv, image_input
from tfdistill.networks.taps import tapped

# Table 2 of the paper, a group of blocks each: expansion, output channels, blocks, stride of the first block.
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """MobileNetV2 of width 1: a stem, 17 inverted residual blocks, and a 1 x 1 convolution to 1280 channels.

    An inverted residual block is 1 x 1 conv - norm - ReLU6 - depthwise 3 x 3 conv - norm - ReLU6 - 1 x 1 conv -
    norm, added to its input where it has the same shape; the first block does not expand and lacks the first
    convolution. Strided convolutions pad by one on every side, and normalization has PyTorch's constants, so that
    weights trained there mean the same here. There is no dropout before the classifier.

    The kernels start from N(0, 2 / fan_out), where a depthwise one counts every channel as PyTorch does; the
    classifier's weight from N(0, 0.01²), its bias from zero. So do torchvision's, and the code of a MobileNetV2 by an
    author of dynamic hierarchical mimicking.

    Args:
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 32 x 32 pixels.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "mobilenet_v2" by default.

    Returns:
        a network with the taps "stem", "stage1" to "stage5" (the last linear bottleneck at 1/2 to 1/32 of the
        resolution), "stage1_preactivation" to "stage5_preactivation" (the same: no ReLU follows), "features"
        (after the last 1 x 1 convolution, norm and ReLU6), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, Table 2.
    """
    seeds = LayerSeeds(seed, SMALL_CLASSIFIER)
    images = image_input(image_shape, classes, smallest=32)
    x = norm_relu6(conv(images, 32, 3, strides=2, seeds=seeds, name="stem"), name="stem")
    taps, ends, end = {"stem": x}, [], ""
    for group, (expansion, filters, blocks, strides) in enumerate(GROUPS, 1):
        if strides == 2:
            ends.append(end)
            taps[f"stage{len(ends)}"] = x
        block = functools.partial(inverted_residual, expansion=expansion)
        x = stage(block, x, filters, blocks, strides=strides, seeds=seeds, name=f"group{group}")
        end = f"group{group}_block{blocks}_" + ("add" if blocks > 1 else "project_norm")
    ends.append(end)
    taps[f"stage{len(ends)}"] = x
    x = norm_relu6(conv(x, 1280, 1, seeds=seeds, name="final"), name="final")
    taps |= classify(x, classes, seeds=seeds)
    return tapped(images, taps, preactivations=ends, name=name or "mobilenet_v2", architecture="mobilenet_v2")


def inverted_residual(
    x: keras.KerasTensor, filters: int, *, strides: int, seeds: LayerSeeds, name: str, expansion: int = 6
) -> keras.KerasTensor:
    """A depthwise convolution of `expansion` times the channels between two of 1 x 1, the last to `filters`.

    Layers are called "<name>_expand", "_depthwise" and "_project", the norms with "_norm" behind.
    """
    channels, residual = x.shape[-1], x
    if expansion > 1:
        residual = conv(residual, expansion * channels, 1, seeds=seeds, name=f"{name}_expand")
        residual = norm_relu6(residual, name=f"{name}_expand")
    residual = depthwise_conv(residual, 3, strides=strides, seeds=seeds, name=f"{name}_depthwise")
    residual = norm_relu6(residual, name=f"{name}_depthwise")
    residual = conv(residual, filters, 1, seeds=seeds, name=f"{name}_project")
    residual = BatchNormalization(name=f"{name}_project_norm")(residual)
    if strides > 1 or channels != filters:
        return residual
    return keras.layers.Add(name=f"{name}_add")([x, residual])


def norm_relu6(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Batch normalization, then min(ReLU, 6); `name` is the prefix of both layers' names."""
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(BatchNormalization(name=f"{name}_norm")(x))
