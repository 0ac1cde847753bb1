"""Which rows of a batch are made: all of them, or the part that one of several workers takes.

Random draws are made for the whole batch and the rows' own are kept, so that an image goes through the same whoever
makes it. Draws cost next to nothing; reading, decoding and augmenting images does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Rows:
    """Some rows of a batch, or of anything else that is drawn for as a whole, such as a split.

    Args:
        indices: their places in the batch; integers, or a tensor of them, int64 [B].
        batch_size: rows of the whole batch.
    """

    indices: tuple[int, ...] | tf.Tensor
    batch_size: int

    def of(self, whole: tf.Tensor) -> tf.Tensor:
        """These rows of what has as many rows as the batch."""
        given = self.indices
        return tf.gather(whole, np.array(given, np.int64) if isinstance(given, tuple) else given)


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
