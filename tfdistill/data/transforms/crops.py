"""Where random crops of training images lie."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfdistill.data.rows import DrawnFor, integers
from tfdistill.data.transforms.readings import Reading

# Crops tried before the centre of the image is taken.
TRIES = 10
# Draws are integers below this; divided by it they are exact in float64.
RESOLUTION = 2**30


def crop_draws(crops: Any, seed: tf.Tensor, rows: DrawnFor | None = None) -> tf.Tensor:
    """The random integers behind some crops: int32 [B, TRIES, 4], below RESOLUTION.

    Args:
        crops: anything with B rows, one for each crop.
        seed: integers [2].
        rows: which rows these are; None for all of a batch.
    """
    return integers(seed, [TRIES, 4], RESOLUTION, crops, rows)


def random_box(size: tf.Tensor, draws: tf.Tensor, reading: Reading) -> tf.Tensor:
    """A rectangle inside an image: area uniform in `scale`, logarithm of width / height uniform in `ratio`.

    Of `TRIES` rectangles the first that fits is taken, at a place drawn uniformly. If none fits, which is common for
    long and narrow images only, it is the largest centred one whose aspect ratio is in range.

    Args:
        size: height and width of the image in pixels, integers [2].
        draws: int32 [TRIES, 4] below RESOLUTION: area, aspect ratio, vertical and horizontal place.
        reading: the ranges.

    Returns:
        (top, left, height, width), int32 [4].
    """
    rows, columns = tf.unstack(tf.cast(size, tf.float64))
    share = tf.cast(draws, tf.float64) / RESOLUTION
    areas = rows * columns * _between(reading.scale, share[:, 0])
    narrowest, widest = reading.ratio
    ratios = tf.exp(_between((math.log(narrowest), math.log(widest)), share[:, 1]))
    heights, widths = tf.round(tf.sqrt(areas / ratios)), tf.round(tf.sqrt(areas * ratios))
    tops, lefts = tf.floor(share[:, 2] * (rows - heights + 1)), tf.floor(share[:, 3] * (columns - widths + 1))
    fits = (heights >= 1) & (widths >= 1) & (heights <= rows) & (widths <= columns)
    last_height = tf.maximum(tf.minimum(rows, tf.round(columns / narrowest)), 1)
    last_width = tf.maximum(tf.minimum(columns, tf.round(rows * widest)), 1)
    last = tf.stack([(rows - last_height) // 2, (columns - last_width) // 2, last_height, last_width])
    boxes = tf.concat([tf.stack([tops, lefts, heights, widths], axis=1), last[None]], axis=0)
    return tf.cast(tf.boolean_mask(boxes, tf.concat([fits, [True]], axis=0))[0], tf.int32)


def _between(limits: tuple[float, float], share: tf.Tensor) -> tf.Tensor:
    return limits[0] + (limits[1] - limits[0]) * share
