"""What the first bytes of an encoded image say, read in the graph before anything is decoded: format and size.

Graphs of many small operations take seconds to build and to optimise, so numbers are read many at a time.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

UNKNOWN, JPEG, PNG, GIF, BMP, WEBP = range(6)
# Signatures of the formats in that order; None stands for any byte.
_SIGNATURES: tuple[tuple[int | None, ...], ...] = (
    (0xFF, 0xD8, 0xFF),
    tuple(b"\x89PNG\r\n\x1a\n"),
    tuple(b"GIF8"),
    tuple(b"BM"),
    (*b"RIFF", None, None, None, None, *b"WEBP"),
)
# Bytes of a header that are looked at; what is shorter is filled up with zeros.
HEAD = 72


def head_of(contents: tf.Tensor, start: tf.Tensor | int = 0, length: int = HEAD) -> tf.Tensor:
    """Bytes of a string as int64 [length], zeros where it has ended.

    Args:
        contents: a scalar string.
        start: the first byte, 0 or more.
        length: how many.
    """
    start = tf.cast(tf.minimum(tf.cast(start, tf.int64), tf.cast(tf.strings.length(contents), tf.int64)), tf.int32)
    part = tf.strings.substr(contents, start, length)
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=length), tf.int64)


def numbers(head: tf.Tensor, *fields: tuple[int, int]) -> list[tf.Tensor]:
    """Unsigned numbers out of bytes.

    Args:
        head: int64 [..., bytes].
        fields: place of the first byte and how many bytes there are; a length below 0 says that the greatest comes
            first, as in "big-endian".

    Returns:
        int64 [...] for each field.
    """
    weights = np.zeros((len(fields), head.shape[-1]), np.int64)
    for row, (start, length) in zip(weights, fields, strict=True):
        powers = [256**power for power in range(abs(length))]
        row[start : start + abs(length)] = powers if length > 0 else powers[::-1]
    return tf.unstack(tf.reduce_sum(head[..., None, :] * weights, axis=-1), axis=-1)


def signed(number: tf.Tensor) -> tf.Tensor:
    """An unsigned number of 32 bits, taken as a signed one."""
    return (number + 2**31) % 2**32 - 2**31


def require(holds: tf.Tensor, text: str, *values: tf.Tensor) -> tf.Tensor:
    """A tensor to wait for, which raises `tf.errors.InvalidArgumentError` unless a condition holds.

    Args:
        holds: a scalar bool.
        text: what is wrong, with {} for each value.
        values: scalars; the text of them is made only if it is needed.
    """

    def raised() -> tf.Tensor:
        shown = tf.strings.format(text, values) if values else tf.constant(text)
        with tf.control_dependencies([tf.raw_ops.Assert(condition=False, data=[shown])]):
            return tf.constant(False)

    return tf.cond(holds, lambda: tf.constant(True), raised)


def format_of(contents: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, GIF, BMP, WEBP or UNKNOWN, an int32 scalar, by the first bytes of an encoded image."""
    longest = max(len(signature) for signature in _SIGNATURES)
    padded = [(*signature, *[None] * (longest - len(signature))) for signature in _SIGNATURES]
    wanted = np.array([[byte or 0 for byte in one] for one in padded], np.int64)
    matters = np.array([[byte is not None for byte in one] for one in padded], np.int64)
    matches = tf.reduce_all(head_of(contents, length=longest) * matters == wanted, axis=1)
    return tf.reduce_sum(tf.cast(matches, tf.int32) * np.arange(1, 1 + len(padded), dtype=np.int32))


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether `format_of` says JPEG, found out with fewer operations."""
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


def is_moving_webp(contents: tf.Tensor) -> tf.Tensor:
    """Whether a WebP file has several pictures, by its header."""
    head = head_of(contents, length=21)
    return (head[15] == ord("X")) & (head[20] // 2 % 2 == 1)


def image_size_of_header(contents: tf.Tensor, kind: tf.Tensor | None = None) -> tf.Tensor:
    """Height and width in pixels that an encoded image claims, without decoding it; pure TensorFlow.

    Args:
        contents: the bytes of an image, a scalar string.
        kind: its format, if that is known already.

    Returns:
        int64 [2], as the pixels are stored, before any orientation is applied; (0, 0) where the format is none of
        JPEG, PNG, GIF, BMP and WebP. A moving GIF counts with one frame.

    Raises:
        tf.errors.OpError: when run on a JPEG whose header is damaged.
    """
    kind = format_of(contents) if kind is None else kind
    return tf.cond(
        kind == JPEG,
        lambda: tf.cast(tf.image.extract_jpeg_shape(contents)[:2], tf.int64),
        lambda: _size_in(head_of(contents), kind),
    )


def _size_in(head: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    png, gif, old_bmp = ((20, -4), (16, -4)), ((8, 2), (6, 2)), ((20, 2), (18, 2))
    bmp, lossy_webp, large_webp = ((22, 4), (18, 4)), ((28, 2), (26, 2)), ((27, 3), (24, 3))
    fields = numbers(head, *png, *gif, *old_bmp, *bmp, *lossy_webp, *large_webp, (14, 4), (21, 4))
    # A bitmap's height below 0 says that its rows begin at the top.
    height, width = tf.abs(signed(fields[6])), tf.maximum(signed(fields[7]), 0)
    lossless = fields[13] // 2**14 % 2**14 + 1, fields[13] % 2**14 + 1
    sizes = tf.stack(
        [
            *(0, 0, 0, 0, *fields[:4], height, width, fields[8] % 2**14, fields[9] % 2**14),
            *(*fields[4:6], fields[10] + 1, fields[11] + 1, *lossless),
        ]
    )
    # Rows after those of the formats: the oldest bitmaps; WebP of large and of lossless files.
    row = tf.where((kind == BMP) & (fields[12] == 12), WEBP + 1, kind)
    row = tf.where((kind == WEBP) & (head[15] == ord("X")), WEBP + 2, row)
    row = tf.where((kind == WEBP) & (head[15] == ord("L")), WEBP + 3, row)
    return tf.reshape(sizes, [-1, 2])[row]
