"""Photographs are turned as EXIF data says, whole or in crops, as Pillow turns them; damaged data turns nothing."""

import io
import itertools
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfdistill.data.transforms.crops import crop_draws, random_box
from tfdistill.data.transforms.decoding import decode, random_crop
from tfdistill.data.transforms.orientation import orientation_of, stored_box, turned
from tfdistill.data.transforms.readings import Reading

DECODE = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])
ORIENTATION = tf.function(orientation_of, input_signature=[tf.TensorSpec([], tf.string)])
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
WRITING = {
    "jpeg": {"quality": 95, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True},
}


def tiff(orientation: int, order: str = "<", *, kind: int = 3, before: int = 2, count: int = 1) -> bytes:
    """EXIF data with some other tags before the orientation."""
    others = b"".join(struct.pack(order + "HHII", 0x0100 + number, 4, 1, 7) for number in range(before))
    value = struct.pack(order + {1: "Bxxx", 3: "Hxx", 4: "I"}[kind], orientation)
    directory = struct.pack(order + "H", before + 1) + others + struct.pack(order + "HHI", 0x0112, kind, count) + value
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + bytes(4)


def photograph(form: str, exif: bytes | None, pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **WRITING[form], **({} if exif is None else {"exif": exif}))
    return file.getvalue()


def by_pillow(contents: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGB"))


@pytest.mark.parametrize(("form", "order"), list(itertools.product(WRITING, "<>")))
def test_all_eight_orientations_agree_with_pillow(form, order):
    for orientation in range(1, 9):
        contents = photograph(form, b"Exif\0\0" + tiff(orientation, order))
        expected = by_pillow(contents)
        assert expected.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
        # JPEG is decoded by another inverse transform than Pillow's.
        np.testing.assert_allclose(DECODE(contents).numpy().astype(int), expected, atol=9 if form == "jpeg" else 0)
        assert int(ORIENTATION(contents)) == orientation


@pytest.mark.parametrize("form", WRITING)
def test_crops_are_of_the_upright_image(form):
    reading = Reading("crop")
    smooth = np.kron(PIXELS[:6, :8], np.ones((16, 16, 1), np.uint8))
    for orientation, draws in zip(range(1, 9), crop_draws(range(8), [1, 2]), strict=True):
        contents = photograph(form, b"Exif\0\0" + tiff(orientation), smooth)
        upright = decode(contents).numpy()
        assert upright.shape == ((96, 128, 3) if orientation < 5 else (128, 96, 3))
        top, left, height, width = random_box(upright.shape[:2], draws, reading).numpy()
        crop = random_crop(contents, draws, (height, width, 3), reading).numpy().astype(int)
        np.testing.assert_array_equal(crop, upright[top : top + height, left : left + width])


def test_boxes_are_found_in_the_stored_image():
    for orientation in range(1, 9):
        upright = turned(tf.constant(PIXELS), tf.constant(orientation)).numpy()
        box = tf.constant([3, 5, 2, 7])
        top, left, height, width = stored_box(box, tf.constant([16, 24]), tf.constant(orientation)).numpy()
        part = turned(tf.constant(PIXELS[top : top + height, left : left + width]), tf.constant(orientation))
        np.testing.assert_array_equal(part, upright[3:5, 5:12])


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


EXIF = segment(0xE1, b"Exif\0\0" + tiff(6))
# What may stand between a file's first two bytes and the rest of it, and the orientation that results.
SEGMENTS = {
    "right at the beginning": (EXIF, 6),
    "behind others": (segment(0xE2, bytes(60_000)) * 3 + segment(0xFE, b"Exif\0\0") + EXIF, 6),
    "behind XMP data": (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>") + EXIF, 6),
    "behind filling bytes": (b"\xff\xff\xff" + EXIF, 6),
    "the first of two counts": (EXIF + segment(0xE1, b"Exif\0\0" + tiff(3)), 6),
    "named in a comment only": (segment(0xFE, b"Exif\0\0" + tiff(6)), 1),
    "of four bytes": (segment(0xE1, b"Exif\0\0" + tiff(8, ">", kind=4)), 8),
    "of one byte": (segment(0xE1, b"Exif\0\0" + tiff(5, ">", kind=1)), 5),
    "named twice": (segment(0xE1, b"Exif\0\0Exif\0\0" + tiff(7)), 7),
    "a value of 0": (segment(0xE1, b"Exif\0\0" + tiff(0)), 1),
    "a value of 9": (segment(0xE1, b"Exif\0\0" + tiff(9)), 1),
    "two values": (segment(0xE1, b"Exif\0\0" + tiff(6, count=2)), 1),
    "another order of bytes": (segment(0xE1, b"Exif\0\0XX" + tiff(6)[2:]), 1),
    "no directory": (segment(0xE1, b"Exif\0\0" + tiff(6)[:8]), 1),
    "a directory far away": (segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + tiff(6)[8:]), 1),
    "nothing": (segment(0xE1, b"Exif\0\0"), 1),
    "an endless walk": (segment(0xFE, b"") * 2000 + EXIF, 1),
}


@pytest.mark.parametrize("case", SEGMENTS)
def test_where_exif_data_stands_and_what_it_may_say(case):
    between, expected = SEGMENTS[case]
    plain = photograph("jpeg", None)
    contents = plain[:2] + between + plain[2:]
    assert int(ORIENTATION(contents)) == expected
    np.testing.assert_array_equal(DECODE(contents), turned(DECODE(plain), tf.constant(expected)))


@pytest.mark.parametrize("form", WRITING)
def test_damaged_data_never_fails(form):
    contents = photograph(form, b"Exif\0\0" + tiff(6, ">"))
    rng = np.random.default_rng(1)
    begin = contents.index(b"MM\0*") - 14
    for _ in range(200):
        damaged = bytearray(contents + bytes(70))
        for place in rng.integers(begin, begin + 70, rng.integers(1, 6)):
            damaged[place] = rng.choice([0, 1, 255, rng.integers(256)])
        assert 1 <= int(ORIENTATION(bytes(damaged[: rng.integers(begin, len(damaged))]))) <= 8
