"""Scenes with several handwritten digits, composed of scikit-learn's: images with boxes, no download."""

from __future__ import annotations

import functools

import numpy as np

from tfdistill.data.dataset import Loaded, Split
from tfdistill.data.sets.digits import load_digits

SIZE = 96
# How many digits are tried for a scene, and their heights in pixels.
MOST, SMALLEST, LARGEST = 5, 18, 44
# What boxes may share at most, as a part of the smaller one; places tried for a digit before it is left out.
LARGEST_SHARE, TRIES = 0.1, 20
# Of 255: what of a digit belongs to its box, and how bright the background is at most.
INK, BACKGROUND = 64, 40


def load_digit_scenes(train: int = 2_000, test: int = 400, seed: int = 0) -> Loaded:
    """Composes scenes of 96 × 96 grey pixels from the digits that come with scikit-learn.

    A scene has one to five digits of 18 to 44 pixels' height, of several brightnesses, on a background of noise. Boxes
    enclose the ink, and overlap by a tenth of the smaller one at most. The scene at a place is a function of the seed
    and of the place alone, so that a longer part begins with the scenes of a shorter one. Scenes of the test are made
    of digits that no scene of the training has, see `load_digits`.

    Args:
        train: how many scenes to train on, 1 or more.
        test: how many to test on, 1 or more.
        seed: 0 or more.

    Returns:
        two splits, whose labels are float32 [scenes, 5, 6] as of `Split`, and the class names "0".."9".

    Raises:
        ValueError: an argument is out of range.
        DataUnavailable: if scikit-learn is not installed.
    """
    if min(train, test) < 1 or seed < 0:
        raise ValueError(f"train and test must be 1 or more and seed 0 or more, got {train}, {test} and {seed}")
    *parts, names = load_digits()
    splits = []
    for number, (digits, count) in enumerate(zip(parts, (train, test), strict=True)):
        made = [_scene(digits, (seed, number, place)) for place in range(count)]
        splits.append(Split.in_memory(np.stack([one for one, _ in made]), np.stack([one for _, one in made])))
    return Loaded(splits[0], splits[1], names)


def _scene(digits: Split, entropy: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [96, 96, 1] and labels float32 [5, 6] of one scene."""
    # The words themselves, which no release of NumPy changes, unlike the numbers that its generators make of them.
    source = np.random.PCG64(np.random.SeedSequence(entropy))
    share = (source.random_raw(1 + MOST * (3 + 2 * TRIES)) >> 32) / 2**32
    noise = source.random_raw(SIZE * SIZE // 8).view(np.uint8).reshape(SIZE, SIZE)
    canvas = noise % (BACKGROUND + 1)
    labels = np.zeros([MOST, 6], np.float32)
    labels[:, 4] = -1
    placed: list[np.ndarray] = []
    count = 1 + int(share[0] * MOST)
    for which, side, brightness, *places in share[1:].reshape(MOST, -1)[:count]:
        example = int(which * len(digits))
        height = SMALLEST + int(side * (LARGEST - SMALLEST + 1))
        ink = _enlarged(digits.images[example, ..., 0], height) * (0.5 + 0.5 * brightness)
        box = _box(ink)
        for y, x in np.reshape(places, [TRIES, 2]):
            corner = [int(y * (SIZE - height + 1)), int(x * (SIZE - height + 1))]
            found = box + np.array(corner * 2)
            if all(_shared(found, other) <= LARGEST_SHARE for other in placed):
                region = canvas[corner[0] : corner[0] + height, corner[1] : corner[1] + height]
                np.maximum(region, ink.astype(np.uint8), out=region)
                labels[len(placed)] = [*(found / SIZE), digits.labels[example], 0]
                placed.append(found)
                break
    return canvas[..., None], labels


@functools.cache
def _interpolation(size: int) -> np.ndarray:
    """From 8 pixels to `size`, linearly: [size, 8]."""
    places = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(8)))


def _enlarged(digit: np.ndarray, height: int) -> np.ndarray:
    return _interpolation(height) @ digit.astype(np.float64) @ _interpolation(height).T


def _box(ink: np.ndarray) -> np.ndarray:
    """(top, left, bottom, right) of the ink, in pixels, behind the last one."""
    rows, columns = (np.flatnonzero((ink >= INK).any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], np.float64)


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    """The area that two boxes share, as a part of the smaller one."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    if min(height, width) <= 0:
        return 0.0
    return float(height * width / min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)))
