"""Random access to TFRecord files: where each record lies, and the label in it."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from tfdistill.data.checking import survivors
from tfdistill.data.dataset import RecordFiles
from tfdistill.data.reading import read_records
from tfdistill.data.transforms.decoding import try_decoding
from tfdistill.data.transforms.other_formats import readable
from tfdistill.data.transforms.readings import MAX_PIXELS

# A record is framed by its length (8 bytes) and a checksum of that (4) before, and a checksum of itself (4) after.
HEADER, FOOTER = 12, 4
THREADS = 16


def record_spans(paths: Sequence[str]) -> np.ndarray:
    """Finds the records of TFRecord files by their lengths alone; nothing else is read.

    Args:
        paths: uncompressed files.

    Returns:
        int64 [N, 3]: number of the file, offset and length in bytes of each record, in order.

    Raises:
        ValueError: if a file is not there, or does not end with a whole record.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(_spans_of_file, paths))
    numbers = np.repeat(np.arange(len(found)), [len(spans) for spans in found])
    return np.concatenate([numbers[:, None], np.concatenate([*found, np.empty((0, 2), np.int64)])], axis=1)


def readable_examples(
    records: RecordFiles, spans: np.ndarray, label_key: str, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `spans` of the records whose image can be decoded, ascending, and their labels, int64."""
    features = {
        records.image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], tf.int64),
    }
    with tf.device("CPU:0"):
        places = tf.constant(spans)

    def probe(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(read_records(records, places[position][None])[0], features)
        return position, example[label_key], try_decoding(readable(example[records.image_key], max_pixels), max_pixels)

    positions, labels, _ = survivors(len(spans), probe)
    return positions, labels


def _spans_of_file(path: str) -> np.ndarray:
    spans = []
    try:
        with open(path, "rb", buffering=0) as file:
            size, offset = os.fstat(file.fileno()).st_size, 0
            while offset < size:
                file.seek(offset)
                header = file.read(HEADER)
                length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
                if offset + HEADER + length + FOOTER > size:
                    raise ValueError(f"{path} is damaged: the record at byte {offset} goes beyond the end of the file")
                spans.append((offset + HEADER, length))
                offset += HEADER + length + FOOTER
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return np.array(spans, np.int64).reshape(-1, 2)
