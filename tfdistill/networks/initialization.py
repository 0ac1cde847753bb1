"""How first weights are drawn: PyTorch's distributions, and those of the papers' authors.

Behind a normalization the scale of a kernel changes no output; but the larger a kernel starts, the less the same steps
turn it. So a network can start as the code of the paper has it whose training it is to repeat.

Keras counts the fan-out of a depthwise kernel as one channel's, `size²`, and its fan-in as all channels', `size² ·
channels`; PyTorch counts them the other way round. The functions here say what they draw in numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

Draw = Callable[[int | None], keras.initializers.Initializer]


def fan_out_normal(seed: int | None) -> keras.initializers.Initializer:
    """N(0, 2 / fan_out), not truncated: the residual networks' usual initialisation of convolutions."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)


def fan_in_normal(seed: int | None) -> keras.initializers.Initializer:
    """N(0, 2 / fan_in), not truncated: PyTorch's `kaiming_normal_` as it stands."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=seed)


def fan_in_uniform(seed: int | None) -> keras.initializers.Initializer:
    """U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)): PyTorch's default for linear layers and convolutions."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform", seed=seed)


def bias_uniform(fan_in: int, seed: int | None) -> keras.initializers.Initializer:
    """U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)): PyTorch's default for a bias; its own shape does not tell the fan-in."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit, seed=seed)


def both_fans_uniform(seed: int | None) -> keras.initializers.Initializer:
    """U(-a, a) with a = sqrt(6 / (fan_in + fan_out)): Glorot's and Bengio's, PyTorch's `xavier_uniform_`."""
    return keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform", seed=seed)


def depthwise_normal(seed: int | None) -> keras.initializers.Initializer:
    """N(0, 2 / (size² · channels)): `fan_out_normal` of a depthwise kernel, with the fan-out as PyTorch counts it."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=seed)


def depthwise_channel_normal(seed: int | None) -> keras.initializers.Initializer:
    """N(0, 2 / size²), of a depthwise kernel: as each input pixel reaches one channel alone."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)


def depthwise_uniform(seed: int | None) -> keras.initializers.Initializer:
    """U(-1 / size, 1 / size): PyTorch's default for a depthwise kernel, which reads size² numbers."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, "fan_out", "uniform", seed=seed)


def hundredth_normal(seed: int | None) -> keras.initializers.Initializer:
    """N(0, 0.01²)."""
    return keras.initializers.RandomNormal(stddev=0.01, seed=seed)


def unit_uniform(seed: int | None) -> keras.initializers.Initializer:
    """U(0, 1)."""
    return keras.initializers.RandomUniform(0.0, 1.0, seed=seed)


@dataclass(frozen=True)
class Initialization:
    """What the first weights of a network are drawn from; each function takes a layer's seed.

    Args:
        convolution: kernels of convolutions over all channels.
        depthwise: kernels of depthwise convolutions.
        classifier: the linear classifier's weight.
        zero_bias: start the classifier's bias at zero; else it is drawn from U(-1 / sqrt(units), 1 / sqrt(units)), as
            PyTorch does.
        scale: normalizations' scale gamma; ones if there is none.
    """

    convolution: Draw = fan_out_normal
    depthwise: Draw = depthwise_normal
    classifier: Draw = fan_in_uniform
    zero_bias: bool = False
    scale: Draw | None = None


# Of most CIFAR code that mutual-learning papers compare with (ONE, FFL, DHM), and of torchvision's ResNets.
USUAL = Initialization()
ZERO_BIAS = replace(USUAL, zero_bias=True)
# PyTorch's defaults: what is not said is drawn so. DCM's MobileNet.
PYTORCH = Initialization(convolution=fan_in_uniform, depthwise=depthwise_uniform)
# torchvision's VGG, which IE-KD's authors took over.
SMALL_CLASSIFIER = Initialization(classifier=hundredth_normal, zero_bias=True)
# By the code of IE-KD's authors.
IE_KD_RESNET = Initialization(convolution=fan_in_normal, classifier=fan_in_normal)
IE_KD_MOBILENET = replace(SMALL_CLASSIFIER, depthwise=depthwise_channel_normal)
# By the code of DCM's authors, as of the Wide ResNets that they took over.
DCM_WIDE_RESNET = Initialization(
    convolution=fan_in_normal, classifier=fan_in_normal, zero_bias=True, scale=unit_uniform
)

# What SSD adds to its backbone.
XAVIER = Initialization(convolution=both_fans_uniform)


class LayerSeeds(Iterator[int | None]):
    """One seed per layer, all different, a function of `seed` alone; and what the layers draw their weights from.

    Args:
        seed: an integer of at least 0, or None, for seeds of None: each layer draws its own.
        initialization: what to draw from.

    Raises:
        ValueError: `seed` is neither None nor an integer of at least 0.
    """

    def __init__(self, seed: int | None, initialization: Initialization = USUAL) -> None:
        self.initialization = initialization
        self._seeds: Iterator[int | None] = itertools.repeat(None)
        if seed is None:
            return
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed must be None or an integer of at least 0, got {seed!r}")
        # A hashed start, so that neighbouring seeds share no run of layer seeds.
        first = int(np.random.SeedSequence(int(seed)).generate_state(1)[0]) >> 1
        self._seeds = itertools.count(first)

    def __next__(self) -> int | None:
        return next(self._seeds)

    def drawing(self, initialization: Initialization) -> LayerSeeds:
        """The seeds that follow, for layers that draw from something else; both go on with the same row."""
        other = LayerSeeds(None, initialization)
        other._seeds = self._seeds
        return other
