"""Encoded images in a served graph: read as evaluation reads them, the bad ones named or marked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import tensorflow as tf

from tfdistill.data.transforms.decoding import evaluated, whole_and_size
from tfdistill.data.transforms.headers import UNKNOWN, format_of, image_size_of_header
from tfdistill.data.transforms.readings import READINGS, Reading, reading_of

# What the signature for encoded images does with those it cannot read.
BadImages = Literal["fail", "mark"]
BAD_IMAGES = get_args(BadImages)
# Images of a batch that are decoded at a time: each takes memory for all of its pixels.
PARALLEL = 4
Shape = tuple[int, int, int]


def chosen_reading(reading: Reading | str, image_shape: Shape) -> Reading:
    """The reading itself, or the one that a style's name stands for with images of this shape.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(reading, Reading):
        return reading
    if reading not in READINGS:
        raise ValueError(f"reading must be a Reading or one of {', '.join(READINGS)}; got {reading!r}")
    return reading_of(reading, min(image_shape[:2]))


def check_bad_images(bad_images: str) -> None:
    """Raises ValueError for what `bad_images` cannot be."""
    if bad_images not in BAD_IMAGES:
        raise ValueError(f"bad_images must be {' or '.join(BAD_IMAGES)}; got {bad_images!r}")


def described_reading(reading: Reading, image_shape: Shape, bad_images: str) -> dict[str, object]:
    """The reading as a model card has it: as data, and in words."""
    height, width, channels = image_shape
    size, colour = f"{height} x {width}", "grey" if channels == 1 else "colour"
    larger = f"{round(height * reading.margin)} x {round(width * reading.margin)}"
    ways = {
        "resize": f"squeezed as a whole to {size}",
        "crop": f"resized until the shorter side measures {round(min(height, width) * reading.margin)}, "
        f"and the {size} in the centre cut out",
        "resize_crop": f"squeezed as a whole to {larger}, and the {size} in the centre cut out",
    }
    limit = f"up to {reading.max_pixels:,} pixels" if reading.max_pixels else "any number of pixels"
    return {
        "style": reading.style,
        "margin": reading.margin,
        "max_pixels": reading.max_pixels,
        "bad_images": bad_images,
        "words": f"images of {limit}, in {colour}, turned upright as EXIF data says, {ways[reading.style]} "
        "(bilinear, anti-aliased, rounded to integers)",
    }


def read_batch(encoded: tf.Tensor, image_shape: Shape, reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Every image of a batch that can be read, and which ones those are.

    Args:
        encoded: the bytes of image files, strings [batch].
        image_shape: (height, width, channels) of the result.
        reading: how evaluation reads one.

    Returns:
        uint8 [batch, height, width, channels], black where an image cannot be read, and bool [batch], true where it
        can.
    """
    black = (tf.zeros(image_shape, tf.uint8),)
    (images,), valid = _readable(encoded, lambda content: (evaluated(content, image_shape, reading),), black)
    return tf.ensure_shape(images, [None, *image_shape]), valid


def read_batch_and_sizes(
    encoded: tf.Tensor, image_shape: Shape, reading: Reading
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same for a reading that squeezes whole images, and the size that each one had.

    Args:
        encoded: as of `read_batch`.
        image_shape: as of `read_batch`.
        reading: of style "resize".

    Returns:
        images and what is valid, as of `read_batch`, and between them int32 [batch, 2], height and width in pixels of
        the upright image; (1, 1) where one cannot be read.
    """
    black = (tf.zeros(image_shape, tf.uint8), tf.ones([2], tf.int32))
    (images, sizes), valid = _readable(
        encoded, lambda content: whole_and_size(content, image_shape, reading.max_pixels), black
    )
    return tf.ensure_shape(images, [None, *image_shape]), tf.ensure_shape(sizes, [None, 2]), valid


def _readable(
    encoded: tf.Tensor, read_one: Callable[[tf.Tensor], tuple[tf.Tensor, ...]], otherwise: tuple[tf.Tensor, ...]
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """What `read_one` makes of each image, `otherwise` where it fails, and where it does not, bool [batch]."""

    # AutoGraph finds nothing to rewrite, and takes seconds to look.
    @tf.autograph.experimental.do_not_convert
    def read(position: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return position, *read_one(content)

    count = tf.shape(encoded)[0]
    found = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded)).map(read, num_parallel_calls=PARALLEL)
    # The one way to outlive an error within a graph: the dataset leaves out what raises. What stands for all that is
    # missing comes at the end, and keeps the result from being empty.
    last_of_all = tf.data.Dataset.from_tensors((count, *otherwise))
    readable = found.ignore_errors().concatenate(last_of_all).batch(tf.cast(count, tf.int64) + 1)
    positions, *values = readable.get_single_element()
    last = tf.shape(positions)[0] - 1
    places = tf.tensor_scatter_nd_update(tf.fill([count + 1], last), positions[:, None], tf.range(last + 1))[:count]
    return [tf.gather(one, places) for one in values], places < last


def refuse_bad(encoded: tf.Tensor, valid: tf.Tensor, reading: Reading) -> tf.Operation:
    """An operation that fails unless every image is valid, and names the first that is not, by its place and fault."""

    def refuse() -> tf.Operation:
        bad = tf.cast(tf.where(~valid)[:, 0], tf.int32)
        counts = tf.strings.format("{} of {}", (tf.size(bad), tf.size(valid)))
        parts = ["encoded[", tf.strings.as_string(bad[0]), "] ", _fault(encoded[bad[0]], reading)]
        text = tf.strings.join([*parts, "; unreadable are ", counts])
        return tf.debugging.Assert(tf.constant(False), [text])

    return tf.cond(tf.reduce_all(valid), tf.no_op, refuse)


def _fault(content: tf.Tensor, reading: Reading) -> tf.Tensor:
    """What is wrong with an image that cannot be read, in words."""

    @tf.autograph.experimental.do_not_convert
    def said(content: tf.Tensor) -> tf.Tensor:
        height, width = tf.unstack(image_size_of_header(content))
        # As floats: a header may claim more pixels than 64 bits count.
        pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
        limit = float(reading.max_pixels or math.inf)
        large = tf.strings.format(f"has {{}} x {{}} pixels, more than {reading.max_pixels}", (width, height))
        known = tf.where(pixels > limit, large, "is damaged or of a kind that is not decoded")
        return tf.where(format_of(content) == UNKNOWN, "is no JPEG, PNG, GIF, BMP or WebP image", known)

    # Looking at a damaged header may fail too.
    found = tf.data.Dataset.from_tensors(content).map(said).ignore_errors()
    otherwise = tf.data.Dataset.from_tensors(tf.constant("is damaged"))
    return found.concatenate(otherwise).take(1).get_single_element()
