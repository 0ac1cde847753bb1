"""Photometric distortion: brightness, contrast, saturation and hue of each image of a batch by draws of its own."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.data.rows import DrawnFor, integers

RESOLUTION = 2**24
# Of pixels in 0..255; factors of contrast and saturation; of a turn of the hue, 18 of 360 degrees.
BRIGHTNESS, FACTORS, HUE = 32.0, (0.5, 1.5), 18.0 / 360.0


def distorted(images: tf.Tensor, seed: tf.Tensor, rows: DrawnFor | None = None) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, each of half of the images: a pure function of both arguments.

    Brightness adds up to ±32 of 255 to every pixel; contrast multiplies every pixel, and saturation a colour's, by 0.5
    to 1.5; the hue turns by up to ±18 degrees. Half of the images have their contrast changed last, else it is before
    the colours. Grey images have no colours to change.

    Args:
        images: [B, H, W, 1 or 3], pixels in 0..255, of any type.
        seed: integers [2].
        rows: which rows of a batch the images are; None for all of one.

    Returns:
        float32 [B, H, W, C] in 0..255.

    Source: Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013, with the
    numbers of the code of Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.
    """
    share = tf.cast(integers(seed, [9], RESOLUTION, images, rows), tf.float32) / RESOLUTION
    drawn = [share[:, place, None, None, None] for place in range(9)]
    brightness, contrast, saturation, hue = (
        tf.where(drawn[place] < 0.5, low + (high - low) * drawn[place + 1], neutral)
        for place, low, high, neutral in (
            (0, -BRIGHTNESS, BRIGHTNESS, 0.0),
            (2, *FACTORS, 1.0),
            (4, *FACTORS, 1.0),
            (6, -HUE, HUE, 0.0),
        )
    )
    is_last = drawn[8] < 0.5
    pixels = (tf.cast(images, tf.float32) + brightness) * tf.where(is_last, 1.0, contrast)
    pixels = tf.clip_by_value(pixels, 0.0, 255.0)
    if images.shape[-1] == 3:
        colours = tf.image.rgb_to_hsv(pixels / 255.0)
        turned = tf.math.floormod(colours[..., :1] + hue, 1.0)
        strong = tf.clip_by_value(colours[..., 1:2] * saturation, 0.0, 1.0)
        pixels = tf.image.hsv_to_rgb(tf.concat([turned, strong, colours[..., 2:]], axis=-1)) * 255.0
    return tf.clip_by_value(pixels * tf.where(is_last, contrast, 1.0), 0.0, 255.0)
