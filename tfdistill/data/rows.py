"""Which rows of a batch are made: all of them, or the part that one of several workers takes.

Random draws are made for the whole batch and the rows' own are kept, so that an image goes through the same whoever
makes it. Draws cost next to nothing; reading, decoding and augmenting images does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Rows:
    """Some rows of a batch.

    Args:
        indices: their places in the batch.
        batch_size: rows of the whole batch.
    """

    indices: tuple[int, ...]
    batch_size: int

    def of(self, whole: tf.Tensor) -> tf.Tensor:
        """These rows of what has as many rows as the batch."""
        return tf.gather(whole, np.array(self.indices, np.int64))

    def integers(self, seed: tf.Tensor, shape: Sequence[int], bound: int) -> tf.Tensor:
        """See `integers`."""
        return self.of(_uniform(seed, [self.batch_size, *shape], bound))


@dataclass(frozen=True)
class Places:
    """Rows for each of which the draws are its own, wherever it comes: a function of the seed and of its place.

    Args:
        positions: in a split, int64 [B], below 2^32.
    """

    positions: tf.Tensor

    def integers(self, seed: tf.Tensor, shape: Sequence[int], bound: int) -> tf.Tensor:
        """See `integers`. A cipher on numbers below 2^48, each place its own, the seed the key."""
        count = math.prod(shape)
        key = tf.reshape(tf.bitcast(tf.cast(seed, tf.int64), tf.uint32), [4])[:3]
        numbers = self.positions[:, None] * count + tf.range(count, dtype=tf.int64)
        last = tf.constant(2**48 - 1, tf.int64)
        drawn = tf.raw_ops.RandomIndexShuffle(index=tf.reshape(numbers, [-1]), seed=key, max_index=last, rounds=16)
        return tf.cast(tf.reshape(drawn % bound, [-1, *shape]), tf.int32)


DrawnFor: TypeAlias = Rows | Places


def integers(
    seed: tf.Tensor, shape: Sequence[int], bound: int, held: tf.Tensor, rows: DrawnFor | None = None
) -> tf.Tensor:
    """Random integers for the rows that `held` holds, int32 [B, *shape], uniform in 0..bound-1.

    Args:
        seed: integers [2].
        shape: of what is drawn for one row.
        bound: 1..2^30.
        held: anything with B rows.
        rows: which rows these are; None for all of a batch.
    """
    return _uniform(seed, [tf.shape(held)[0], *shape], bound) if rows is None else rows.integers(seed, shape, bound)


def _uniform(seed: tf.Tensor, shape: Sequence[Any], bound: int) -> tf.Tensor:
    # Only integers from Philox are the same with and without XLA: the default generators differ, and so do the floats
    # made of the bits of Philox.
    return tf.random.stateless_uniform(shape, seed, maxval=bound, dtype=tf.int32, alg="philox")


def rows_of_part(part: int, parts: int, batch_size: int, *, and_the_next: bool = False) -> Rows | None:
    """The rows of one of several equal, contiguous parts of a batch; None where one part is all of it.

    Args:
        part: 0..parts-1.
        parts: how many, a divisor of `batch_size`.
        batch_size: rows of the whole batch.
        and_the_next: whether the row after the part comes along, after the last row the first.

    Raises:
        ValueError: if an argument is out of range.
    """
    if parts < 1 or not 0 <= part < parts:
        raise ValueError(f"part must be in 0..parts-1 and parts 1 or more, got {part} and {parts}")
    if batch_size % parts:
        raise ValueError(f"batch_size must divide into {parts} equal parts, got {batch_size}")
    if parts == 1:
        return None
    size = batch_size // parts
    return Rows(tuple((part * size + row) % batch_size for row in range(size + and_the_next)), batch_size)


def drawn(draw: Callable[[Any], tf.Tensor], held: tf.Tensor, rows: Rows | None) -> tf.Tensor:
    """Random draws for the rows that `held` holds, `draw(count)` being those of a batch of `count` rows."""
    return draw(tf.shape(held)[0]) if rows is None else rows.of(draw(rows.batch_size))
