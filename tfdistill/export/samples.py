"""Images on which a SavedModel and the live network are compared: random pixels, and files of several kinds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

BATCH = 4
# Which way the camera was held, as EXIF data numbers it: turned by a quarter, and mirrored.
TURNED, MIRRORED = 6, 2


def sample_images(image_shape: Sequence[int], batch: int = BATCH) -> np.ndarray:
    """Fixed random images, float32 [batch, *image_shape], integers in 0..255."""
    return np.random.default_rng(0).integers(0, 256, size=(batch, *image_shape)).astype(np.float32)


def sample_files(image_shape: Sequence[int]) -> list[bytes]:
    """Image files that any reading has to do something with: above, below and of the size, upright and turned.

    Args:
        image_shape: (height, width, channels) that the network takes.
    """
    height, width, channels = image_shape
    draw = np.random.default_rng(1)

    def pixels(rows: int, columns: int, depth: int) -> np.ndarray:
        # Blocks and not noise: where one is squeezed much, all that is noise is the same grey.
        blocks = draw.integers(0, 256, (5, 7, depth), dtype=np.uint8)
        return np.resize(
            np.kron(blocks, np.ones((-(-rows // 5), -(-columns // 7), 1), np.uint8)), (rows, columns, depth)
        )

    with tf.device("CPU:0"):
        exact = tf.io.encode_png(pixels(height, width, channels)).numpy()
        wide = pixels(height + 3, 3 * width + 5, channels)
        files = [exact, tf.io.encode_png(wide).numpy()]
        if channels == 4:
            return files
        small = pixels(max(1, height // 2), max(1, 2 * width // 3), 1)
        tall = tf.io.encode_jpeg(pixels(2 * height + 7, width + 1, 3), quality=95).numpy()
        files += [tall, oriented(tall, TURNED), oriented(tf.io.encode_jpeg(small).numpy(), MIRRORED)]
        return [*files, tf.io.encode_png(small).numpy()]


def oriented(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment that says how its camera was held.

    Source: Exif 2.32 (CIPA DC-008), sections 4.5.4 and 4.6.4 A: a TIFF header (big-endian) and one entry, tag 0x0112.
    """
    entry = bytes([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0])
    exif = b"Exif\0\0" + b"MM\0\x2a" + (8).to_bytes(4, "big") + (1).to_bytes(2, "big") + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
