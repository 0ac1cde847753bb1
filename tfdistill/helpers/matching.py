"""The last feature maps of two networks, brought to one shape."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from tfdistill.helpers import factors
from tfdistill.networks import initialization, layers
from tfdistill.networks.convolutions import Conv2D
from tfdistill.networks.taps import features_of
from tfdistill.taps import CallModel, Taps


@dataclass(frozen=True)
class Matching:
    """How the feature map of one network meets that of the network it learns from.

    Attributes:
        shape: (height, width, channels) that both have in the end.
        transfer: takes the learner's map to the source's channels; `None` where both have as many.
    """

    shape: tuple[int, int, int]
    transfer: keras.Model | None

    def maps(self, own: Taps, source: Taps, call: CallModel) -> tuple[tf.Tensor, tf.Tensor]:
        """The learner's and the source's last feature map, both `[batch, *shape]`; `call` calls the transfer layer.

        The larger is average-pooled to the smaller before anything else.
        """
        matched, target = (factors.pooled(taps["features"], self.shape[:2]) for taps in (own, source))
        return matched if self.transfer is None else call(self.transfer, matched), target

    def helpers(self) -> tuple[keras.Model, ...]:
        """The transfer layer, if there is one."""
        return () if self.transfer is None else (self.transfer,)


def match(learner: keras.Model, source: keras.Model, *, seeds: initialization.LayerSeeds, prefix: str = "") -> Matching:
    """Makes the last feature maps of two networks comparable, in the source's channels.

    Args:
        learner: the network that learns.
        source: the network it learns from.
        seeds: one seed per weight of the transfer layer.
        prefix: how the name of the transfer layer begins; with the learner's name if empty.

    Raises:
        ValueError: a network without "features", or sizes of which one is no multiple of the other.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", §3.2. There a transfer layer
    gives a network's map the peer's channels, but the equations send both maps through the transfer layer of their
    network into one discriminator, and the two would come out with different channels. Here the learner's map alone is
    converted, and the source's stays as it is. The paper's pairs have maps of one size.
    """
    own, peer = features_of(learner).shape[1:], features_of(source).shape[1:]
    size = factors.smaller(own, peer)
    transfer = None
    if own[-1] != peer[-1]:
        transfer = transfer_layer((*size, own[-1]), peer[-1], name=f"{prefix or learner.name}_transfer", seeds=seeds)
    return Matching((*size, peer[-1]), transfer)


def transfer_layer(
    shape: tuple[int, int, int], channels: int, *, name: str, seeds: initialization.LayerSeeds
) -> keras.Model:
    """A 1×1 convolution without bias, BatchNorm and ReLU, from `shape` to as many `channels`.

    Source: Chung et al., §3.2; the kernel's size, and initial weights as PyTorch's U(±1/√fan_in), are ours.
    """
    maps = keras.Input(shape, name="maps")
    outputs = Conv2D(
        channels, 1, use_bias=False, kernel_initializer=initialization.fan_in_uniform(next(seeds)), name="conv"
    )(maps)
    return keras.Model(maps, layers.norm_relu(outputs, name="transfer"), name=name)
