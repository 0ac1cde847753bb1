"""RandAugment for batches of uint8 images: every image by operations of its own, all draws stateless.

Keras' and keras-cv's layers of this name draw from generators that are state outside the batch, which tf.data cannot
save: a run that resumes would see other images than one that was never stopped. Hence this one, whose operations
do what Pillow's do, which the authors' are.

The images of a batch are parted by the operation that they drew, and each operation runs once on its part: the batch
is worked through once per round, not once per operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from tfdistill.data.rows import DrawnFor, integers

MAX_MAGNITUDE = 10
# What geometry shows where the image does not reach: the authors' grey.
FILL = 128


@dataclass(frozen=True)
class RandAugment:
    """How many operations an image goes through, and how strong they are.

    Args:
        operations: how many, 1 or more.
        magnitude: 0..10; at 10 the operations reach the ends of AutoAugment's ranges.

    Raises:
        ValueError: if a value is out of range.
    """

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise ValueError(f"operations must be 1 or more, got {self.operations}")
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"magnitude must be in 0..{MAX_MAGNITUDE}, got {self.magnitude}")


def rand_augment(
    images: tf.Tensor, seed: tf.Tensor, operations: int = 2, magnitude: int = 9, rows: DrawnFor | None = None
) -> tf.Tensor:
    """Sends every image through operations drawn for it alone, a pure function of images and seed.

    Args:
        images: uint8 [B, H, W, C], with C of 1 or 3.
        seed: integers [2].
        operations: how many of `OPERATIONS` in a row, 1 or more, drawn uniformly with replacement.
        magnitude: 0..10, their strength; its sign is drawn for every operation that has one.
        rows: which rows of a batch the images are; None for all of one.

    Returns:
        uint8 [B, H, W, C].

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space" (CVPRW
        2020), section 3, whose list of 14 operations this is; two operations of magnitude 9 are its choice for
        ResNet-50 on ImageNet. Ranges are those of AutoAugment (Cubuk et al., CVPR 2019, Table 6). The published code
        posterises and solarises less at higher magnitudes; here, as the text has it, more magnitude is more distortion.
    """
    RandAugment(operations, magnitude)
    for turn in range(operations):
        seed_of_turn = tf.random.fold_in(seed, tf.constant(turn, tf.int64), alg="philox")
        images = _one_operation_each(images, seed_of_turn, magnitude / MAX_MAGNITUDE, rows)
    return images


def _one_operation_each(images: tf.Tensor, seed: tf.Tensor, strength: float, rows: DrawnFor | None) -> tf.Tensor:
    draws = integers(seed, [], 2 * len(OPERATIONS), images, rows)
    chosen, levels = draws // 2, tf.cast(2 * (draws % 2) - 1, tf.float32) * strength
    positions = tf.dynamic_partition(tf.range(tf.shape(images)[0]), chosen, len(OPERATIONS))
    parts = [
        operation(tf.gather(images, where), tf.gather(levels, where))
        for operation, where in zip(OPERATIONS.values(), positions, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(positions, parts), images.shape)


# --- operations: uint8 images [n, H, W, C] and their signed levels, float32 [n] in -1..1, to uint8 [n, H, W, C]


def identity(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """The image as it is."""
    return images


def auto_contrast(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0..255; the level does not matter."""
    pixels = tf.cast(images, tf.int32)
    low, high = (reduce(pixels, [1, 2], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    stretched = (pixels - low) * 255 // tf.maximum(high - low, 1)
    return tf.cast(tf.where(high > low, stretched, pixels), tf.uint8)


def equalize(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Spreads the values of each channel so that all are about equally frequent; the level does not matter.

    An image of fewer than 256 pixels stays as it is, as Pillow leaves it.
    """
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    # A row of the table for each channel of each image.
    offsets = tf.reshape(tf.range(count * channels) * 256, [-1, 1, 1, channels])
    places = tf.cast(images, tf.int32) + offsets
    flat = tf.reshape(places, [-1])
    counts = tf.math.unsorted_segment_sum(tf.ones_like(flat), flat, count * channels * 256)
    counts = tf.reshape(counts, [-1, 256])
    last = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=1)
    step = (height * width - tf.gather(counts, last, batch_dims=1))[:, None] // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.where(step > 0, tf.minimum((below + step // 2) // tf.maximum(step, 1), 255), tf.range(256))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), places), tf.uint8)


def rotate(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Turns about the centre by up to 30 degrees, counter-clockwise for a positive level."""
    height, width = images.shape[1], images.shape[2]
    angle = levels * math.radians(30)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    across, down = width / 2, height / 2
    to_x = [cosine, -sine, across - cosine * across + sine * down]
    to_y = [sine, cosine, down - sine * across - cosine * down]
    return _affine(images, [*to_x, *to_y])


def shear_x(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Shifts each row in proportion to its distance from the top, by up to 0.3 of it."""
    one, zero = tf.ones_like(levels), tf.zeros_like(levels)
    return _affine(images, [one, 0.3 * levels, zero, zero, one, zero])


def shear_y(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Shifts each column in proportion to its distance from the left, by up to 0.3 of it."""
    one, zero = tf.ones_like(levels), tf.zeros_like(levels)
    return _affine(images, [one, zero, zero, 0.3 * levels, one, zero])


def translate_x(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Shifts sideways by up to 150/331 of the width."""
    one, zero = tf.ones_like(levels), tf.zeros_like(levels)
    return _affine(images, [one, zero, levels * (150 / 331 * images.shape[2]), zero, one, zero])


def translate_y(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Shifts up or down by up to 150/331 of the height."""
    one, zero = tf.ones_like(levels), tf.zeros_like(levels)
    return _affine(images, [one, zero, zero, zero, one, levels * (150 / 331 * images.shape[1])])


def posterize(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Drops the lowest bits of every value, up to 4; the sign of the level does not matter."""
    dropped = tf.cast(tf.round(4 * tf.abs(levels)), tf.int32)
    unit = tf.bitwise.left_shift(tf.ones_like(dropped), dropped)[:, None, None, None]
    return tf.cast(tf.cast(images, tf.int32) // unit * unit, tf.uint8)


def solarize(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Inverts the values from a threshold on, 256 at level 0 and 0 at level 1; the sign does not matter."""
    threshold = tf.cast(tf.round(256 * (1 - tf.abs(levels))), tf.int32)[:, None, None, None]
    pixels = tf.cast(images, tf.int32)
    return tf.cast(tf.where(pixels < threshold, pixels, 255 - pixels), tf.uint8)


def color(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Colour between grey and nearly twice its strength."""
    return _blend(_grey(images), images, levels)


def contrast(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Contrast between the flat mean grey and nearly twice its strength."""
    grey = tf.cast(_grey(images), tf.int64)
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * tf.reduce_sum(grey, axis=[1, 2, 3], keepdims=True) + pixels) // (2 * pixels)
    return _blend(mean, images, levels)


def brightness(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Brightness between nearly black and nearly twice as bright."""
    return _blend(tf.zeros_like(images), images, levels)


def sharpness(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Sharpness between a smoothed image and as far beyond the original; the outermost pixels stay as they are."""
    height, width = images.shape[1], images.shape[2]
    if min(height, width) < 3:
        return images
    pixels = tf.cast(images, tf.int32)
    windows = [
        pixels[:, row : row + height - 2, column : column + width - 2] for row in range(3) for column in range(3)
    ]
    middle = pixels[:, 1:-1, 1:-1]
    smooth = (2 * (tf.add_n(windows) + 4 * middle) + 13) // 26
    change = tf.pad(smooth - middle, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return _blend(pixels + change, images, levels)


OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "identity": identity,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
    "rotate": rotate,
    "solarize": solarize,
    "color": color,
    "posterize": posterize,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}


def _grey(images: tf.Tensor) -> tf.Tensor:
    """Luma of colour images, int32 [n, H, W, 1], rounded as Pillow rounds it."""
    pixels = tf.cast(images, tf.int32)
    if images.shape[-1] == 1:
        return pixels
    red, green, blue = tf.unstack(pixels, axis=-1)
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) // 2**16)[..., None]


def _blend(plain: tf.Tensor, images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """`plain + (1 + 0.9 level) (images - plain)`: factors from 0.1 to 1.9."""
    plain = tf.cast(plain, tf.float32)
    factors = 1 + 0.9 * levels[:, None, None, None]
    blended = plain + factors * (tf.cast(images, tf.float32) - plain)
    return tf.cast(tf.clip_by_value(blended, 0, 255), tf.uint8)


def _affine(images: tf.Tensor, coefficients: list[tf.Tensor]) -> tf.Tensor:
    """Output pixel (x, y) shows input pixel (a x + b y + c, d x + e y + f), the nearest, or `FILL` outside.

    Coordinates are those of pixels' centres, 0.5 for the first, as Pillow has them.
    """
    a, b, c, d, e, f = coefficients
    zero = tf.zeros_like(a)
    # TensorFlow counts centres from 0.
    by_index = [a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, zero, zero]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(by_index, axis=1),
        output_shape=images.shape[1:3],
        fill_value=float(FILL),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(moved, images.shape)
