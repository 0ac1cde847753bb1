"""Smoothing is Eq. 1 of its paper; noise is fixed by the seed, of the exact amount, always wrong and uniform."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.data import Split, corrupt_labels, smooth_labels, take_subset


def split_of(examples: int, classes: int) -> Split:
    return Split.in_memory(np.zeros((examples, 1, 1, 1), np.uint8), np.arange(examples) % classes)


def corrupted(split: Split, share: float, classes: int, seed: int = 3, examples: int | None = None) -> Split:
    return corrupt_labels(split, share, classes=classes, examples=examples or len(split), seed=seed)


def test_smoothing_is_equation_1():
    smoothed = smooth_labels(tf.constant([2, 0]), 3, 0.1)
    assert smoothed.dtype == tf.float32
    np.testing.assert_allclose(smoothed, [[0.05, 0.05, 0.9], [0.9, 0.05, 0.05]], atol=1e-7)


def test_cross_entropy_of_smoothed_labels_is_the_value_worked_by_hand():
    logits = tf.constant([[1.0, 2.0, 3.0]])
    loss = losses.cross_entropy(smooth_labels(tf.constant([2]), 3, 0.1), logits)
    # log(e + e^2 + e^3) - (0.05 * 1 + 0.05 * 2 + 0.9 * 3)
    assert float(loss[0]) == pytest.approx(0.5576059645, abs=1e-6)


def test_without_smoothing_labels_are_one_hot_and_their_cross_entropy_that_of_the_class():
    labels, logits = tf.constant([2, 1]), tf.constant([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]])
    soft = smooth_labels(labels, 3, 0.0)
    np.testing.assert_array_equal(soft, np.eye(3)[[2, 1]])
    np.testing.assert_allclose(losses.cross_entropy(soft, logits), losses.cross_entropy(labels, logits), rtol=1e-6)


@pytest.mark.parametrize(
    ("smoothing", "classes", "name"), [(1.0, 3, "smoothing"), (-0.1, 3, "smoothing"), (0.1, 1, "cl")]
)
def test_smoothing_out_of_range_is_named(smoothing, classes, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        smooth_labels(tf.constant([0]), classes, smoothing)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (7, [0, 1, 2, 2, 4, 0, 1, 2, 3, 1, 0, 2, 1, 0, 4, 2, 3, 4, 3, 4]),
        (2**40 + 7, [0, 1, 2, 0, 2, 0, 0, 2, 3, 0, 0, 1, 0, 3, 4, 1, 0, 2, 1, 4]),
    ],
)
def test_the_noise_of_a_seed_never_changes(seed, expected):
    # Labels 0 1 2 3 4 0 1 ...: a change here gives every run that is repeated another noise.
    assert corrupted(split_of(20, 5), 0.4, 5, seed).labels.tolist() == expected


@pytest.mark.parametrize(("examples", "share"), [(1000, 0.2), (1000, 0.8), (999, 0.5), (7, 0.1), (50, 0.0), (50, 1.0)])
def test_the_share_is_exact_to_rounding(examples, share):
    split = split_of(examples, 10)
    noisy = corrupted(split, share, 10)
    assert (noisy.labels != split.labels).sum() == round(share * examples)
    assert noisy.labels.dtype == split.labels.dtype and noisy.labels.min() >= 0 and noisy.labels.max() < 10
    assert noisy.images is split.images and noisy.index is split.index


def test_wrong_classes_are_uniform():
    split = split_of(20_000, 5)
    noisy = corrupted(split, 1.0, 5)
    # Counts of each (right class, shift to the wrong one).
    cells = split.labels * 5 + (noisy.labels - split.labels) % 5
    counts = np.bincount(cells, minlength=25).reshape(5, 5)
    assert (counts[:, 0] == 0).all()
    # Chi-squared with 15 degrees of freedom exceeds 44.3 with probability 0.0001.
    assert ((counts[:, 1:] - 1000) ** 2 / 1000).sum() < 44.3


def test_two_classes_are_swapped():
    split = split_of(10, 2)
    np.testing.assert_array_equal(corrupted(split, 1.0, 2).labels, 1 - split.labels)


def test_a_part_of_a_split_gets_the_labels_that_it_has_in_the_whole():
    split = split_of(500, 10)
    positions = np.random.default_rng(0).permutation(500)[:123]
    part = corrupted(split.take(positions), 0.4, 10, examples=500)
    np.testing.assert_array_equal(part.labels, corrupted(split, 0.4, 10).labels[positions])


def test_more_noise_keeps_the_wrong_labels_of_less():
    split = split_of(500, 10)
    less, more = (corrupted(split, share, 10).labels for share in (0.2, 0.6))
    changed = less != split.labels
    np.testing.assert_array_equal(less[changed], more[changed])


@pytest.mark.parametrize("seed", range(3))
def test_a_subset_drawn_with_the_same_seed_has_about_the_share(seed):
    # With the same random keys for both, the subset would be just the examples with noise.
    split = split_of(10_000, 10)
    subset = take_subset(split, 2000, seed)
    noisy = corrupted(subset, 0.4, 10, seed, examples=10_000)
    share = (noisy.labels != subset.labels).mean()
    assert abs(share - 0.4) < 5 * math.sqrt(0.4 * 0.6 / 2000)


def test_seeds_differ():
    split = split_of(500, 10)
    assert (corrupted(split, 0.4, 10, seed=3).labels != corrupted(split, 0.4, 10, seed=4).labels).mean() > 0.3


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"share": 1.1}, "share"),
        ({"share": -0.1}, "share"),
        ({"classes": 1}, "classes"),
        ({"examples": 49}, "examples"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_noise_out_of_range_is_named_in_one_line(changes, name):
    with pytest.raises(ValueError, match=f"^{name}") as caught:
        corrupt_labels(split_of(50, 5), **{"share": 0.4, "classes": 5, "examples": 50, "seed": 1, **changes})
    assert "\n" not in str(caught.value)
