"""Residual networks for CIFAR-sized images, of bottleneck blocks that normalize and rectify before they convolve."""

from __future__ import annotations

import keras

from tfdistill.networks.architectures.resnet import EXPANSION
from tfdistill.networks.architectures.stages import three_stages
from tfdistill.networks.depths import bottlenecks
from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds
from tfdistill.networks.layers import classify, conv, image_input, norm_relu
from tfdistill.networks.taps import tapped


def preactivation_resnet(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A residual network of three stages of n pre-activation bottleneck blocks, where depth = 9n + 2.

    A block is three times norm - ReLU - convolution (1 x 1, 3 x 3, 1 x 1), added to its input, or, at the start
    of a stage, to a 1 x 1 convolution of its normalized and rectified input. The stages end in 64, 128 and 256
    channels; the second and the third halve the resolution.

    The convolutions start from N(0, 2 / fan_out), the classifier's weight from PyTorch's default, its bias
    from zero. DCM's ResNet-164 is read as this network: 164 is no depth of basic blocks in that paper's
    sources, and He et al. print their ResNet-164 with pre-activation bottlenecks.

    Args:
        depth: the number of weighted layers: 11, 20, ..., 110, ..., 164, ..., 1001.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "resnet<depth>_preactivation" by default.

    Returns:
        a network with the taps "stem", "stage1", "stage2", "stage3" (each the stage's raw sum, before any
        normalization), "stage1_preactivation" to "stage3_preactivation" (that sum behind the normalization of
        the next stage's first block, the last behind the final one, before ReLU), "features" (after the final
        normalization and ReLU), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, Section 4 and Appendix.
    """
    blocks = bottlenecks(depth)
    seeds = LayerSeeds(seed, ZERO_BIAS)
    images = image_input(image_shape, classes, smallest=4)
    x = conv(images, 16, 3, seeds=seeds, name="stem")
    taps = {"stem": x, **three_stages(preactivation_bottleneck, x, 16, blocks, seeds=seeds)}
    taps |= classify(norm_relu(taps["stage3"], name="final"), classes, seeds=seeds)
    norms = ["stage2_block1_conv1_norm", "stage3_block1_conv1_norm", "final_norm"]
    architecture = f"resnet{depth}_preactivation"
    return tapped(images, taps, preactivations=norms, name=name or architecture, architecture=architecture)


def preactivation_bottleneck(
    x: keras.KerasTensor, filters: int, *, strides: int, seeds: LayerSeeds, name: str
) -> keras.KerasTensor:
    """Convolutions as of `resnet.bottleneck_block`, each behind normalization and ReLU; strides in the 3 x 3 one.

    Returns:
        the sum, before any normalization; `norm_relu` of it ends a network.
    """
    activated = norm_relu(x, name=f"{name}_conv1")
    residual = conv(activated, filters, 1, seeds=seeds, name=f"{name}_conv1")
    residual = norm_relu(residual, name=f"{name}_conv2")
    residual = conv(residual, filters, 3, strides=strides, seeds=seeds, name=f"{name}_conv2")
    residual = norm_relu(residual, name=f"{name}_conv3")
    residual = conv(residual, EXPANSION * filters, 1, seeds=seeds, name=f"{name}_conv3")
    if x.shape != residual.shape:
        x = conv(activated, EXPANSION * filters, 1, strides=strides, seeds=seeds, name=f"{name}_shortcut")
    return keras.layers.Add(name=f"{name}_add")([residual, x])
