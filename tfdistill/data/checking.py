"""Which images can be decoded, found out before a training and not in the middle of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill.data.dataset import Split
from tfdistill.data.reading import encoded_images
from tfdistill.data.transforms.decoding import decode, try_decoding

# So many of what is left out are named in a warning.
NAMED = 5


def without_unreadable(split: Split, title: str, passed_over: Sequence[str] = ()) -> Split:
    """A split on disk without the images that cannot be read; one warning counts them, and what was passed over.

    Every image is decoded once, on all cores; JPEG at an eighth of its size, which looks at every byte and takes a
    fraction of the time. So each that passes here can be decoded in training too.

    Args:
        split: a whole split; what remains of it is numbered anew.
        title: what the warning calls it.
        passed_over: names of files that were found beside the images, and are none.
    """
    unreadable = unreadable_positions(split)
    texts = [unreadable_text(split, unreadable)] if len(unreadable) else []
    if passed_over:
        one = len(passed_over) == 1
        texts.append(f"{len(passed_over)} {'file is no image' if one else 'files are no images'}: {some(passed_over)}")
    if texts:
        logging.warning("%s: %s", title, "; ".join(texts))
    if not len(unreadable):
        return split
    left = split.take(np.setdiff1d(np.arange(len(split)), unreadable))
    return dataclasses.replace(left, index=np.arange(len(left)))


def unreadable_text(split: Split, positions: np.ndarray) -> str:
    """How many images of a split are left out and why, with some names: the middle of a warning."""
    first = positions[0]
    which = "the first is" if len(positions) > 1 else "it is"
    more = [split.place(one) for one in positions[1:NAMED]]
    then = f", then {some(more, len(positions) - 1)}" if more else ""
    return (
        f"{len(positions)} of {len(split)} images cannot be read and are left out; "
        f"{which} {split.place(first)} ({reason(split, first)}){then}"
    )


def some(names: Sequence[str], count: int | None = None) -> str:
    """Some names of so many."""
    shown, count = names[:NAMED], len(names) if count is None else count
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


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
    probe = tf.autograph.experimental.do_not_convert(probe)
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
    limit = split.reading.max_pixels
    try:
        # As a graph, whose messages begin with what failed.
        tf.function(lambda one: tf.shape(decode(encoded_images(split)(one)[0], max_pixels=limit)), autograph=False)(
            tf.constant([position], tf.int64)
        )
    except UnicodeDecodeError:
        # TensorFlow's message quotes the bytes of a damaged record.
        return "damaged"
    except tf.errors.OpError as error:
        return _in_a_few_words(str(error.message))
    return "damaged"


def _in_a_few_words(message: str) -> str:
    """What is wrong, out of a message of TensorFlow with places in the code before and names of nodes behind."""
    if said := re.search(r"assertion failed: \[(.*?)\]\n", message) or re.search(r"ValueError: (.*)", message):
        return said.group(1)[:200]
    text = re.split(r"\n\t ?\[\[|\[Op:", message)[0].strip().splitlines()
    words = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", text[-1] if text else "damaged")
    return " ".join(words.split())[:200]


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
