"""MobileNet (version 1) for CIFAR-sized images, with both placements of the strides that the papers used."""

from __future__ import annotations

from typing import Literal

import keras

from tfdistill.bounds import choose
from tfdistill.networks.initialization import IE_KD_MOBILENET, PYTORCH, LayerSeeds
from tfdistill.networks.layers import classify, conv, depthwise_conv, image_input, norm_relu
from tfdistill.networks.taps import tapped

WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)

# The widths whose first block halves the resolution; both leave a quarter of the side (8 of 32 pixels).
HALVING_WIDTHS = {"ie_kd": (256, 512), "dcm": (512, 1024)}

# The names of the networks whose strides and first weights are one paper's.
ARCHITECTURES = {"ie_kd": "mobilenet", "dcm": "mobilenet_dcm"}

INITIALIZATIONS = {"ie_kd": IE_KD_MOBILENET, "dcm": PYTORCH}


def mobilenet(
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    strides: Literal["ie_kd", "dcm"] = "ie_kd",
    initialization: Literal["", "ie_kd", "dcm"] = "",
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """MobileNet: a stem and 13 depthwise-separable blocks, at full resolution in the stem.

    A block is depthwise 3 x 3 conv - norm - ReLU - 1 x 1 conv - norm - ReLU. The papers halve the resolution
    at different blocks, with the same parameters and the same 8 x 8 last map of a 32 x 32 image.

    Neither paper states its initialisation. By the code of IE-KD's authors the convolutions start from
    N(0, 2 / fan_out), where a depthwise one counts its own channel alone, the classifier's weight from N(0, 0.01²) and
    its bias from zero. DCM's code leaves all of it to PyTorch: U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)) for kernels and
    classifier.

    Args:
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        strides: "ie_kd" halves at the first block of 256 and of 512 channels, "dcm" at the first of 512 and
            of 1024.
        initialization: what the first weights are drawn from, "ie_kd" or "dcm"; as the strides if empty.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "mobilenet" by default.

    Returns:
        a network with the taps "stem", "stage1", "stage2", "stage3" (the last block at each resolution, after
        its ReLU), "stage1_preactivation" to "stage3_preactivation" (before that ReLU), "features" (which is
        "stage3"), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: Howard et al., "MobileNets", arXiv:1704.04861, Table 1, with the strides of IE-KD's and DCM's
    authors.
    """
    halving = choose("strides", strides, HALVING_WIDTHS)
    seeds = LayerSeeds(seed, choose("initialization", initialization or strides, INITIALIZATIONS))
    images = image_input(image_shape, classes, smallest=4)
    x = norm_relu(conv(images, 32, 3, seeds=seeds, name="stem"), name="stem")
    taps, norms = {"stem": x}, []
    for block, width in enumerate(WIDTHS, 1):
        halves = width in halving and WIDTHS.index(width) == block - 1
        if halves:
            norms.append(f"block{block - 1}_pointwise_norm")
            taps[f"stage{len(norms)}"] = x
        x = separable_block(x, width, strides=2 if halves else 1, seeds=seeds, name=f"block{block}")
    norms.append(f"block{len(WIDTHS)}_pointwise_norm")
    taps[f"stage{len(norms)}"] = x
    taps |= classify(x, classes, seeds=seeds)
    architecture = ARCHITECTURES[strides] if initialization in ("", strides) else None
    return tapped(images, taps, preactivations=norms, name=name or "mobilenet", architecture=architecture)


def separable_block(
    x: keras.KerasTensor, filters: int, *, seeds: LayerSeeds, name: str, strides: int = 1
) -> keras.KerasTensor:
    """Depthwise 3 x 3 convolution - norm - ReLU - 1 x 1 convolution - norm - ReLU.

    Args:
        x: a map [batch, height, width, channels].
        filters: the channels of the result.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_depthwise" and "<name>_pointwise".
        strides: of the depthwise convolution, 1 or 2.
    """
    x = depthwise_conv(x, 3, strides=strides, seeds=seeds, name=f"{name}_depthwise")
    x = conv(norm_relu(x, name=f"{name}_depthwise"), filters, 1, seeds=seeds, name=f"{name}_pointwise")
    return norm_relu(x, name=f"{name}_pointwise")
