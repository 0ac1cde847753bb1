"""Image files that TensorFlow cannot decode: Pillow reads them in the input pipeline, and hands on a bitmap.

What comes out is a BMP file of 24 bits, so everything behind it (limits, crops, sizes) is the same for all formats.
This is Python, so it cannot be part of an export: there such files are refused.
"""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.bitmaps import is_plain_bitmap
from tfdistill.data.transforms.headers import BMP, UNKNOWN, WEBP, format_of, is_moving_webp

# What Pillow may try: formats of pictures that need no other program (as EPS does) and no network.
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "ICO", "QOI"),
    *("SGI", "DDS", "PSD", "XBM", "XPM"),
)


def readable(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The bytes of an image as they are, if the graph decodes its format, and else those of a bitmap made by Pillow.

    Of files with several pictures the first is taken; it is turned as EXIF data says. The same bytes give the same
    bitmap.

    Args:
        contents: the bytes of an image, a scalar string.
        max_pixels: height times width, at most; 0 for any.

    Raises:
        tf.errors.OpError: when run on what neither decodes, or has more pixels.
    """
    kind = format_of(contents)

    def by_pillow() -> tf.Tensor:
        made = tf.numpy_function(lambda one: bitmap_by_pillow(one, max_pixels), [contents], tf.string, stateful=False)
        return tf.ensure_shape(made, [])

    odd_bitmap = (kind == BMP) & ~is_plain_bitmap(contents)
    moving = (kind == WEBP) & is_moving_webp(contents)
    return tf.cond((kind == UNKNOWN) | odd_bitmap | moving, by_pillow, lambda: contents)


def bitmap_by_pillow(contents: bytes, max_pixels: int) -> bytes:
    """The first picture of an image file as a BMP file of 24 bits, upright.

    Raises:
        ValueError: one line: Pillow cannot read it, its pixels have no known range, or there are too many.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(contents), formats=FORMATS) as image:
            width, height = image.size
            if max_pixels and width * height > max_pixels:
                raise ValueError(f"{width} x {height} pixels are more than max_pixels={max_pixels}")
            pixels = _eight_bits(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError:
        raise ValueError("not an image that TensorFlow or Pillow can read") from None
    except Exception as error:  # whatever a damaged file makes a decoder do
        raise ValueError(" ".join(f"{error}".split()) or type(error).__name__) from None
    file = io.BytesIO()
    pixels.save(file, "bmp")
    return file.getvalue()


def _eight_bits(image):
    """RGB of any image; 16 bits are reduced to 8 as TensorFlow does it, by their upper half."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("pixels are fractions of no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) >= 2**16:
            raise ValueError("pixels have more than 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
