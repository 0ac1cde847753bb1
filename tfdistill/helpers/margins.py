"""How far below 0 a channel of a network is where its ReLU lets nothing pass, told by its batch normalization."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill.networks.graphs import flat_graph, sources_of

LEAST_SHARE = 1e-3
DEVIATIONS = 3.0
LEAST_DEVIATION = 1e-12


def margins(norm: keras.layers.BatchNormalization) -> tf.Tensor:
    """The margin of each channel: what it is in the mean where it is below 0, by its normalization's scale and offset.

    Taken to be normal with the mean beta and the deviation |gamma|, a channel is `beta - |gamma| f(b) / F(-b)` in the
    mean of what is below 0, with `b = beta / |gamma|`, f the standard normal density and F its distribution. Where it
    is below 0 in less than a thousandth of all cases, the margin is `-3 |gamma|`.

    Args:
        norm: of the network's own graph, not of a copy in which it is folded.

    Returns:
        float32 [channels], below 0, by what the weights are now.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, with the two constants of the
    authors' code.
    """
    one = tf.ones([norm.moving_mean.shape[0]])
    gamma = tf.cast(tf.convert_to_tensor(norm.gamma), tf.float32) if norm.scale else one
    beta = tf.cast(tf.convert_to_tensor(norm.beta), tf.float32) if norm.center else 0.0 * one
    deviation = tf.maximum(tf.abs(gamma), LEAST_DEVIATION)
    place = beta / deviation
    below = tf.math.erfc(place / 2**0.5) / 2
    density = tf.exp(-tf.square(place) / 2) / tf.sqrt(2 * tf.acos(-1.0))
    mean = beta - deviation * density / tf.maximum(below, LEAST_SHARE)
    return tf.where(below > LEAST_SHARE, mean, -DEVIATIONS * deviation)


def last_norm(network: keras.Model, tap: str) -> keras.layers.BatchNormalization:
    """The batch normalization that a tap comes from.

    It is what gives the tap, or, where the tap is a sum, the end of the sum's longest branch: that of a residual block
    and not its shortcut.

    Args:
        network: functional, from images to a dict of taps.
        tap: the name of one, `[batch, height, width, channels]`.

    Raises:
        ValueError: the tap comes from something else.

    Source: the authors' code of Heo et al. takes the last normalization of a stage's last block likewise.
    """
    tensor = flat_graph(network).output[tap]
    lengths: dict[int, int] = {}
    operation = tensor._keras_history.operation
    while type(operation).__name__ == "Add":  # the layer, or what `a + b` makes
        tensor = max(sources_of(tensor), key=lambda one: _length(one, lengths))
        operation = tensor._keras_history.operation
    channels = tensor.shape[-1]
    if isinstance(operation, keras.layers.BatchNormalization) and operation.moving_mean.shape == (channels,):
        return operation
    raise ValueError(
        f"networks: {network.name}: {tap!r} comes from {operation.name}, which is no batch normalization, so that it "
        "has no margins; name a map behind one and before its ReLU as a tap"
    )


def _length(tensor: keras.KerasTensor, known: dict[int, int]) -> int:
    """How many operations lie between the images and a tensor, on the longest way."""
    waiting = [tensor]
    while waiting:
        before = sources_of(waiting[-1])
        if missing := [one for one in before if id(one) not in known]:
            waiting += missing
        else:
            known[id(waiting.pop())] = 1 + max((known[id(one)] for one in before), default=0)
    return known[id(tensor)]
