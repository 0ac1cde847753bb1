"""The first frame of a moving GIF, cut out of the file in the graph, so that the others are not decoded."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.data.transforms.apart import STRING, apart
from tfdistill.data.transforms.headers import head_of, numbers

BLOCKS, EXTENSION, PIXELS, END, LOST = range(5)
# Steps of the walk; one step crosses any number of blocks of equal length.
LONGEST_WALK = 20_000
# Blocks of equal length that are crossed at once, at most.
STRIDE = 4096


@apart(STRING)
def first_frame(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A GIF file of one frame, made of another's first.

    TensorFlow's decoder unpacks all frames before it hands out the first: a small file could take all memory.

    Args:
        contents: the bytes of a GIF file, a scalar string.

    Returns:
        The bytes of the shorter file; and height and width of the frame, int64 [2], which should be the file's but
        need not be. Where no whole frame is found: an empty string, which no decoder takes, and (0, 0).

    Source: CompuServe, "Graphics Interchange Format, Version 89a" (1990).
    """
    data = tf.io.decode_raw(contents, tf.uint8)
    size = tf.size(data, tf.int64)
    head = head_of(contents, length=13)
    begin = 13 + _table_length(head[10])

    def goes_on(at: tf.Tensor, state: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
        return (state < END) & (at < size)

    def onwards(at: tf.Tensor, state: tf.Tensor, frame: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return tf.cond(state == BLOCKS, lambda: _open(contents, at, frame), lambda: _cross(data, at, state, frame))

    none = tf.constant(0, tf.int64)
    at, state, frame = tf.while_loop(
        goes_on, onwards, (begin, tf.constant(BLOCKS), none), maximum_iterations=LONGEST_WALK, parallel_iterations=1
    )
    shorter = tf.strings.join([tf.strings.substr(contents, none, tf.minimum(at, size)), tf.constant(b";")])
    found = state == END
    descriptor = head_of(contents, frame, 10)
    extent = tf.stack(numbers(descriptor, (7, 2), (5, 2)))
    return tf.where(found, shorter, b""), tf.where(found, extent, tf.zeros_like(extent))


def _table_length(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of the colour table that the flags before it announce."""
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), tf.zeros_like(flags))


def _open(contents: tf.Tensor, at: tf.Tensor, frame: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Goes to the first block of data of an extension or an image."""
    head = head_of(contents, at, 10)
    image, extension = head[0] == 0x2C, head[0] == 0x21
    state = tf.where(image, PIXELS, tf.where(extension, EXTENSION, LOST))
    # Of an image: its descriptor, its colour table, and one byte on how the pixels are coded.
    step = tf.where(image, 10 + _table_length(head[9]) + 1, tf.constant(2, tf.int64))
    return at + step, state, tf.where(image, at, frame)


def _cross(
    data: tf.Tensor, at: tf.Tensor, state: tf.Tensor, frame: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Crosses blocks of data as long as they have the length of the first; a block of length 0 is the last."""
    length = tf.cast(data[at], tf.int64)
    lengths = tf.cast(data[at : at + (length + 1) * STRIDE : length + 1], tf.int64)
    equal = tf.reduce_sum(tf.math.cumprod(tf.cast(lengths == length, tf.int64)))
    step = tf.where(length == 0, tf.ones_like(length), equal * (length + 1))
    ended = tf.where(state == PIXELS, END, BLOCKS)
    return at + step, tf.where(length == 0, ended, state), frame
