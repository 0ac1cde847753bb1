"""Discriminators of feature maps: the helper models of adversarial feature distillation."""

from __future__ import annotations

import keras

from tfdistill.networks import initialization, layers
from tfdistill.networks.convolutions import Conv2D


def discriminator(shape: tuple[int, int, int], *, name: str, seeds: initialization.LayerSeeds) -> keras.Model:
    """A small network that says how likely a feature map comes from the network that is imitated.

    A 3×3 convolution of stride 2 (padding 1, no bias) to half of the channels, BatchNorm, LeakyReLU(0.2), then a
    convolution as large as the map that is left, with bias, to one number, and a sigmoid. Maps of 8×8 and 7×7 leave
    4×4; for 8×8 and 64, 128 or 256 channels that makes 19,009, 74,881 or 297,217 parameters. Any larger or smaller map
    will do, down to 1×1.

    Args:
        shape: (height, width, channels) of the feature map it reads.
        name: of the model.
        seeds: one seed per weight, see `networks.initialization.LayerSeeds`.

    Returns:
        A model from [batch, height, width, channels] to [batch], float32 in 0..1 under every precision.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", §3.2: Conv, BatchNorm,
    LeakyReLU, Conv, Sigmoid, which shrink space and channels to one number. Kernels, strides, slope and initial weights
    are not in the paper; ours are PyTorch's initial weights, U(±1/√fan_in): the residual networks' larger ones start
    the sigmoid where it has no gradient.
    """
    maps = keras.Input(shape, name="maps")
    padded = keras.layers.ZeroPadding2D(1, name="conv1_padding")(maps)
    hidden = Conv2D(
        max(1, shape[-1] // 2),
        3,
        strides=2,
        use_bias=False,
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        name="conv1",
    )(padded)
    hidden = layers.BatchNormalization(name="norm1")(hidden)
    hidden = keras.layers.LeakyReLU(0.2, name="activation1")(hidden)
    height, width, channels = hidden.shape[1:]
    score = Conv2D(
        1,
        (height, width),
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        bias_initializer=initialization.bias_uniform(height * width * channels, next(seeds)),
        dtype="float32",
        name="conv2",
    )(hidden)
    real = keras.layers.Activation("sigmoid", dtype="float32", name="real")(score)
    return keras.Model(maps, keras.layers.Reshape((), dtype="float32", name="per_example")(real), name=name)
