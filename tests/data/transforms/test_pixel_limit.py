"""The size of an image is known from its header, and what is larger than allowed is refused before it takes memory."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.crops import crop_draws
from tfdistill.data.transforms.decoding import decode, image_size_of_header, random_crop, try_decoding
from tfdistill.data.transforms.readings import Reading

DECODE = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])


def encoded(height: int, width: int, form: str, **settings) -> bytes:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


CASES = {
    "jpeg": {},
    "progressive jpeg": {"progressive": True},
    "png": {},
    "gif": {},
    "bmp": {},
    "webp": {},
    "lossless webp": {"lossless": True},
    "extended webp": {"exif": b"Exif\0\0"},
}


@pytest.mark.parametrize("case", CASES)
def test_sizes_without_decoding(case):
    contents = encoded(21, 300, case.split()[-1], **CASES[case])
    assert image_size_of_header(contents).numpy().tolist() == [21, 300]
    assert decode(contents, max_pixels=6300).shape == (21, 300, 3) == decode(contents, max_pixels=0).shape
    for read in (
        lambda: decode(contents, max_pixels=6299),
        lambda: try_decoding(tf.constant(contents), 6299),
        lambda: random_crop(contents, crop_draws(range(1), [0, 0])[0], (8, 8, 3), Reading("crop", max_pixels=6299)),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="300 x 21 pixels are more than max_pixels=6299"):
            read()


@pytest.mark.parametrize("contents", [b"", b"x", b"II*\0" + bytes(100), b"\xff\x0a" + bytes(100)])
def test_other_formats_have_no_size_and_are_refused(contents):
    assert image_size_of_header(contents).numpy().tolist() == [0, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a JPEG, PNG, GIF, BMP or WebP image"):
        DECODE(contents)


def jpeg_claiming(height: int, width: int) -> bytes:
    contents = bytearray(encoded(8, 8, "jpeg"))
    frame = contents.index(b"\xff\xc0")
    contents[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(contents)


def png_claiming(height: int, width: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def gif_claiming(height: int, width: int) -> bytes:
    """The whole is small, its first frame claims to be large."""
    contents = bytearray(encoded(8, 8, "gif"))
    frame = contents.index(b"\x2c\0\0\0\0\x08\0\x08\0")
    contents[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    return bytes(contents)


@pytest.mark.parametrize("make", [jpeg_claiming, png_claiming, gif_claiming])
def test_a_small_file_that_claims_to_be_huge_takes_no_memory(make, peak_growth):
    contents = make(65500, 65500)
    assert len(contents) < 2000
    DECODE(encoded(8, 8, "png"))

    def refused() -> None:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"65500.*65500.* more than max_pixels=100000000"):
            DECODE(contents)

    assert peak_growth(refused) < 5e7
