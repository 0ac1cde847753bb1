"""Scikit-learn's digits that trainings leave out, for exports that are asked about no files."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Digits of a scene, in rows and columns, and the share of a cell that one fills.
CELLS, FILLED = 2, 0.7


def held_out(count: int) -> tuple[np.ndarray, list[int]]:
    """Test examples of each class in turn, float32 [count, 8, 8] with values in 0..255, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    places = np.argsort(digits.target, kind="stable")[::5]
    per_class = [places[digits.target[places] == label] for label in range(10)]
    chosen = [examples[turn] for turn in range(min(map(len, per_class))) for examples in per_class]
    chosen = [chosen[number % len(chosen)] for number in range(count)]
    images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.float32)
    return images, [int(digits.target[index]) for index in chosen]


def test_digits(count: int, shape: list[int]) -> tuple[np.ndarray, list[list[int]]]:
    """One digit an image.

    Args:
        count: how many images.
        shape: [height, width, channels] that the network takes.

    Returns:
        float32 [count, *shape] with values in 0..255, and the classes that are in each.
    """
    grey, labels = held_out(count)
    images = np.repeat(grey[..., None], shape[2], axis=-1)
    if images.shape[1:3] != tuple(shape[:2]):
        images = tf.image.resize(images, shape[:2], antialias=True).numpy()
    return images, [[label] for label in labels]


def test_scenes(count: int, shape: list[int]) -> tuple[np.ndarray, list[list[int]]]:
    """Four digits an image, each in the middle of a quarter, on black; arguments and result as of `test_digits`."""
    digits, labels = held_out(count * CELLS**2)
    cell = [side // CELLS for side in shape[:2]]
    side = max(1, round(FILLED * min(cell)))
    large = tf.image.resize(digits[..., None], (side, side)).numpy()
    scenes = np.zeros((count, *shape), np.float32)
    for number, digit in enumerate(large):
        scene, place = divmod(number, CELLS**2)
        row, column = divmod(place, CELLS)
        top, left = row * cell[0] + (cell[0] - side) // 2, column * cell[1] + (cell[1] - side) // 2
        scenes[scene, top : top + side, left : left + side] = digit
    return scenes, np.reshape(labels, [count, -1]).tolist()
