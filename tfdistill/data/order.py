"""Which examples a training batch takes: pure functions of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# With TensorFlow's default of 4 rounds the permutations of successive epochs correlate strongly (r = 0.75 for
# 50,000 examples); from 8 rounds on no correlation is measurable.
SHUFFLE_ROUNDS = 16
# Takes the permutations of a class's examples apart from those of epochs.
WITHIN_CLASSES = 0x9E3779B9


def shuffled(seed: int, batch_size: int, size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Every example once an epoch, in an order of its own; what fills no batch is left out of the epoch.

    Args:
        seed: 0..2^63-1.
        batch_size: 1..size.
        size: how many examples there are.

    Returns:
        from a step, an int64 scalar, to the positions of its examples, int64 [batch_size].
    """
    return lambda step: _shuffled_places(step, seed, batch_size, size, size // batch_size)[1]


def balanced(seed: int, batch_size: int, labels: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Every class as often as any other, its examples in turn: each once before one of them comes again.

    An epoch has as many batches as with `shuffled`. Over all epochs the number of draws of two classes differs by at
    most one, and that of two examples of a class too; classes without examples are passed over.

    Args:
        seed: 0..2^63-1.
        batch_size: 1..N.
        labels: class of each example, integers [N].

    Returns:
        from a step, an int64 scalar, to the positions of its examples, int64 [batch_size].
    """
    classes, counts = np.unique(labels, return_counts=True)
    by_class = np.argsort(labels, kind="stable")
    steps_per_epoch = len(labels) // batch_size
    # Eager tensors in main memory, which the map function refers to: as constants they would swell its graph.
    with tf.init_scope(), tf.device("CPU:0"):
        order, sizes = tf.constant(by_class, tf.int64), tf.constant(counts, tf.int64)
        starts = tf.constant(np.cumsum(counts) - counts, tf.int64)

    def positions(step: tf.Tensor) -> tf.Tensor:
        epoch, places = _shuffled_places(step, seed, batch_size, steps_per_epoch * batch_size, steps_per_epoch)
        # The draws of all epochs in one row are dealt out to the classes in turn.
        draws = epoch * (steps_per_epoch * batch_size) + places
        which, turn = draws % len(classes), draws // len(classes)
        size = tf.gather(sizes, which)
        within = _shuffle(
            turn % size,
            tf.stack([*_words(seed ^ WITHIN_CLASSES, batch_size), turn // size * len(classes) + which], axis=1),
            size - 1,
        )
        return tf.gather(order, tf.gather(starts, which) + within)

    return positions


def _shuffled_places(
    step: tf.Tensor, seed: int, batch_size: int, size: int, steps_per_epoch: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The step's epoch, and its part of the epoch's permutation of 0..size-1, int64 [batch_size]."""
    epoch = step // steps_per_epoch
    places = (step % steps_per_epoch) * batch_size + tf.range(batch_size, dtype=tf.int64)
    return epoch, _shuffle(places, tf.stack([seed & 0xFFFFFFFF, seed >> 32, epoch]), tf.constant(size - 1, tf.int64))


def _shuffle(places: tf.Tensor, seed: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.RandomIndexShuffle(
        index=places, seed=tf.cast(seed, tf.uint32), max_index=last, rounds=SHUFFLE_ROUNDS
    )


def _words(seed: int, count: int) -> list[tf.Tensor]:
    """Both halves of a seed, so many times each."""
    return [tf.fill([count], tf.constant(word, tf.int64)) for word in (seed & 0xFFFFFFFF, seed >> 32)]
