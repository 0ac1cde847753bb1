"""Residual networks for ImageNet-sized images: ResNet-18, 34, 50, 101 and 152, version 1.5."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras

from tfdistill.networks.architectures.resnet import basic_block, bottleneck_block
from tfdistill.networks.architectures.stages import Block, stage
from tfdistill.networks.depths import imagenet_resnet_blocks
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.networks.layers import classify, conv, image_input, norm_relu
from tfdistill.networks.taps import tapped


def imagenet_resnet(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    strided_conv: int = 2,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A residual network of four stages behind a strided 7 x 7 convolution and a strided max pooling.

    Blocks are those of `cifar_resnet` (18, 34) and `cifar_bottleneck_resnet` (50, 101, 152), with projection
    shortcuts. A bottleneck halves the resolution in its 3 x 3 convolution, as torchvision's networks do
    ("version 1.5"); the paper's do it in the 1 x 1 convolution before, and so do `keras.applications`.

    The convolutions start from N(0, 2 / fan_out), the classifier from PyTorch's default.

    Args:
        depth: 18, 34, 50, 101 or 152.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 32 x 32 pixels.
        strided_conv: which convolution of a bottleneck has the strides: 2, the 3 x 3 one, or 1, the 1 x 1 one
            before it. The weights have the same shapes, but make another network.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "imagenet_resnet<depth>" by default.

    Returns:
        a network with the taps "stem" (after its pooling), "stage1" to "stage4" (each after the stage's last
        ReLU, at 1/4 to 1/32 of the resolution), "stage1_preactivation" to "stage4_preactivation" (before it),
        "features" (which is "stage4"), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1.
    """
    stages = imagenet_resnet_blocks(depth)
    if strided_conv not in (1, 2):
        raise ValueError(f"strided_conv must be 1 or 2, got {strided_conv!r}")
    seeds = LayerSeeds(seed)
    images = image_input(image_shape, classes, smallest=32)
    taps = stem_and_stages(images, stages, (1, 2, 2, 2), block_of(depth, strided_conv), seeds)
    taps |= classify(taps["stage4"], classes, seeds=seeds)
    sums = [f"stage{index}_block{blocks}_add" for index, blocks in enumerate(stages, 1)]
    named = f"imagenet_resnet{depth}"
    architecture = named if strided_conv == 2 else None
    return tapped(images, taps, preactivations=sums, name=name or named, architecture=architecture)


def stem_and_stages(
    images: keras.KerasTensor, stages: Sequence[int], strides: Sequence[int], block: Block, seeds: LayerSeeds
) -> dict[str, keras.KerasTensor]:
    """The layers of an ImageNet ResNet from the images to its last map, or to an earlier one.

    Args:
        images: the input.
        stages: the blocks of each stage that is built.
        strides: of each of these, 1 or 2.
        block: what stages are made of.
        seeds: the network's layer seeds.

    Returns:
        the taps "stem", "stage1", "stage2", ...
    """
    x = norm_relu(conv(images, 64, 7, strides=2, seeds=seeds, name="stem"), name="stem")
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(x)  # zero is the least value after a ReLU
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    taps = {"stem": x}
    for index, (blocks, step) in enumerate(zip(stages, strides, strict=True), 1):
        x = stage(block, x, 64 * 2 ** (index - 1), blocks, strides=step, seeds=seeds, name=f"stage{index}")
        taps[f"stage{index}"] = x
    return taps


def block_of(depth: int, strided_conv: int = 2) -> Block:
    """The block that a network of this depth is made of; `strided_conv` is a bottleneck's, see `imagenet_resnet`."""
    return functools.partial(bottleneck_block, strided_conv=strided_conv) if depth >= 50 else basic_block
