"""Bitmaps of every uncompressed kind give the colours that Pillow gives; the others are refused."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.decoding import decode

DECODE = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])
RNG = np.random.default_rng(0)
PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)


def bitmap(
    rows: np.ndarray,
    width: int,
    bits: int,
    palette: np.ndarray | None = None,
    *,
    old: bool = False,
    downwards: bool = False,
    compression: int = 0,
    masks: bytes = b"",
) -> bytes:
    """A file out of the bytes of its rows, uint8 [height, ...], in the order of the file."""
    height = len(rows)
    data = b"".join(row.tobytes() + bytes(-len(row.tobytes()) % 4) for row in rows)
    if old:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack(
            "<IiiHHIIiiII", 40, width, -height if downwards else height, 1, bits, compression, *[0] * 5
        )
    table = b""
    if palette is not None:
        table = b"".join(bytes(colour[::-1]) + (b"" if old else b"\0") for colour in palette)
        if not old:
            header = header[:32] + struct.pack("<I", len(palette)) + header[36:]
    begin = 14 + len(header) + len(masks) + len(table)
    return b"BM" + struct.pack("<IHHI", begin + len(data), 0, 0, begin) + header + masks + table + data


def by_pillow(contents: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("width", [1, 7, 13, 32])
@pytest.mark.parametrize("old", [False, True])
def test_palettes(bits, width, old):
    indices = RNG.integers(0, 2**bits, (5, width))
    spread = np.unpackbits(indices.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(5, -1)
    contents = bitmap(np.packbits(spread, axis=-1), width, bits, PALETTE[: 2**bits], old=old)
    expected = PALETTE[indices[::-1]]
    np.testing.assert_array_equal(DECODE(contents), expected)
    np.testing.assert_array_equal(by_pillow(contents), expected)


def test_short_palettes():
    indices = RNG.integers(0, 20, (4, 6), dtype=np.uint8)
    np.testing.assert_array_equal(DECODE(bitmap(indices, 6, 8, PALETTE[:20])), PALETTE[indices[::-1]])
    np.testing.assert_array_equal(DECODE(bitmap(indices + 20, 6, 8, PALETTE[:20])), np.zeros((4, 6, 3)))


@pytest.mark.parametrize("bits", [24, 32])
@pytest.mark.parametrize(("old", "downwards"), [(False, False), (False, True), (True, False)])
def test_true_colours(bits, old, downwards):
    pixels = RNG.integers(0, 256, (5, 7, bits // 8), dtype=np.uint8)
    contents = bitmap(pixels, 7, bits, old=old, downwards=downwards)
    np.testing.assert_array_equal(DECODE(contents), (pixels if downwards else pixels[::-1])[..., 2::-1])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_what_pillow_writes(mode):
    image = Image.fromarray(RNG.integers(0, 256, (9, 11, 4), dtype=np.uint8), "RGBA").convert(mode)
    file = io.BytesIO()
    image.save(file, "bmp")
    np.testing.assert_array_equal(DECODE(file.getvalue()), np.asarray(image.convert("RGB")))


def test_what_is_no_plain_bitmap_is_refused():
    indices = RNG.integers(0, 256, (5, 8), dtype=np.uint8)
    masks = struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)
    true_colours = RNG.integers(0, 256, (5, 8, 4), dtype=np.uint8)
    usual = bitmap(true_colours, 8, 32, compression=3, masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF))
    np.testing.assert_array_equal(DECODE(usual), true_colours[::-1, :, 2::-1])
    for contents, message in (
        (bitmap(indices, 8, 8, PALETTE, compression=1), "BMP of 8 bits with compression 1"),
        (bitmap(indices, 4, 16), "BMP of 16 bits with compression 0"),
        (bitmap(true_colours, 8, 32, compression=3, masks=masks), "BMP of 32 bits with compression 3"),
        (bitmap(indices, 8, 8, PALETTE)[:-1], "BMP is truncated or empty"),
        (bitmap(indices, 0, 8, PALETTE), "BMP is truncated or empty"),
        (b"BM", "BMP of 0 bits"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            DECODE(contents)
