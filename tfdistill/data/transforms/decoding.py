"""From an encoded image to pixels, and to an image of the network's size: the one place that says how.

Everything here is TensorFlow operations without state, so it works in a `tf.data` pipeline and in a SavedModel alike,
and an image comes out the same to the last bit. Most images are JPEG without EXIF data and take a short way; all others
go through functions that stand apart from it, and cost a common image one node. (AutoGraph has nothing to convert here;
without it graphs are built in half the time.)

Read in the graph: JPEG, PNG (also of 16 bits), the first frame of GIF, BMP without compression of 1, 4, 8, 24 and 32
bits, WebP that does not move. The orientation in the EXIF data of JPEG, PNG and WebP is applied. Not read in the graph,
but refused when run with `tf.errors.InvalidArgumentError`: all other formats (TIFF, AVIF, JPEG XL, ...), compressed
BMP and BMP of 16 bits, moving WebP, what is damaged, and what has more pixels than allowed. Pixels are counted by the
header, before any memory is taken for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfdistill.data.transforms.apart import STRING, apart
from tfdistill.data.transforms.bitmaps import decode_bitmap
from tfdistill.data.transforms.crops import RESOLUTION, TRIES, random_box
from tfdistill.data.transforms.first_frames import first_frame
from tfdistill.data.transforms.headers import (
    BMP,
    GIF,
    JPEG,
    UNKNOWN,
    WEBP,
    format_of,
    image_size_of_header,
    is_jpeg,
    is_moving_webp,
    require,
)
from tfdistill.data.transforms.orientation import mentions_exif, orientation_of, stored_box, turned, upright_size
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading

__all__ = [
    "centre",
    "decode",
    "evaluated",
    "image_size_of_header",
    "random_crop",
    "random_part",
    "try_decoding",
    "whole",
    "whole_and_size",
]

# Longer sides are cut to so many times the shorter one before the centre of an image is enlarged.
LONGEST = 8


@tf.autograph.experimental.do_not_convert
def decode(contents: tf.Tensor, channels: int = 3, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Pixels of one encoded image, upright.

    Args:
        contents: the bytes of a JPEG, PNG, GIF, BMP or WebP file, a scalar string.
        channels: 3, or 1 for grey.
        max_pixels: height times width, at most; 0 for any.

    Returns:
        uint8 [height, width, channels]: grey repeated over three channels, alpha dropped, palettes and CMYK
        converted, 16 bits reduced to 8, of a GIF the first frame, turned as EXIF data says.

    Raises:
        tf.errors.OpError: when run on what cannot be decoded, or has more pixels.
    """
    plain, _ = _plain_jpeg(contents, max_pixels)
    image = tf.cond(
        plain, lambda: _of_tensorflow(contents, channels), lambda: _decoding_of_others(channels, max_pixels)(contents)
    )
    return tf.ensure_shape(image, [None, None, channels])


@tf.autograph.experimental.do_not_convert
def try_decoding(contents: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Raises `tf.errors.OpError` when run on what cannot be decoded; the result, int32 [3], has no use.

    All bytes of a JPEG are looked at, but it is decoded at an eighth of its size, in a fraction of the time.
    """
    checked, kind = _within(contents, max_pixels)

    def jpeg() -> tf.Tensor:
        return tf.shape(tf.io.decode_jpeg(checked, channels=3, ratio=8))

    return tf.cond(kind == JPEG, jpeg, lambda: tf.shape(_decoded(checked, kind, 3, max_pixels)))


@tf.autograph.experimental.do_not_convert
def evaluated(contents: tf.Tensor, image_shape: tuple[int, int, int], reading: Reading) -> tf.Tensor:
    """An encoded image as evaluation reads it, and as an export that serves the same has to.

    Args:
        contents: an encoded image, a scalar string.
        image_shape: (H, W, 1 or 3) of the result.
        reading: the style, and the most pixels that the image may have.

    Returns:
        uint8 `image_shape`.
    """
    if reading.style == "resize":
        return whole(contents, image_shape, reading.max_pixels)
    if reading.style == "resize_crop":
        image = _enlarged(contents, image_shape, reading)
        return _part(image, (tf.shape(image)[:2] - image_shape[:2]) // 2, image_shape)
    return centre(contents, image_shape, reading.margin, reading.max_pixels)


def whole(contents: tf.Tensor, image_shape: tuple[int, int, int], max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """The whole image, squeezed to uint8 `image_shape`."""
    return whole_and_size(contents, image_shape, max_pixels)[0]


def whole_and_size(
    contents: tf.Tensor, image_shape: tuple[int, int, int], max_pixels: int = MAX_PIXELS
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and the height and width in pixels that the upright image had before, int32 [2]."""
    image = decode(contents, image_shape[-1], max_pixels)
    return _resized(image, image_shape), tf.shape(image)[:2]


def centre(
    contents: tf.Tensor, image_shape: tuple[int, int, int], margin: float, max_pixels: int = MAX_PIXELS
) -> tf.Tensor:
    """The centre of the image once its shorter side measures `margin` sizes, uint8 `image_shape`.

    Where the shape is no square, the shorter side is the one that is short in proportion to it.

    A much longer than wide image is enlarged only around its centre: a line of a million pixels would otherwise become
    an image of some hundred times as many.
    """
    image = decode(contents, image_shape[-1], max_pixels)
    size = tf.shape(image)[:2]
    kept = tf.minimum(size, LONGEST * tf.reduce_min(size))
    (top, left), (height, width) = tf.unstack((size - kept) // 2), tf.unstack(kept)
    image, size = image[top : top + height, left : left + width], kept
    # The side that is shorter than the result's shape would have it; of a square result, the shorter side.
    side = tf.where(height * image_shape[1] <= width * image_shape[0], 0, 1)
    shorter = tf.constant([round(length * margin) for length in image_shape[:2]])[side]
    # Integers all the way: the longer side is rounded down, as PyTorch's is.
    enlarged = size * shorter // size[side]
    resized = _rounded(tf.image.resize(image, enlarged, antialias=True))
    return _part(resized, (enlarged - image_shape[:2]) // 2, image_shape)


@tf.autograph.experimental.do_not_convert
def random_part(
    contents: tf.Tensor, draws: tf.Tensor, image_shape: tuple[int, int, int], reading: Reading
) -> tf.Tensor:
    """The whole image squeezed to `margin` sizes, and of that a part at a random place, uint8 `image_shape`.

    Args:
        contents: an encoded image, a scalar string.
        draws: its random integers, int32 [TRIES, 4], of which the vertical and the horizontal place of the first row
            count.
        image_shape: of the result.
        reading: the margin, and the most pixels that the image may have.
    """
    image = _enlarged(contents, image_shape, reading)
    free = tf.cast(tf.shape(image)[:2] - image_shape[:2] + 1, tf.float64)
    place = tf.floor(tf.cast(draws[0, 2:], tf.float64) / RESOLUTION * free)
    return _part(image, tf.cast(place, tf.int32), image_shape)


@tf.autograph.experimental.do_not_convert
def random_crop(
    contents: tf.Tensor, draws: tf.Tensor, image_shape: tuple[int, int, int], reading: Reading
) -> tf.Tensor:
    """A random rectangle of the upright image, resized to uint8 `image_shape`; of a JPEG no more is decoded.

    Args:
        contents: an encoded image, a scalar string.
        draws: its random integers, int32 [TRIES, 4].
        image_shape: of the result.
        reading: the ranges of area and aspect ratio, and the most pixels that the image may have.
    """
    channels = image_shape[-1]
    plain, size = _plain_jpeg(contents, reading.max_pixels)

    def of_plain() -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(contents, random_box(size, draws, reading), channels=channels)

    image = tf.cond(plain, of_plain, lambda: _cropping_of_others(channels, reading)(contents, draws))
    return _resized(tf.ensure_shape(image, [None, None, channels]), image_shape)


def _plain_jpeg(contents: tf.Tensor, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether this is a JPEG of an allowed size without EXIF data; if so, its height and width, int32 [2].

    Most images are, and are spared what all others need.
    """

    def of_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.image.extract_jpeg_shape(contents)[:2]
        plain = ~mentions_exif(contents)
        if max_pixels:
            plain &= tf.reduce_prod(tf.cast(size, tf.int64)) <= max_pixels
        return plain, size

    return tf.cond(is_jpeg(contents), of_jpeg, lambda: (tf.constant(False), tf.constant([0, 0])))


@functools.cache
def _decoding_of_others(channels: int, max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """From the bytes of any image to its upright pixels, the long way."""

    def decoded(contents: tf.Tensor) -> tf.Tensor:
        return _pixels(contents, channels, max_pixels)

    return apart(STRING)(decoded)


@functools.cache
def _cropping_of_others(channels: int, reading: Reading) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From the bytes of any image and its random integers to the crop before it is resized, the long way."""

    def cropped(contents: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return _pixels(contents, channels, reading.max_pixels, lambda size: random_box(size, draws, reading))

    return apart(STRING, tf.TensorSpec([TRIES, 4], tf.int32))(cropped)


def _pixels(
    contents: tf.Tensor,
    channels: int,
    max_pixels: int,
    box_in: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """The upright image, or what `box_in` cuts out of one with this height and width, int32 [2]."""
    contents, kind = _within(contents, max_pixels)
    orientation = orientation_of(contents, kind)

    def box_of(size: tf.Tensor) -> tf.Tensor:
        assert box_in is not None
        return stored_box(box_in(upright_size(size, orientation)), size, orientation)

    def of_jpeg() -> tf.Tensor:
        box = box_of(tf.image.extract_jpeg_shape(contents)[:2])
        return tf.io.decode_and_crop_jpeg(contents, box, channels=channels)

    def of_any() -> tf.Tensor:
        image = _decoded(contents, kind, channels, max_pixels)
        if box_in is None:
            return image
        top, left, height, width = tf.unstack(box_of(tf.shape(image)[:2]))
        return image[top : top + height, left : left + width]

    image = of_any() if box_in is None else tf.cond(kind == JPEG, of_jpeg, of_any)
    return tf.ensure_shape(turned(image, orientation), [None, None, channels])


def _decoded(contents: tf.Tensor, kind: tf.Tensor, channels: int, max_pixels: int) -> tf.Tensor:
    """All pixels as they are stored, once format and size have been checked."""

    branches = {
        UNKNOWN: lambda: _of_tensorflow(contents, channels),
        GIF: lambda: _of_tensorflow(_still(contents, max_pixels), channels),
        BMP: lambda: _of_channels(decode_bitmap(contents), channels),
        WEBP: lambda: _of_channels(_decoded_webp(contents), channels),
    }
    # Each branch is built once, so that the graph stays small.
    numbers = list(branches)
    branch = tf.constant([numbers.index(one if one in branches else UNKNOWN) for one in range(WEBP + 1)])[kind]
    return tf.switch_case(branch, list(branches.values()))


def _of_tensorflow(contents: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=channels, expand_animations=False)


def _enlarged(contents: tf.Tensor, image_shape: tuple[int, int, int], reading: Reading) -> tf.Tensor:
    height, width, channels = image_shape
    return whole(
        contents, (round(height * reading.margin), round(width * reading.margin), channels), reading.max_pixels
    )


def _part(image: tf.Tensor, place: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    top, left = tf.unstack(place)
    return tf.ensure_shape(image[top : top + image_shape[0], left : left + image_shape[1]], image_shape)


def _within(contents: tf.Tensor, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The same bytes and their format, once it is sure that both format and size are allowed."""
    kind = format_of(contents)
    checks = [require(kind > 0, "not a JPEG, PNG, GIF, BMP or WebP image")]
    if max_pixels:
        height, width = tf.unstack(image_size_of_header(contents, kind))
        text = f"{{}} x {{}} pixels are more than max_pixels={max_pixels}"
        # A header may claim more pixels than 64 bits count.
        pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
        checks.append(require(pixels <= max_pixels, text, width, height))
    with tf.control_dependencies(checks):
        return tf.identity(contents), kind


def _still(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The part of a GIF that holds its first frame."""
    shorter, size = first_frame(contents)
    if not max_pixels:
        return shorter
    # A frame may claim more than the whole.
    text = f"a frame of {{}} x {{}} pixels is more than max_pixels={max_pixels}"
    with tf.control_dependencies([require(tf.reduce_prod(size) <= max_pixels, text, size[1], size[0])]):
        return tf.identity(shorter)


def _decoded_webp(contents: tf.Tensor) -> tf.Tensor:
    """Pixels of a WebP file that does not move, uint8 [height, width, 3]; alpha is dropped."""
    with tf.control_dependencies([require(~is_moving_webp(contents), "a moving WebP is read by Pillow only")]):
        return tf.ensure_shape(tf.io.decode_webp(tf.identity(contents))[0, ..., :3], [None, None, 3])


def _of_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """RGB as it is, or as grey by ITU-R BT.601."""
    return image if channels == 3 else _rounded(tf.image.rgb_to_grayscale(tf.cast(image, tf.float32)))


def _resized(image: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    return tf.ensure_shape(_rounded(tf.image.resize(image, image_shape[:2], antialias=True)), image_shape)


def _rounded(image: tf.Tensor) -> tf.Tensor:
    return tf.saturate_cast(tf.round(image), tf.uint8)
