"""From an encoded image (JPEG, PNG, BMP, GIF) to one of the network's size: decoding, cropping, resizing."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import tensorflow as tf

STYLES = ("resize", "crop")
READINGS = ("auto", *STYLES)
# Up to this height and width, "auto" squeezes whole images, as is usual for CIFAR and its like.
LARGEST_RESIZED = 64
# Crops tried before the centre of the image is taken.
TRIES = 10
# Draws are integers below this; divided by it they are exact in float64.
RESOLUTION = 2**30


@dataclass(frozen=True)
class Reading:
    """How an encoded image becomes one of the network's size.

    "resize" squeezes the whole image to the size, in training and evaluation alike; the aspect ratio is lost. "crop"
    trains on a rectangle of random area, aspect ratio and place, and evaluates the centre of the image after its
    shorter side has been resized. Both resize bilinearly with anti-aliasing.

    Args:
        style: "resize" or "crop".
        scale: least and largest share of the image's area in a training crop, in 0..1, above 0.
        ratio: least and largest width / height of a training crop, above 0.
        margin: shorter side of an evaluated image before its centre is cut out, in sizes, 1 or more.

    Raises:
        ValueError: if an argument is out of range.

    Source: Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), section 6, for area and aspect ratio; ten
        tries and then the centre, and 256 pixels around 224 in evaluation, are PyTorch's usage for ImageNet.
    """

    style: str
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    margin: float = 256 / 224

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(STYLES)}, got {self.style!r}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two shares of the area in 0..1, the smaller first, got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio must be two ratios above 0, the smaller first, got {self.ratio}")
        if not 1 <= self.margin < math.inf:
            raise ValueError(f"margin must be 1 or more, got {self.margin}")


def reading_of(style: str, image_size: int) -> Reading:
    """The reading of that style; "auto" is "crop" for images above 64 pixels and "resize" below.

    Raises:
        ValueError: if the style is unknown.
    """
    if style not in READINGS:
        near = difflib.get_close_matches(style, READINGS, n=1, cutoff=0.0)[0]
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, got {style!r}; nearest: {near}")
    if style == "auto":
        style = "crop" if image_size > LARGEST_RESIZED else "resize"
    return Reading(style)


def decode(contents: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Pixels of one encoded image.

    Args:
        contents: the bytes of a JPEG, PNG, BMP or GIF file, a scalar string.
        channels: 3, or 1 for grey (no BMP then).

    Returns:
        uint8 [height, width, channels]: grey repeated over three channels, alpha dropped, palettes and CMYK
        converted, 16 bits reduced to 8, of a GIF the first frame. The orientation in a photograph's EXIF data is
        not applied.
    """

    def bitmap() -> tf.Tensor:
        # The BMP decoder converts no colours, unlike those of the other formats.
        image = tf.io.decode_bmp(contents)
        grey = tf.shape(image)[-1] < 3
        return tf.cond(grey, lambda: tf.repeat(image[..., :1], 3, axis=-1), lambda: image[..., :3])

    def image_of_any_format() -> tf.Tensor:
        return tf.io.decode_image(contents, channels=channels, expand_animations=False)

    if channels != 3:
        return tf.ensure_shape(image_of_any_format(), [None, None, channels])
    is_bitmap = tf.strings.substr(contents, 0, 2) == b"BM"
    return tf.ensure_shape(tf.cond(is_bitmap, bitmap, image_of_any_format), [None, None, 3])


def try_decoding(contents: tf.Tensor) -> tf.Tensor:
    """Raises `tf.errors.OpError` when run on what cannot be decoded; the result, int32 [3], has no use.

    All bytes of a JPEG are looked at, but it is decoded at an eighth of its size, in a fraction of the time.
    """

    def jpeg() -> tf.Tensor:
        return tf.shape(tf.io.decode_jpeg(contents, channels=3, ratio=8))

    return tf.cond(_is_jpeg(contents), jpeg, lambda: tf.shape(decode(contents)))


def whole(contents: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The whole image, squeezed to uint8 `image_shape`."""
    return _resized(decode(contents, image_shape[-1]), image_shape)


def centre(contents: tf.Tensor, image_shape: tuple[int, int, int], margin: float) -> tf.Tensor:
    """The centre of the image once its shorter side measures `margin` sizes, uint8 `image_shape`."""
    image = decode(contents, image_shape[-1])
    size = tf.shape(image)[:2]
    shorter = round(min(image_shape[:2]) * margin)
    # Integers all the way: the longer side is rounded down, as PyTorch's is.
    enlarged = size * shorter // tf.reduce_min(size)
    resized = _rounded(tf.image.resize(image, enlarged, antialias=True))
    top, left = tf.unstack((enlarged - image_shape[:2]) // 2)
    return tf.ensure_shape(resized[top : top + image_shape[0], left : left + image_shape[1]], image_shape)


def crop_draws(images: int, seed: tf.Tensor) -> tf.Tensor:
    """The random integers behind `images` crops: int32 [images, TRIES, 4], below RESOLUTION.

    Args:
        images: how many crops.
        seed: integers [2].
    """
    return tf.random.stateless_uniform([images, TRIES, 4], seed, maxval=RESOLUTION, dtype=tf.int32, alg="philox")


def random_crop(
    contents: tf.Tensor, draws: tf.Tensor, image_shape: tuple[int, int, int], reading: Reading
) -> tf.Tensor:
    """A random rectangle of the image, resized to uint8 `image_shape`; of a JPEG no more than it is decoded.

    Args:
        contents: an encoded image, a scalar string.
        draws: its random integers, int32 [TRIES, 4].
        image_shape: of the result.
        reading: the ranges of area and aspect ratio.
    """
    channels = image_shape[-1]

    def of_jpeg() -> tf.Tensor:
        size = tf.image.extract_jpeg_shape(contents)
        box = random_box(size[0], size[1], draws, reading)
        return tf.io.decode_and_crop_jpeg(contents, box, channels=channels)

    def of_other() -> tf.Tensor:
        image = decode(contents, channels)
        size = tf.shape(image)
        top, left, height, width = tf.unstack(random_box(size[0], size[1], draws, reading))
        return image[top : top + height, left : left + width]

    return _resized(tf.cond(_is_jpeg(contents), of_jpeg, of_other), image_shape)


def random_box(height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor, reading: Reading) -> tf.Tensor:
    """A rectangle inside an image: area uniform in `scale`, logarithm of width / height uniform in `ratio`.

    Of `TRIES` rectangles the first that fits is taken, at a place drawn uniformly. If none fits, which is common for
    long and narrow images only, it is the largest centred one whose aspect ratio is in range.

    Args:
        height: of the image in pixels, a scalar.
        width: of the image in pixels, a scalar.
        draws: int32 [TRIES, 4] below RESOLUTION: area, aspect ratio, vertical and horizontal place.
        reading: the ranges.

    Returns:
        (top, left, height, width), int32 [4].
    """
    rows, columns = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
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


def _is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


def _resized(image: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    return tf.ensure_shape(_rounded(tf.image.resize(image, image_shape[:2], antialias=True)), image_shape)


def _rounded(image: tf.Tensor) -> tf.Tensor:
    return tf.saturate_cast(tf.round(image), tf.uint8)
