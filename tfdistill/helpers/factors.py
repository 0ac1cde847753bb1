"""Factor encoders: the helper models of factor transfer and of inheritance and exploration."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.networks import initialization, layers
from tfdistill.networks.convolutions import Conv2D


@keras.saving.register_keras_serializable(package="tfdistill")
class ChannelSelection(keras.layers.Layer):
    """Takes some channels of a feature map; which ones is state, kept with every checkpoint.

    Args:
        indices: the channels, in 0..C-1.
    """

    def __init__(self, indices: Sequence[int], **keras_arguments) -> None:
        super().__init__(**keras_arguments)
        self.first_indices = [int(index) for index in indices]
        self.indices = self.add_weight(
            shape=(len(self.first_indices),),
            initializer=lambda shape, dtype: tf.constant(self.first_indices, dtype),
            # TensorFlow keeps int32 variables of a GPU in the host's memory, where XLA's steps cannot read them.
            dtype="int64",
            trainable=False,
            name="indices",
        )

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        return tf.gather(maps, self.indices, axis=-1)

    def compute_output_shape(self, shape: tuple) -> tuple:
        return (*shape[:-1], len(self.first_indices))

    def get_config(self) -> dict:
        return {**super().get_config(), "indices": self.first_indices}


def split_channels(channels: int, share: float, *, seed: int | None = None) -> tuple[list[int], list[int]]:
    """Splits channels at random into an inheritance and an exploration part.

    Args:
        channels: number of channels C.
        share: share η of the inheritance part, 0..1: it gets the first ⌊ηC⌋ channels of the permutation.
        seed: of the permutation; `None` keeps the natural order (first channels inherit).

    Returns:
        The two lists of indices, disjoint, together all channels; one is empty where η is 0 or 1.

    Source: Huang et al. (CVPR 2021), §3.2 and Table 5. The paper splits at random, its code in the natural order.
    """
    order = np.arange(channels) if seed is None else np.random.default_rng(seed).permutation(channels)
    # 0.29 · 100 is 28.999... in binary; what is meant is 29.
    inherited = int(share * channels + 1e-9)
    return order[:inherited].tolist(), order[inherited:].tolist()


def coder(
    shape: tuple[int, int, int],
    channels: int,
    *,
    name: str,
    seeds: initialization.LayerSeeds,
    indices: Sequence[int] | None = None,
    leading_activation: bool = True,
    normalized: bool = True,
) -> keras.Model:
    """An encoder or decoder of three 3×3 convolutions, each with BatchNorm and LeakyReLU(0.1), stride 1.

    The second convolution changes the number of channels. With `indices` the model first takes those channels.

    Args:
        shape: (height, width, channels) of the feature map it reads.
        channels: channels of what it returns.
        name: of the model.
        seeds: one seed per layer, see `networks.initialization.LayerSeeds`.
        indices: channels to read, all if not given.
        leading_activation: a LeakyReLU(0.1) before the first convolution, as in the authors' code; the paper's
            Table 3 (supplement) has none.
        normalized: with BatchNorm; without it the convolutions have a bias, and first weights as PyTorch draws them.

    Returns:
        A model from [batch, height, width, C] to [batch, height, width, channels].

    Source: Huang et al. (CVPR 2021), §3.1 and supplement, Table 3. The paper's decoder has transposed convolutions,
    the code plain ones; at stride 1 with padding 1 they are the same family of maps. Without BatchNorm and the leading
    activation: Kim et al., "Paraphrasing Complex Network", NeurIPS 2018.
    """
    maps = keras.Input(shape, name="maps")
    selected = maps if indices is None else ChannelSelection(indices, name="selection")(maps)
    width = selected.shape[-1]
    outputs = keras.layers.LeakyReLU(0.1, name="leading_activation")(selected) if leading_activation else selected
    for position, filters in enumerate((width, channels, channels), start=1):
        if normalized:
            outputs = layers.conv(outputs, filters, 3, seeds=seeds, name=f"conv{position}")
            outputs = layers.BatchNormalization(name=f"norm{position}")(outputs)
        else:
            outputs = _biased_conv(outputs, filters, seeds=seeds, name=f"conv{position}")
        outputs = keras.layers.LeakyReLU(0.1, name=f"activation{position}")(outputs)
    return keras.Model(maps, outputs, name=name)


def _biased_conv(
    maps: keras.KerasTensor, filters: int, *, seeds: initialization.LayerSeeds, name: str
) -> keras.KerasTensor:
    """A 3×3 convolution with a bias; both start at U(±1/√fan_in)."""
    return Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        bias_initializer=initialization.bias_uniform(9 * maps.shape[-1], next(seeds)),
        name=name,
    )(maps)


def smaller(first: tuple[int, int, int], second: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width that two feature maps are compared at: the smaller of each.

    Raises:
        ValueError: where the larger map is not a whole multiple of the smaller.
    """
    height, width = min(first[0], second[0]), min(first[1], second[1])
    for shape in (first, second):
        if shape[0] % height or shape[1] % width:
            raise ArgumentError("networks", f"feature maps {first} and {second} do not divide; choose others")
    return height, width


def pooled(maps: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Average-pools `maps` [batch, height, width, channels] to `size`; as they are where they have it already."""
    factors = maps.shape[1] // size[0], maps.shape[2] // size[1]
    return maps if factors == (1, 1) else tf.nn.avg_pool2d(maps, factors, factors, "VALID")


def attention(factor: tf.Tensor) -> tf.Tensor:
    """Where a factor `[batch, height, width, channels]` is large: `Σ_c F_c²`, float32 `[batch, height, width]`."""
    return tf.reduce_sum(tf.square(tf.cast(factor, tf.float32)), axis=-1)
