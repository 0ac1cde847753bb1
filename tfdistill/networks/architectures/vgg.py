"""VGG networks for CIFAR-sized images, with batch normalization or with the paper's large head."""

from __future__ import annotations

import keras

from tfdistill.networks.depths import vgg_convolutions
from tfdistill.networks.initialization import SMALL_CLASSIFIER, USUAL, LayerSeeds
from tfdistill.networks.layers import (
    BatchNormalization,
    Dropout,
    conv,
    global_average,
    image_input,
    linear_classifier,
)
from tfdistill.networks.taps import tapped

WIDTHS = (64, 128, 256, 512, 512)

# How many convolutions each of the five stages has, by the number of weighted layers in Table 1 of the paper.

HIDDEN_UNITS = 4096


def vgg(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    batch_norm: bool = False,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A VGG network: five stages of 3 x 3 convolutions and ReLUs, a 2 x 2 max pooling after each.

    With normalization, each convolution is followed by it, and one linear layer reads the pooled map, as in
    the VGG-13 of 9.4 million parameters that distillation papers compare. Without, the head has two hidden
    layers of 4096 units with dropout 0.5, as in the paper and in the CIFAR code of IE-KD's authors.

    Convolutions start from N(0, 2 / fan_out) with zero bias. With normalization the linear layer starts from PyTorch's
    default; without, the three start from N(0, 0.01²) with zero bias, as in torchvision's and IE-KD's code.

    Args:
        depth: 11, 13, 16 or 19, the paper's number of weighted layers; with normalization two fewer are left.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 32 x 32 pixels.
        batch_norm: normalize after every convolution, and classify with one linear layer.
        seed: of the initial weights and the dropout; None draws new ones at every call.
        name: the model's name, "vgg<depth>_bn" or "vgg<depth>" by default.

    Returns:
        a network with the taps "stage1" to "stage5" (after the ReLU of the stage's last convolution, before
        its pooling), "stage1_preactivation" to "stage5_preactivation" (before that ReLU), "features" (which is
        "stage5"), "embedding" (the global average after the last pooling) and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015, Table 1 (A, B, D, E).
    """
    counts = vgg_convolutions(depth)
    seeds = LayerSeeds(seed, USUAL if batch_norm else SMALL_CLASSIFIER)
    x = images = image_input(image_shape, classes, smallest=32)
    taps, preactivations = {}, []
    for stage, (filters, convolutions) in enumerate(zip(WIDTHS, counts, strict=True), 1):
        x = conv_stage(x, filters, convolutions, batch_norm=batch_norm, seeds=seeds, name=f"stage{stage}")
        taps[f"stage{stage}"] = x
        preactivations.append(f"stage{stage}_conv{convolutions}{'_norm' if batch_norm else ''}")
        x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    embedding = units = global_average(x)
    if not batch_norm:
        units = _hidden_layers(embedding, seeds)
    logits = linear_classifier(units, classes, seeds=seeds)
    taps |= {"features": taps["stage5"], "embedding": embedding, "logits": logits}
    architecture = f"vgg{depth}_bn" if batch_norm else f"vgg{depth}"
    return tapped(images, taps, preactivations=preactivations, name=name or architecture, architecture=architecture)


def conv_stage(
    x: keras.KerasTensor,
    filters: int,
    convolutions: int,
    *,
    batch_norm: bool,
    seeds: LayerSeeds,
    name: str,
) -> keras.KerasTensor:
    """`convolutions` times 3 x 3 convolution - (norm) - ReLU, without pooling.

    Args:
        x: a map [batch, height, width, channels].
        filters: the channels of every convolution and of the result.
        convolutions: how many, at least 1.
        batch_norm: normalize after each.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_conv1", "<name>_conv1_norm", "<name>_conv1_relu" and so on.
    """
    for index in range(1, convolutions + 1):
        x = conv(x, filters, 3, seeds=seeds, use_bias=True, name=f"{name}_conv{index}")
        if batch_norm:
            x = BatchNormalization(name=f"{name}_conv{index}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_conv{index}_relu")(x)
    return x


def _hidden_layers(x: keras.KerasTensor, seeds: LayerSeeds) -> keras.KerasTensor:
    for index in (1, 2):
        initializer = seeds.initialization.classifier(next(seeds))
        x = keras.layers.Dense(HIDDEN_UNITS, kernel_initializer=initializer, name=f"hidden{index}")(x)
        x = keras.layers.ReLU(name=f"hidden{index}_relu")(x)
        x = Dropout(0.5, seed=next(seeds), name=f"hidden{index}_dropout")(x)
    return x
