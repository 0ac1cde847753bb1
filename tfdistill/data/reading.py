"""From positions in a split to a batch of uint8 images, out of memory, image files or record files."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdistill.data.dataset import RecordFiles, Split
from tfdistill.data.rows import DrawnFor
from tfdistill.data.transforms.crops import crop_draws
from tfdistill.data.transforms.decoding import evaluated, random_crop, random_part
from tfdistill.data.transforms.other_formats import readable

Batch = dict[str, tf.Tensor]

# Splits up to this size are decoded once. TensorFlow takes a copy of the array, so the peak is twice as high.
LARGEST_IN_MEMORY = 2 * 10**9
DECODE_BLOCK = 128


def make_reader(split: Split, *, training: bool) -> Callable[..., Batch]:
    """A function from positions to their examples, for the map of a `tf.data.Dataset`.

    Args:
        split: where the examples lie.
        training: whether images are read for training (random crops where `split.reading` says so) or for evaluation.

    Returns:
        `read(positions, seed, rows)`: from positions int64 [B] and a seed, integers [2], to {"images": uint8
        [B, H, W, C], "labels": int32 [B], "index": int64 [B]}. The same arguments give the same images. The seed may be
        left out where nothing is random, `rows` where the positions are those of a whole batch.
    """
    # Eager tensors in main memory, which the map function refers to: as constants they would swell its graph.
    with tf.init_scope(), tf.device("CPU:0"):
        labels, index = tf.constant(split.labels), tf.constant(split.index)
        images = None if split.on_disk else tf.constant(split.images)
    fetch = encoded_images(split) if split.on_disk else None

    def read(positions: tf.Tensor, seed: tf.Tensor | None = None, rows: DrawnFor | None = None) -> Batch:
        if fetch is None:
            pixels = tf.gather(images, positions)
        else:
            pixels = _decoded(split, fetch(positions), training, seed, rows)
        return {"images": pixels, "labels": tf.gather(labels, positions), "index": tf.gather(index, positions)}

    return read


def encoded_images(split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from positions [B] to the encoded images of a split on disk, strings [B].

    They are in formats that the graph decodes: Pillow has converted the others.
    """
    assert split.reading is not None
    records, limit = split.records, split.reading.max_pixels
    # Names of files are bytes, and need not be UTF-8.
    found = split.images if records else [os.fsencode(path) for path in split.images]
    with tf.init_scope(), tf.device("CPU:0"):
        places = tf.constant(found, tf.int64 if records else tf.string)

    def fetch(positions: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(places, positions)
        if records is None:
            return tf.map_fn(lambda path: readable(tf.io.read_file(path), limit), chosen)
        kinds = {records.image_key: tf.io.FixedLenFeature([], tf.string)}
        contents = tf.io.parse_example(read_records(records, chosen), kinds)[records.image_key]
        return tf.map_fn(lambda one: readable(one, limit), contents)

    return fetch


def read_records(records: RecordFiles, spans: tf.Tensor) -> tf.Tensor:
    """The records at these places, int64 [B, 3] as in `Split.images`, as serialized examples, strings [B]."""

    def read(spans: np.ndarray) -> np.ndarray:
        found = np.empty(len(spans), object)
        for position, (number, offset, length) in enumerate(spans):
            # Opened anew each time: a large data set has more files than a process may keep open.
            with open(records.paths[number], "rb", buffering=0) as file:
                file.seek(offset)
                found[position] = file.read(length)
        return found

    # TensorFlow's own readers of such files begin at the first record, so Python reads.
    found = tf.numpy_function(read, [spans], tf.string, stateful=False)
    return tf.ensure_shape(found, spans.shape[:1])


def into_memory(split: Split) -> Split:
    """The same split with its images decoded, if they are squeezed to one size and are small enough together."""
    height, width, channels = split.image_shape
    size = len(split) * height * width * channels
    if split.reading is None or split.reading.style != "resize" or size > LARGEST_IN_MEMORY:
        return split
    read = tf.autograph.experimental.do_not_convert(make_reader(split, training=False))
    images = np.empty((len(split), *split.image_shape), np.uint8)
    positions = tf.data.Dataset.range(len(split)).batch(DECODE_BLOCK)
    filled = 0
    for batch in positions.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True):
        images[filled : filled + len(batch["labels"])] = batch["images"]
        filled += len(batch["labels"])
    return Split(images, split.labels, split.index, split.image_shape)


def _decoded(
    split: Split, contents: tf.Tensor, training: bool, seed: tf.Tensor | None, rows: DrawnFor | None
) -> tf.Tensor:
    shape, reading = split.image_shape, split.reading
    assert reading is not None  # every split on disk has one
    output = tf.TensorSpec(shape, tf.uint8)
    if not training or reading.style == "resize":
        return tf.map_fn(lambda one: evaluated(one, shape, reading), contents, fn_output_signature=output)
    if seed is None:
        raise ValueError("seed: random crops need one, two integers")
    draws = crop_draws(contents, seed, rows)
    read = random_crop if reading.style == "crop" else random_part
    return tf.map_fn(lambda one: read(one[0], one[1], shape, reading), (contents, draws), fn_output_signature=output)
