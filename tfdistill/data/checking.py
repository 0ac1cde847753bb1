"""Which images can be decoded, found out before a training and not in the middle of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill.data.dataset import Split
from tfdistill.data.decoding import decode, try_decoding
from tfdistill.data.reading import encoded_images


def without_unreadable(split: Split, title: str) -> Split:
    """A split on disk without the images that cannot be read, which one warning counts.

    Every image is decoded once, on all cores; JPEG at an eighth of its size, which looks at every byte and takes a
    fraction of the time. So each that passes here can be decoded in training too.

    Args:
        split: a whole split; what remains of it is numbered anew.
        title: what the warning calls it.
    """
    unreadable = unreadable_positions(split)
    if not len(unreadable):
        return split
    left = split.take(np.setdiff1d(np.arange(len(split)), unreadable))
    warn_of(title, len(unreadable), len(split), f"{split.place(unreadable[0])} ({reason(split, unreadable[0])})")
    return dataclasses.replace(left, index=np.arange(len(left)))


def warn_of(title: str, unreadable: int, images: int, first: str) -> None:
    """The warning that images are left out."""
    which = "the first is" if unreadable > 1 else "it is"
    logging.warning(
        "%s: %d of %d images cannot be read and are left out; %s %s", title, unreadable, images, which, first
    )


def unreadable_positions(split: Split) -> np.ndarray:
    """Positions of the images that cannot be read or decoded, ascending; none for images in memory."""
    if not split.on_disk:
        return np.empty(0, np.int64)
    assert split.reading is not None
    fetch, limit = encoded_images(split), split.reading.max_pixels

    def probe(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return position, try_decoding(fetch(position[None])[0], limit)

    read, _ = survivors(len(split), probe)
    return np.setdiff1d(np.arange(len(split)), read)


def survivors(count: int, probe: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]) -> tuple[np.ndarray, ...]:
    """Runs `probe` on 0..count-1 in parallel; returns its results, stacked, for those where it did not fail.

    The first result has to be the argument, since the order is that of completion.
    """
    probed = tf.data.Dataset.range(count).map(probe, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    blocks = list(probed.ignore_errors().batch(1024).as_numpy_iterator())
    if not blocks:
        return tuple(np.empty((0, *spec.shape), spec.dtype.as_numpy_dtype) for spec in probed.element_spec)
    columns = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    order = np.argsort(columns[0])
    return tuple(column[order] for column in columns)


def reason(split: Split, position: int) -> str:
    """Why an image cannot be decoded, in a few words."""
    assert split.reading is not None
    try:
        decode(encoded_images(split)(tf.constant([position], tf.int64))[0], max_pixels=split.reading.max_pixels)
    except UnicodeDecodeError:
        # TensorFlow's message quotes the bytes of a damaged record.
        return "damaged"
    except tf.errors.OpError as error:
        words = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error.message).splitlines()[0])
        return " ".join(words.split())[:200]
    return "damaged"


def describe_unreadable(splits: Sequence[Split]) -> str:
    """One line that names an image which a training could not read, or nothing if all can be read.

    Between the check and the reading a file may have been removed or overwritten.
    """
    for split in splits:
        unreadable = unreadable_positions(split)
        if len(unreadable):
            first = unreadable[0]
            more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            return f"image {split.place(first)} can no longer be read{more}: {reason(split, first)}"
    return ""
