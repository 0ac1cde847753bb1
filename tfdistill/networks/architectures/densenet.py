"""Densely connected networks for CIFAR-sized images, without bottlenecks and compression, of any depth 3n + 4."""

from __future__ import annotations

import keras

from tfdistill.networks.depths import dense_layers
from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds
from tfdistill.networks.layers import classify, conv, image_input, norm_relu
from tfdistill.networks.taps import tapped


def densenet(
    depth: int,
    growth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A densely connected network of three blocks of n layers, where depth = 3n + 4.

    A layer is norm - ReLU - 3 x 3 convolution to `growth` channels, concatenated to all that came before it in
    its block. Between the blocks, norm - ReLU - 1 x 1 convolution - average pooling halves the resolution and
    keeps the channels. The stem has 16 channels.

    The convolutions start from N(0, 2 / fan_out), the classifier's weight from PyTorch's default, its bias
    from zero.

    Args:
        depth: the number of weighted layers: 7, ..., 40, ..., 100.
        growth: the channels that a layer adds, at least 1.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, "densenet_<depth>_<growth>" by default.

    Returns:
        a network with the taps "stem", "stage1", "stage2", "stage3" (each all channels of a dense block, before
        any normalization), "transition1", "transition2" (what the next block reads), "stage1_preactivation" to
        "stage3_preactivation" (the stage behind the normalization of its transition, the last behind the final
        one, before ReLU), "features" (after the final normalization and ReLU), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, Section 3, without B and C.
    """
    if growth < 1:
        raise ValueError(f"growth must be at least 1, got {growth!r}")
    layers = dense_layers(depth)
    seeds = LayerSeeds(seed, ZERO_BIAS)
    images = image_input(image_shape, classes, smallest=4)
    x = conv(images, 16, 3, seeds=seeds, name="stem")
    taps = {"stem": x}
    for stage in (1, 2, 3):
        taps[f"stage{stage}"] = x = dense_block(x, layers, growth, seeds=seeds, name=f"stage{stage}")
        if stage < 3:
            taps[f"transition{stage}"] = x = transition(x, seeds=seeds, name=f"transition{stage}")
    taps |= classify(norm_relu(x, name="final"), classes, seeds=seeds)
    norms = ["transition1_norm", "transition2_norm", "final_norm"]
    architecture = f"densenet_{depth}_{growth}"
    return tapped(images, taps, preactivations=norms, name=name or architecture, architecture=architecture)


def dense_block(x: keras.KerasTensor, layers: int, growth: int, *, seeds: LayerSeeds, name: str) -> keras.KerasTensor:
    """`layers` times norm - ReLU - 3 x 3 convolution, each concatenated to its input.

    Args:
        x: a map [batch, height, width, channels], before normalization.
        layers: how many, at least 1.
        growth: the channels that each adds.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_layer1_conv" and so on.

    Returns:
        a map of `layers * growth` more channels, before normalization; `norm_relu` of it ends a network.
    """
    for layer in range(1, layers + 1):
        added = norm_relu(x, name=f"{name}_layer{layer}")
        added = conv(added, growth, 3, seeds=seeds, name=f"{name}_layer{layer}_conv")
        x = keras.layers.Concatenate(name=f"{name}_layer{layer}_concatenate")([x, added])
    return x


def transition(x: keras.KerasTensor, *, seeds: LayerSeeds, name: str) -> keras.KerasTensor:
    """Norm - ReLU - 1 x 1 convolution - 2 x 2 average pooling; the channels stay as many.

    Args:
        x: a map [batch, height, width, channels], before normalization.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_norm", "<name>_relu", "<name>_conv" and "<name>_pool".
    """
    x = conv(norm_relu(x, name=name), x.shape[-1], 1, seeds=seeds, name=f"{name}_conv")
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
