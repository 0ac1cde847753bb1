"""Models that take a learner's features to where its source's are; `matching.transfer_layer` is another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfdistill.helpers.tap_pairs import TapPair
from tfdistill.networks import initialization, layers
from tfdistill.networks.convolutions import Conv2D

VARIANCE_AT_FIRST, LEAST_VARIANCE = 5.0, 1e-5


@keras.saving.register_keras_serializable(package="tfdistill")
class ChannelVariances(keras.layers.Layer):
    """A positive number for each channel, which is learnt: `softplus(r) + 1e-5`, 5 at first.

    It is called on maps `[batch, height, width, channels]`, of which it reads the number of channels alone, and gives
    float32 `[channels]`.
    """

    def build(self, shape: tuple) -> None:
        start = math.log(math.expm1(VARIANCE_AT_FIRST - LEAST_VARIANCE))
        self.raw = self.add_weight(
            shape=(shape[-1],),
            initializer=keras.initializers.Constant(start),
            dtype="float32",
            autocast=False,
            name="raw",
        )

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        return tf.nn.softplus(tf.convert_to_tensor(self.raw)) + LEAST_VARIANCE

    def compute_output_spec(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((maps.shape[-1],), "float32")


def gaussian_regressor(
    shape: tuple[int, int, int], channels: int, *, name: str, seeds: initialization.LayerSeeds
) -> keras.Model:
    """Three 1×1 convolutions without bias, two ReLU between them, and a variance for each channel of what comes out.

    Args:
        shape: (height, width, channels) of the maps it reads.
        channels: of the maps it expects, and of those between the convolutions.
        name: of the model.
        seeds: one seed per convolution.

    Returns:
        A model from `[batch, *shape]` to "mean", `[batch, height, width, channels]`, and "variance", `[channels]`.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019, in the form that
    RepDistiller gives it; initial weights are PyTorch's U(±1/√fan_in).
    """
    maps = keras.Input(shape, name="maps")
    outputs = maps
    for position in (1, 2, 3):
        outputs = Conv2D(
            channels,
            1,
            use_bias=False,
            activation="relu" if position < 3 else None,
            kernel_initializer=initialization.fan_in_uniform(next(seeds)),
            name=f"conv{position}",
        )(outputs)
    return keras.Model(maps, {"mean": outputs, "variance": ChannelVariances(name="variances")(outputs)}, name=name)


def linear_connectors(
    pairs: Sequence[TapPair], *, prefix: str, seeds: initialization.LayerSeeds
) -> tuple[keras.Model, ...]:
    """A `linear_connector` for each pair, from the learner's map to the source's channels."""
    return tuple(
        linear_connector(pair.own_shape, pair.source_shape[-1], name=f"{prefix}_{pair.own}_connector", seeds=seeds)
        for pair in pairs
    )


def linear_connector(
    shape: tuple[int, int, int], channels: int, *, name: str, seeds: initialization.LayerSeeds
) -> keras.Model:
    """A 1×1 convolution without bias, and BatchNorm, for maps that no ReLU has read yet.

    Args:
        shape: (height, width, channels) of the maps it reads.
        channels: of what comes out.
        name: of the model.
        seeds: one seed for the kernel.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, with the first weights of the
    authors' code, N(0, 2 / fan_out).
    """
    maps = keras.Input(shape, name="maps")
    draw = initialization.fan_out_normal(next(seeds))
    outputs = Conv2D(channels, 1, use_bias=False, kernel_initializer=draw, name="conv")(maps)
    return keras.Model(maps, layers.BatchNormalization(name="norm")(outputs), name=name)


def projections(pair: TapPair, *, prefix: str, seeds: initialization.LayerSeeds) -> tuple[keras.Model, ...]:
    """A 1×1 convolution without bias that gives a learner's map the source's channels; none where it has as many.

    Args:
        pair: the maps.
        prefix: how the model's name begins.
        seeds: one seed for the kernel.

    Source: initial weights are PyTorch's U(±1/√fan_in).
    """
    channels = pair.source_shape[-1]
    if pair.own_shape[-1] == channels:
        return ()
    maps = keras.Input(pair.own_shape, name="maps")
    draw = initialization.fan_in_uniform(next(seeds))
    outputs = Conv2D(channels, 1, use_bias=False, kernel_initializer=draw, name="conv")(maps)
    return (keras.Model(maps, outputs, name=f"{prefix}_{pair.own}_projection"),)


def linear_embedding(shape: tuple[int, ...], units: int, *, name: str, seeds: initialization.LayerSeeds) -> keras.Model:
    """A linear layer on flattened features.

    Args:
        shape: of the features, without batch.
        units: of what comes out, `[batch, units]`.
        name: of the model.
        seeds: one seed for the kernel and one for the bias.

    Source: PyTorch's U(±1/√fan_in) for both.
    """
    features = keras.Input(shape, name="features")
    embedding = keras.layers.Dense(
        units,
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        bias_initializer=initialization.bias_uniform(math.prod(shape), next(seeds)),
        name="linear",
    )(keras.layers.Flatten(name="flat")(features))
    return keras.Model(features, embedding, name=name)
