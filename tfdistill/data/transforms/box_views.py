"""Augmentations that move boxes with pixels: a window on the image, which may reach beyond it, and a mirror.

A window is drawn from the boxes alone, in shares of the image. So it is the same for an image of any resolution, and
pixels are sampled once, whatever it is made of.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill import boxes
from tfdistill.data.dataset import CLASS
from tfdistill.data.rows import DrawnFor, integers
from tfdistill.data.transforms.augmentation import BoxAugmentation

# Draws are integers below this; divided by it they are exact in float32.
RESOLUTION = 2**24
# Crops tried for an image before it is left whole.
TRIES = 30
# What a crop has to overlap some object by, drawn for each image; the first is no crop, the last any crop.
LEAST_OVERLAPS = (None, 0.1, 0.3, 0.5, 0.7, 0.9, 0.0)
# Sides of crops in shares of the image, and of their height over their width.
SMALLEST_SIDE, NARROWEST = 0.3, 0.5


def windows(
    labels: tf.Tensor, seed: tf.Tensor, augmentation: BoxAugmentation, rows: DrawnFor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """What of each image is seen, and whether in a mirror: a pure function of boxes and seed.

    The surroundings of the image are added first, then a crop is taken of both. A crop overlaps some object, whose
    centre lies in it, by an intersection over union of `LEAST_OVERLAPS`; of `TRIES` crops the first that does is
    taken, and none where none does.

    Args:
        labels: float [B, objects, 6], see `seen_labels`.
        seed: integers [2].
        augmentation: what is drawn.
        rows: which rows of a batch these are; None for all of one.

    Returns:
        corners in shares of the image, float32 [B, 4], below 0 and above 1 where the surroundings are seen; and bool
        [B].
    """
    share = tf.cast(integers(seed, [6 + 4 * TRIES], RESOLUTION, labels, rows), tf.float32) / RESOLUTION
    growth = tf.where(share[:, 0] < 0.5, 1.0 + share[:, 1] * (augmentation.zoom_out - 1.0), 1.0)
    start = -share[:, 2:4] * (growth - 1.0)[:, None]
    around = tf.concat([start, start + growth[:, None]], axis=-1)
    if augmentation.crop:
        tried = tf.reshape(share[:, 6:], [-1, TRIES, 4])
        crop = _crops(seen_labels(labels, around), tf.cast(share[:, 4] * len(LEAST_OVERLAPS), tf.int32), tried)
        around = tf.concat([start, start], -1) + crop * growth[:, None]
    return around, (share[:, 5] < 0.5) & augmentation.mirror


def _crops(labels: tf.Tensor, kind: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Corners [B, 4] of a crop for each image: the first of those tried that overlaps some object as it has to.

    Args:
        labels: float [B, objects, 6].
        kind: place in `LEAST_OVERLAPS`, int32 [B].
        share: uniform draws [B, TRIES, 4]: height, width, vertical and horizontal place.
    """
    least = tf.gather(tf.constant([2.0 if one is None else one for one in LEAST_OVERLAPS]), kind)
    sides = SMALLEST_SIDE + (1.0 - SMALLEST_SIDE) * share[..., :2]
    start = share[..., 2:] * (1.0 - sides)
    tried = tf.concat([start, start + sides], axis=-1)
    corners = labels[..., :CLASS]
    centre = boxes.centre_form(corners)[:, None, :, :2]
    is_inside = tf.reduce_all((centre >= tried[:, :, None, :2]) & (centre <= tried[:, :, None, 2:]), axis=-1)
    overlaps = boxes.intersection_over_union(tried, corners) >= least[:, None, None]
    has_object = tf.reduce_any(overlaps & is_inside & (labels[:, None, :, CLASS] >= 0), axis=-1)
    ratio = sides[..., 0] / sides[..., 1]
    fits = has_object & (ratio >= NARROWEST) & (ratio <= 1.0 / NARROWEST)
    first = tf.gather(tried, tf.argmax(tf.cast(fits, tf.int32), axis=-1), batch_dims=1)
    return tf.where(tf.reduce_any(fits, axis=-1)[:, None], first, tf.constant([0.0, 0.0, 1.0, 1.0]))


def seen_labels(labels: tf.Tensor, window: tf.Tensor, is_mirrored: tf.Tensor | None = None) -> tf.Tensor:
    """The objects whose centres a window shows, in shares of the window and clipped to it.

    Args:
        labels: float [B, objects, 6]: top, left, bottom, right in shares of the image, class, difficult; a row of
            class -1 is padding.
        window: corners in shares of the image, [B, 4].
        is_mirrored: bool [B]; None for no image.

    Returns:
        the same shape; an object that is not shown has become padding.
    """
    start, size = window[:, None, :2], window[:, None, 2:] - window[:, None, :2]
    corners = (labels[..., :CLASS] - tf.concat([start, start], -1)) / tf.concat([size, size], -1)
    if is_mirrored is not None:
        top, left, bottom, right = tf.unstack(corners, axis=-1)
        mirrored = tf.stack([top, 1.0 - right, bottom, 1.0 - left], axis=-1)
        corners = tf.where(is_mirrored[:, None, None], mirrored, corners)
    centre = boxes.centre_form(corners)[..., :2]
    is_shown = tf.reduce_all((centre >= 0.0) & (centre <= 1.0), axis=-1) & (labels[..., CLASS] >= 0)
    moved = tf.concat([tf.clip_by_value(corners, 0.0, 1.0), labels[..., CLASS:]], axis=-1)
    padding = tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    return tf.where(is_shown[..., None], moved, padding)


def seen_pixels(images: tf.Tensor, window: tf.Tensor, is_mirrored: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """The pixels that windows show, at the size of the images, interpolated between the four nearest.

    Args:
        images: [B, H, W, C] of any type, H and W static, 2 or more.
        window: corners in shares of the image, [B, 4].
        is_mirrored: bool [B].
        fill: what surrounds the images, [C].

    Returns:
        float32 [B, H, W, C].
    """
    height, width = images.shape[1:3]
    # The operation counts from the middle of the first pixel to that of the last, for the image and for what it makes.
    size = tf.constant([height, width], tf.float32)
    half = (window[:, 2:] - window[:, :2]) / 2.0
    first = (window[:, :2] * size + half - 0.5) / (size - 1.0)
    last = (window[:, 2:] * size - half - 0.5) / (size - 1.0)
    left = tf.where(is_mirrored, last[:, 1], first[:, 1])
    right = tf.where(is_mirrored, first[:, 1], last[:, 1])
    corners = tf.stack([first[:, 0], left, last[:, 0], right], axis=-1)
    apart = tf.cast(images, tf.float32) - fill
    return tf.image.crop_and_resize(apart, corners, tf.range(tf.shape(images)[0]), [height, width]) + fill
