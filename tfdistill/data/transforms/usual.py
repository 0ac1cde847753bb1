"""What images usually go through on their way into a batch: shift, mirror, and normalisation per channel."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdistill.data.rows import DrawnFor, integers
from tfdistill.data.transforms.augmentation import Augmentation, Normalization


def normalize(images: tf.Tensor, normalization: Normalization) -> tf.Tensor:
    """Scales uint8 images to 0..1 and normalises each channel: `(images / 255 - mean) / std`.

    Args:
        images: uint8 [B, H, W, C].
        normalization: one mean and std per channel, or one for all.

    Returns:
        float32 [B, H, W, C].

    Raises:
        ValueError: if `normalization` has neither one value nor one per channel.
    """
    height, width, channels = images.shape[1:]
    normalization.require_channels(channels)
    mean, std = np.array(normalization.mean), np.array(normalization.std)
    size = height * width * channels
    scale, shift = (np.resize(value, size).astype(np.float32) for value in (1 / (255 * std), mean / std))
    # Along one flat axis: broadcasting over an innermost axis of 3 takes TensorFlow twice as long.
    flat = tf.reshape(tf.cast(images, tf.float32), [-1, size]) * scale - shift
    return tf.reshape(flat, [-1, height, width, channels])


def pixels_of(images: np.ndarray, normalization: Normalization) -> np.ndarray:
    """What `normalize` was given, rounded: uint8 [B, H, W, C].

    Args:
        images: float [B, H, W, C].
        normalization: that they have gone through.
    """
    pixels = (images * np.array(normalization.std) + normalization.mean) * 255
    return np.rint(pixels.clip(0, 255)).astype(np.uint8)


def pad_crop_flip(
    images: tf.Tensor, seed: tf.Tensor, pad: int, mode: str, flip: bool, rows: DrawnFor | None = None
) -> tf.Tensor:
    """Shifts and mirrors every image of a batch by draws of its own, a pure function of images and seed.

    The corner of the H x W crop is uniform over the `(2 pad + 1)^2` places in the padded image; the flip has
    probability 1/2. Flip and crop are independent and symmetric, so their order, which authors choose
    differently, makes no difference. Both only choose a source row and column per output row and column: the
    pixels are gathered in one go.

    Args:
        images: [B, H, W, C] of any dtype, H and W static.
        seed: integers [2].
        pad: pixels of padding, 0 or more; below H and W for "reflect".
        mode: "reflect" or "zero".
        flip: whether to mirror half of the images left-right.
        rows: which rows of a batch the images are; None for all of one.

    Returns:
        [B, H, W, C] in the dtype of `images`. Equal with and without XLA, and on every device.

    Raises:
        ValueError: if `pad` or `mode` is out of range.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016), section 3, for reflected padding;
        He et al., "Deep Residual Learning" (CVPR 2016), section 4.2, for zeros.
    """
    height, width = images.shape[1], images.shape[2]
    Augmentation(pad, mode, flip).require_size(height, width)
    places = 2 * pad + 1

    # One number stands for row, column and flip.
    draws = integers(seed, [1], 2 * places**2, images, rows)
    lines = draws // (2 * places) + tf.range(height)
    columns = draws // 2 % places + tf.range(width)
    if flip:
        columns = tf.where(draws % 2 == 1, columns[:, ::-1], columns)
    if mode == "zero":
        images = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    else:
        lines, columns = _reflected(lines - pad, height), _reflected(columns - pad, width)
    return _gather_pixels(images, lines, columns)


def _reflected(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Maps positions outside 0..size-1 to those inside that a reflecting border shows there."""
    return size - 1 - tf.abs(size - 1 - tf.abs(positions))


def _gather_pixels(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Output pixel (i, j) of image b is its pixel (rows[b, i], columns[b, j])."""
    height, width, channels = images.shape[1:]
    first_pixels = tf.range(tf.shape(images)[0])[:, None, None] * (height * width)
    positions = first_pixels + rows[:, :, None] * width + columns[:, None, :]
    return tf.gather(tf.reshape(images, [-1, channels]), positions)
