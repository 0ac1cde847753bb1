"""The model by which knowledge review turns a learner's maps, from the deepest to the shallowest, into its source's."""

from __future__ import annotations

from collections.abc import Sequence

import keras

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
            merged = _fused(merged, _resized(passed, merged.shape[1:3]), seeds=seeds, name=f"level{level}_gates")
        passed = _resized(merged, wanted[:2])
        outputs.append(_convolved(passed, wanted[-1], 3, seeds=seeds, name=f"level{level}_output"))
    return keras.Model(maps, outputs[::-1], name=name)


def _convolved(
    maps: keras.KerasTensor, channels: int, size: int, *, seeds: initialization.LayerSeeds, name: str
) -> keras.KerasTensor:
    draw = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=next(seeds))
    found = Conv2D(channels, size, padding="same", use_bias=False, kernel_initializer=draw, name=f"{name}_conv")(maps)
    return layers.BatchNormalization(name=f"{name}_norm")(found)


def _fused(
    own: keras.KerasTensor, deeper: keras.KerasTensor, *, seeds: initialization.LayerSeeds, name: str
) -> keras.KerasTensor:
    both = keras.layers.Concatenate(name=f"{name}_both")([own, deeper])
    gates = Conv2D(
        2,
        1,
        activation="sigmoid",
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        bias_initializer=initialization.bias_uniform(both.shape[-1], next(seeds)),
        name=name,
    )(both)
    return own * gates[..., :1] + deeper * gates[..., 1:]


def _resized(maps: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """By nearest pixels: pixel i is that at ⌊i · old / new⌋."""
    for axis, wanted in zip((1, 2), size, strict=True):
        if (old := maps.shape[axis]) != wanted:
            maps = keras.ops.take(maps, [i * old // wanted for i in range(wanted)], axis=axis)
    return maps
