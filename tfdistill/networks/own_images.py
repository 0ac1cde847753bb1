"""A network that reads other images than those it is shown: normalized otherwise, or of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.networks.graphs import flat_graph, layers_of, nodes_of

LARGEST_PIXEL = 255.0
GREY, COLOUR = 1, 3  # channels
SCALE_OF_PIXELS = 0.05  # 1 / 127.5 is the largest usual one


@keras.saving.register_keras_serializable(package="tfdistill")
class OwnImages(keras.layers.Layer):
    """Brings images to the normalization and the size that a network was trained on.

    `x * scale + offset` per channel, perhaps with the channels in reverse, then bilinear resizing. Three scales make
    three channels of a grey image's one. Where an axis gets
    smaller, the bilinear kernel is stretched by the ratio (anti-aliasing). What a pixel is made of sums to 1 at the
    border too, so that resizing and normalization may change places. Resizing is two matrix products, which every
    device and XLA compute.

    Args:
        scale: one per channel, or one for all.
        offset: likewise.
        size: (height, width) that comes out; `None` leaves the size.
        reverse_channels: red, green, blue become blue, green, red, after the normalization.
        whole_numbers: round, and keep within 0..255, for a network that reads integers.
        **settings: what every `keras.layers.Layer` takes.
    """

    def __init__(
        self,
        scale: Sequence[float],
        offset: Sequence[float],
        size: Sequence[int] | None = None,
        reverse_channels: bool = False,
        whole_numbers: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.scale, self.offset = [float(one) for one in scale], [float(one) for one in offset]
        self.size = None if size is None else tuple(int(one) for one in size)
        self.reverse_channels, self.whole_numbers = reverse_channels, whole_numbers

    def call(self, images: tf.Tensor) -> tf.Tensor:
        found = tf.cast(images, tf.float32)
        found = found * tf.constant(self.scale) + tf.constant(self.offset)
        if self.reverse_channels:
            found = found[..., ::-1]
        if self.size is not None and self.size != tuple(images.shape[1:3]):
            heights, widths = (resizing(*one) for one in zip(images.shape[1:3], self.size, strict=True))
            found = tf.einsum("hi,bijc->bhjc", tf.constant(heights), found)
            found = tf.einsum("wj,bhjc->bhwc", tf.constant(widths), found)
        return tf.clip_by_value(tf.round(found), 0.0, LARGEST_PIXEL) if self.whole_numbers else found

    def get_config(self) -> dict[str, Any]:
        own = ("scale", "offset", "size", "reverse_channels", "whole_numbers")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def resizing(before: int, after: int) -> np.ndarray:
    """The weights of the pixels along one axis: bilinear, anti-aliased where the axis gets smaller.

    Args:
        before: pixels along the axis.
        after: pixels that come out.

    Returns:
        float32 [after, before]; each row sums to 1.
    """
    ratio = before / after
    centres = (np.arange(after) + 0.5) * ratio
    distances = np.abs(np.arange(before) + 0.5 - centres[:, None]) / max(ratio, 1.0)
    weights = np.maximum(0.0, 1.0 - distances)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def reading_own_images(
    network: keras.Model,
    image_shape: Sequence[int],
    scale: Sequence[float] = (1.0,),
    offset: Sequence[float] = (0.0,),
    *,
    reverse_channels: bool = False,
) -> keras.Model:
    """The same network, layers and taps, for other images than it was trained on.

    Args:
        network: functional, from images to a dict of taps.
        image_shape: (height, width, channels) of the images that it will be shown.
        scale: what brings them to those that it was trained on: `x * scale + offset`, see `normalized_otherwise`.
        offset: likewise.
        reverse_channels: whether it reads blue, green, red.

    Returns:
        the network itself where it reads those images already; else a model with one layer more, "own_images", and the
        same variables.

    Raises:
        ValueError: the images have another number of channels; but a network that reads three gets a grey one thrice.
    """
    (own,) = network.inputs
    height, width, channels = own.shape[1:]
    spread = (image_shape[-1], channels) == (GREY, COLOUR)
    if channels not in (None, image_shape[-1]) and not spread:
        raise ValueError(f"{network.name} reads images of {channels} channels, not {image_shape[-1]}")
    size = tuple(there or given for there, given in zip((height, width), image_shape[:2], strict=True))
    whole_numbers = reads_whole_numbers(network)
    if spread:
        scale, offset = (list(np.broadcast_to(one, COLOUR)) for one in (scale, offset))
    same_values = (
        not spread and set(scale) == {1.0} and set(offset) == {0.0} and not reverse_channels and not whole_numbers
    )
    if same_values and size == tuple(image_shape[:2]):
        return network
    images = keras.Input(tuple(image_shape), name="images")
    brought = OwnImages(
        scale, offset, size, reverse_channels, whole_numbers, dtype="float32", trainable=False, name="own_images"
    )(images)
    adapted = flat_graph(keras.Model(images, network(brought), name=network.name))
    adapted.architecture = getattr(network, "architecture", None)
    return adapted


def reads_whole_numbers(network: keras.Model) -> bool:
    """Whether a functional network reads integers, which can only be pixels of 0..255."""
    return not network.inputs[0].dtype.startswith(("float", "bfloat"))


def rescaling_of(network: keras.Model) -> keras.layers.Rescaling | None:
    """The `Rescaling` that a functional network begins with, where it brings pixels of 0..255 to a small range."""
    for node in nodes_of(network):
        layer = node.operation
        if isinstance(layer, keras.layers.Rescaling) and node.input_tensors[0] is network.inputs[0]:
            return layer if np.max(np.abs(layer.scale)) < SCALE_OF_PIXELS else None
    return None


def described(model: keras.Model) -> str:
    """In words, what images a model reads in place of those that it is shown; empty where it reads these."""
    found = []
    for one in layers_of(model):
        if isinstance(one, OwnImages):
            shown = model.inputs[0].shape
            plain = set(one.scale) == {1.0} and set(one.offset) == {0.0} and not one.reverse_channels
            words = [] if one.size in (None, tuple(shown[1:3])) else [f"of {'×'.join(map(str, one.size))}"]
            words += [f"in {len(one.scale)} channels"] if len(one.scale) > shown[-1] else []
            found.append(" ".join(["on images", *words, *([] if plain else ["normalized for it"])]))
    return ", ".join(dict.fromkeys(found))


def normalized_otherwise(
    given: tuple[Sequence[float], Sequence[float]], own: tuple[Sequence[float], Sequence[float]]
) -> tuple[list[float], list[float]]:
    """Scale and offset that turn images normalized by `given` into images normalized by `own`.

    Args:
        given: mean and standard deviation, one value per channel or one for all, on the scale 0..1.
        own: likewise.

    Returns:
        scale and offset, exactly 1 and 0 where both are the same.
    """
    means, deviations = _both(given[0], own[0]), _both(given[1], own[1])
    scale = [theirs / ours for theirs, ours in zip(*deviations, strict=True)]
    offset = [(m - n) / s for m, n, s in zip(*means, deviations[1], strict=True)]
    return scale, offset


def _both(one: Sequence[float], other: Sequence[float]) -> tuple[list[float], list[float]]:
    """Two rows of numbers, of the longer one's length."""
    channels = max(len(one), len(other))
    return list(np.broadcast_to(one, channels)), list(np.broadcast_to(other, channels))
