"""Uncompressed Windows bitmaps (BMP) in the graph, palettes included, which TensorFlow's own decoder does not know."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.data.transforms.apart import STRING, apart
from tfdistill.data.transforms.headers import head_of, image_size_of_header, numbers, require, signed

# Palettes have at most so many colours.
COLOURS = 256
# Masks of red, green and blue in 32 bits, as the bytes blue, green, red lie in a file.
USUAL_MASKS = (0xFF0000, 0xFF00, 0xFF)
PLAIN, BIT_FIELDS = 0, 3
BITS = (1, 4, 8, 24, 32)
# Bytes of the header of OS/2 and Windows 2.
OLD_HEADER = 12


@apart(STRING)
def decode_bitmap(contents: tf.Tensor) -> tf.Tensor:
    """Pixels of a BMP file of 1, 4 or 8 bits with its palette, or of 24 or 32 bits; alpha is dropped.

    Args:
        contents: the bytes of the file, a scalar string.

    Returns:
        uint8 [height, width, 3], red, green, blue.

    Raises:
        tf.errors.InvalidArgumentError: when run on a bitmap that is truncated, compressed (RLE), of 16 bits, or with
            colours in other bits than usual.

    Source: Microsoft's BITMAPINFOHEADER and its predecessors and successors ("Bitmap Storage", Win32).
    """
    begin, header, rows, bits, compression, known = _header(contents)
    old = header == OLD_HEADER
    height, width = tf.unstack(image_size_of_header(contents))
    # Rows are filled up to multiples of 4 bytes.
    row = (width * bits + 31) // 32 * 4
    size = tf.cast(tf.strings.length(contents), tf.int64)
    whole = (height > 0) & (width > 0) & (begin + row * height <= size)
    checks = [
        require(known, "BMP of {} bits with compression {} is read by Pillow only", bits, compression),
        require(whole | ~known, "BMP is truncated or empty"),
    ]
    with tf.control_dependencies(checks):
        bits = tf.identity(bits)
        data = tf.io.decode_raw(tf.strings.substr(contents, begin, row * height), tf.uint8)
    lines = tf.reshape(data, tf.stack([height, row]))
    # Rows begin at the bottom unless the height is below 0.
    downwards = ~old & (signed(rows) < 0)
    lines = tf.reverse(lines, tf.where([~downwards])[:, 0])

    def with_palette() -> tf.Tensor:
        indices = tf.reshape(_unpacked(lines, bits), tf.stack([height, -1]))[:, :width]
        return tf.gather(_palette(contents, 14 + header, begin, old), tf.cast(indices, tf.int32))

    def with_colours() -> tf.Tensor:
        pixels = tf.reshape(lines[:, : width * bits // 8], tf.stack([height, width, bits // 8]))
        return pixels[..., 2::-1]

    return tf.ensure_shape(tf.cond(bits <= 8, with_palette, with_colours), [None, None, 3])


def is_plain_bitmap(contents: tf.Tensor) -> tf.Tensor:
    """Whether `decode_bitmap` reads this kind of BMP file, by its header."""
    return _header(contents)[-1]


def _header(contents: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Place of the pixels, length of the header, rows, bits, compression; whether bits and compression are known."""
    begin, header, rows, old_bits, bits, compression, *masks = numbers(
        head_of(contents), (10, 4), (14, 4), (22, 4), (24, 2), (28, 2), (30, 4), (54, 4), (58, 4), (62, 4)
    )
    bits = tf.where(header == OLD_HEADER, old_bits, bits)
    compression = tf.where(header == OLD_HEADER, tf.zeros_like(compression), compression)
    usual = tf.reduce_all(tf.stack(masks) == USUAL_MASKS)
    known = (compression == PLAIN) | ((compression == BIT_FIELDS) & (bits == 32) & usual)
    return begin, header, rows, bits, compression, known & tf.reduce_any(bits == tf.constant(BITS, tf.int64))


def _unpacked(lines: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Numbers of so many bits each out of bytes, the highest bits first, uint8 [height, bytes, 8 // bits]."""
    places = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
    mask = tf.cast(2**bits - 1, tf.uint8)
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(lines[..., None], places), mask)


def _palette(contents: tf.Tensor, start: tf.Tensor, end: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Colours by number, uint8 [256, 3], black beyond the last one."""
    entry = tf.where(old, tf.constant(3, tf.int64), tf.constant(4, tf.int64))
    count = tf.clip_by_value((end - start) // entry, 0, COLOURS)
    table = tf.io.decode_raw(tf.strings.substr(contents, start, count * entry), tf.uint8)
    table = tf.reshape(table, tf.stack([count, entry]))
    return tf.pad(table[:, 2::-1], [[0, COLOURS - count], [0, 0]])
