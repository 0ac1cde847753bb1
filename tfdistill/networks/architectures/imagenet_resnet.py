"""Residual networks for ImageNet-sized images: ResNet-18, 34, 50, 101 and 152, version 1.5."""

from __future__ import annotations

import keras

from tfdistill.networks.architectures.resnet import basic_stage, bottleneck_stage
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.networks.layers import classify, conv, image_input, norm_relu
from tfdistill.networks.taps import tapped

# Blocks in each of the four stages; from 50 layers on they are bottlenecks.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


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
    if depth not in BLOCKS:
        raise ValueError(f"depth must be one of {list(BLOCKS)}, got {depth!r}")
    if strided_conv not in (1, 2):
        raise ValueError(f"strided_conv must be 1 or 2, got {strided_conv!r}")
    seeds = LayerSeeds(seed)
    images = image_input(image_shape, classes, smallest=32)
    x = norm_relu(conv(images, 64, 7, strides=2, seeds=seeds, name="stem"), name="stem")
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(x)  # zero is the least value after a ReLU
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    taps = {"stem": x}
    for index, blocks in enumerate(BLOCKS[depth], 1):
        filters, strides = 64 * 2 ** (index - 1), 1 if index == 1 else 2
        x = stage(
            x,
            filters,
            blocks,
            bottleneck=depth >= 50,
            strides=strides,
            strided_conv=strided_conv,
            seeds=seeds,
            name=f"stage{index}",
        )
        taps[f"stage{index}"] = x
    taps |= classify(x, classes, seeds=seeds)
    sums = [f"stage{index}_block{blocks}_add" for index, blocks in enumerate(BLOCKS[depth], 1)]
    named = f"imagenet_resnet{depth}"
    architecture = named if strided_conv == 2 else None
    return tapped(images, taps, preactivations=sums, name=name or named, architecture=architecture)


def stage(
    x: keras.KerasTensor,
    filters: int,
    blocks: int,
    *,
    bottleneck: bool,
    strides: int,
    seeds: LayerSeeds,
    name: str,
    strided_conv: int = 2,
) -> keras.KerasTensor:
    """`blocks` basic or bottleneck blocks, of which the first has the strides.

    Args:
        x: a map [batch, height, width, channels].
        filters: the channels of the 3 x 3 convolutions; behind bottlenecks the result has four times as many.
        blocks: how many, at least 1.
        bottleneck: build `resnet.bottleneck_stage`, else `resnet.basic_stage`.
        strides: of the first block, 1 or 2.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_block1_conv1" and so on.
        strided_conv: which convolution of a bottleneck has the strides, see `imagenet_resnet`.

    Returns:
        the last block's output, after its ReLU; "<name>_block<blocks>_add" is the layer before it.
    """
    if bottleneck:
        return bottleneck_stage(x, filters, blocks, strides=strides, strided_conv=strided_conv, seeds=seeds, name=name)
    return basic_stage(x, filters, blocks, strides=strides, seeds=seeds, name=name)
