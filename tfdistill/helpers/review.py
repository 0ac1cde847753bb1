"""The model by which knowledge review turns a learner's maps, from the deepest to the shallowest, into its source's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdistill.networks import initialization, layers
from tfdistill.networks.convolutions import Conv2D

MOST_CHANNELS = 512


def review(
    own_shapes: Sequence[tuple[int, int, int]],
    source_shapes: Sequence[tuple[int, int, int]],
    *,
    name: str,
    seeds: initialization.LayerSeeds,
) -> keras.Model:
    """Gives each level's map of the source from the learner's map of that level and of all deeper ones.

    From the deepest level on: a 1×1 convolution with BatchNorm takes the learner's map to the channels of its deepest
    one, 512 at most. What the deeper level has passed on is enlarged to its size by nearest pixels. Two gates, a
    sigmoid of a 1×1 convolution of both, weigh the two at each position, and their sum is passed on, at the source's
    size. A 3×3 convolution with BatchNorm makes the source's channels of it.

    Args:
        own_shapes: (height, width, channels) of the learner's maps, from the shallowest to the deepest.
        source_shapes: of the source's, as many.
        name: of the model.
        seeds: one seed per weight.

    Returns:
        A model from the list of the learner's maps to the list of the source's, in this order.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, in the form of mdistiller; kernels
    start from U(±√(3/fan_in)), those of the gates as PyTorch's from U(±1/√fan_in).
    """
    channels = min(MOST_CHANNELS, own_shapes[-1][-1])
    maps = [keras.Input(shape, name=f"map{level}") for level, shape in enumerate(own_shapes, 1)]
    passed, outputs = None, []
    for level in range(len(maps), 0, -1):
        wanted = source_shapes[level - 1]
        merged = _convolved(maps[level - 1], channels, 1, seeds=seeds, name=f"level{level}")
        if passed is not None:
            merged = _gates(channels, seeds=seeds, name=f"level{level}_gates")([merged, passed])
        passed = _resized(merged, wanted[:2])
        outputs.append(_convolved(passed, wanted[-1], 3, seeds=seeds, name=f"level{level}_output"))
    return keras.Model(maps, outputs[::-1], name=name)


@keras.saving.register_keras_serializable(package="tfdistill")
class Gates(keras.layers.Layer):
    """The sum of two maps, each weighed at each position by a gate: a sigmoid of a 1×1 convolution of both maps.

    It is called on `[own, deeper]`, `[batch, height, width, channels]`, and enlarges the deeper map to the size of the
    own one by nearest pixels. Gates are float32 inside.

    The two maps are not put side by side: each is multiplied by its half of the kernel, the deeper one before it is
    enlarged. The kernel has two columns, for which convolutions are slow.

    Args:
        kernel_initializer: of the kernel `[1, 1, 2 * channels, 2]`, the own map's channels first.
        bias_initializer: of the bias `[2]`.
        **settings: what every `keras.layers.Layer` takes.
    """

    def __init__(self, kernel_initializer: Any, bias_initializer: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.kernel_initializer, self.bias_initializer = (
            keras.initializers.get(one) for one in (kernel_initializer, bias_initializer)
        )

    def build(self, shapes: Sequence[tuple]) -> None:
        channels = shapes[0][-1] + shapes[1][-1]
        for name, shape in (("kernel", (1, 1, channels, 2)), ("bias", (2,))):
            initializer = getattr(self, f"{name}_initializer")
            setattr(self, name, self.add_weight(shape=shape, initializer=initializer, autocast=False, name=name))

    def call(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        own, deeper = maps
        size, channels = tuple(own.shape[1:3]), own.shape[-1]
        kernel = tf.cast(self.kernel, tf.float32)[0, 0]
        scores = _product(own, kernel[:channels]) + _resized(_product(deeper, kernel[channels:]), size)
        gates = tf.cast(tf.sigmoid(scores + tf.cast(self.bias, tf.float32)), own.dtype)
        return own * gates[..., :1] + _resized(deeper, size) * gates[..., 1:]

    def compute_output_spec(self, maps: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor(maps[0].shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        drawn = {
            name: keras.initializers.serialize(getattr(self, name))
            for name in ("kernel_initializer", "bias_initializer")
        }
        return {**super().get_config(), **drawn}


def _product(maps: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Float32 [batch, height, width, columns]."""
    flat = tf.reshape(tf.cast(maps, tf.float32), [-1, maps.shape[-1]])
    return tf.reshape(tf.matmul(flat, matrix), [-1, *maps.shape[1:3], matrix.shape[-1]])


def _gates(channels: int, *, seeds: initialization.LayerSeeds, name: str) -> Gates:
    """For two maps of so many channels."""
    kernel = initialization.fan_in_uniform(next(seeds))
    return Gates(kernel, initialization.bias_uniform(2 * channels, next(seeds)), name=name)


def _convolved(
    maps: keras.KerasTensor, channels: int, size: int, *, seeds: initialization.LayerSeeds, name: str
) -> keras.KerasTensor:
    draw = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=next(seeds))
    found = Conv2D(channels, size, padding="same", use_bias=False, kernel_initializer=draw, name=f"{name}_conv")(maps)
    return layers.BatchNormalization(name=f"{name}_norm")(found)


def _resized(maps: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """By nearest pixels: pixel i is that at ⌊i · old / new⌋."""
    for axis, wanted in zip((1, 2), size, strict=True):
        old = maps.shape[axis]
        if wanted % old == 0:
            # The same pixels; unlike that of `take`, its gradient is a sum over neighbours.
            maps = keras.ops.repeat(maps, wanted // old, axis=axis) if wanted > old else maps
        else:
            maps = keras.ops.take(maps, [i * old // wanted for i in range(wanted)], axis=axis)
    return maps
