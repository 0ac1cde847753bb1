"""What Pillow reads for the input pipeline: first pictures, upright, in eight bits; the rest is refused in one line."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.decoding import decode
from tfdistill.data.transforms.other_formats import bitmap_by_pillow, readable

LIMIT = 1000
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def read(contents: tf.Tensor) -> tf.Tensor:
    return decode(readable(contents, LIMIT), max_pixels=LIMIT)


def encoded(image: Image.Image, form: str, **settings) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_tiff_of_every_kind(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(read(encoded(image, "tiff")), image.convert("RGB"))


def test_sixteen_bits_are_reduced_as_by_tensorflow():
    deep = RNG.integers(0, 2**16, (9, 14)).astype(np.uint16)
    expected = np.repeat((deep >> 8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep), "tiff")), expected)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep), "png")), expected)


@pytest.mark.parametrize("form", ["tiff", "avif", "webp"])
def test_of_several_pictures_the_first_upright(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    settings = {"lossless": True} if form == "webp" else {}
    image = Image.fromarray(np.kron(PIXELS[:2, :3], np.ones((8, 8, 1), np.uint8)))
    second = Image.fromarray(255 - np.asarray(image))
    # Pillow's writer of moving AVIF is not to be relied on.
    several = {} if form == "avif" else {"save_all": True, "append_images": [second]}
    contents = encoded(image, form, exif=exif, **settings, **several)
    expected = np.rot90(np.asarray(image), 3).astype(int)
    found = read(contents).numpy().astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 12


def test_compressed_bitmaps_are_read():
    # Windows' run lengths: three rows of four pixels each, of colours 1, 2 and 1.
    rows = b"\x04\x01\0\0" + b"\x04\x02\0\0" + b"\x04\x01\0\x01"
    image = Image.new("P", (4, 3))
    image.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50] + [0] * 759)
    plain = bytearray(encoded(image, "bmp"))
    begin = int.from_bytes(plain[10:14], "little")
    plain[30:34] = (1).to_bytes(4, "little")
    colours = np.array([[10, 20, 30], [200, 100, 50], [10, 20, 30]])
    np.testing.assert_array_equal(read(bytes(plain[:begin]) + rows), np.repeat(colours[:, None], 4, axis=1))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not an image that TensorFlow or Pillow can read"),
        (b"not an image", "not an image that TensorFlow or Pillow can read"),
        (encoded(Image.new("RGB", (50, 21)), "tiff"), "50 x 21 pixels are more than max_pixels=1000"),
        (encoded(Image.new("F", (5, 5)), "tiff"), "pixels are fractions of no known range"),
        (encoded(Image.fromarray(np.full((5, 5), 2**20, np.int32)), "tiff"), "pixels have more than 16 bits"),
        (encoded(Image.fromarray(PIXELS), "tiff")[:-60], ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(contents, message):
    with pytest.raises(ValueError, match=message) as caught:
        bitmap_by_pillow(contents, LIMIT)
    assert str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(tf.errors.OpError):
        read(contents)
