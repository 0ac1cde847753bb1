"""Subsets are balanced and nested, validation splits are stratified, and a seed fixes both."""

import itertools

import numpy as np
import pytest

from tfdistill.data import Split, hold_out, take_subset
from tfdistill.data.selection import parted_by


def split_of(*counts: int) -> Split:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels)) % 256
    return Split.in_memory(images, labels)


def assert_is_part_of(part: Split, whole: Split) -> None:
    np.testing.assert_array_equal(part.labels, whole.labels[part.index])
    np.testing.assert_array_equal(part.images, whole.images[part.index])


@pytest.mark.parametrize("examples", [1, 5, 10, 37, 60])
def test_subset_is_balanced(examples):
    split = split_of(20, 20, 20, 20, 20)
    subset = take_subset(split, examples, seed=1)
    counts = np.bincount(subset.labels, minlength=5)
    assert counts.sum() == examples
    assert counts.max() - counts.min() <= 1
    assert len(set(subset.index)) == examples
    assert_is_part_of(subset, split)


def test_a_small_class_gives_all_it_has():
    counts = np.bincount(take_subset(split_of(3, 20, 20), 23, seed=0).labels)
    assert counts.tolist() == [3, 10, 10]


def test_smaller_subsets_are_contained_in_larger_ones():
    split = split_of(30, 10, 20)
    chosen = [set(take_subset(split, examples, seed=3).index) for examples in range(1, 61)]
    assert all(small < large for small, large in itertools.pairwise(chosen))


def test_hold_out_is_stratified_and_loses_nothing():
    split = split_of(100, 50, 10)
    train, validation = hold_out(split, 0.2, seed=4)
    assert np.bincount(validation.labels).tolist() == [20, 10, 2]
    assert sorted([*train.index, *validation.index]) == list(range(160))
    assert_is_part_of(train, split)
    assert_is_part_of(validation, split)


def test_hold_out_of_a_share_that_divides_no_class():
    train, validation = hold_out(split_of(7, 7, 7), 0.25, seed=0)
    assert (len(train), len(validation)) == (16, 5)
    assert np.ptp(np.bincount(validation.labels)) <= 1


def objects_of(*classes: tuple[int, ...]) -> Split:
    """Images with objects of these classes, in rows among which is padding."""
    labels = np.zeros([len(classes), 4, 6], np.float32)
    labels[..., 4] = -1
    for rows, own in zip(labels, classes, strict=True):
        rows[1 : 1 + len(own), 4] = own
    return Split.in_memory(np.zeros((len(classes), 2, 2, 1), np.uint8), labels)


def test_an_image_with_objects_counts_for_the_rarest_of_their_classes():
    assert parted_by(objects_of((0, 1), (1, 1), (0,), (), (1, 2, 0), (0,)).labels).tolist() == [1, 1, 0, -1, 2, 0]
    assert parted_by(objects_of((), ()).labels).tolist() == [-1, -1]


def test_parts_and_subsets_of_images_with_objects_have_the_mix_of_the_whole():
    split = objects_of(*([(0,)] * 60 + [(0, 1, 0)] * 30 + [(1, 2, 0)] * 10 + [()] * 20))
    train, validation = hold_out(split, 0.2, seed=4)
    chosen = [take_subset(split, examples, seed=3) for examples in (12, 24, 120)]
    for part, share in ((validation, 0.2), (train, 0.8), (chosen[0], 0.1), (chosen[1], 0.2)):
        found = [int((parted_by(part.labels) == one).sum()) for one in (-1, 0, 1, 2)]
        np.testing.assert_allclose(found, np.array([20, 60, 30, 10]) * share, atol=1)
        assert_is_part_of(part, split)
    assert set(chosen[0].index) < set(chosen[1].index) and len(set(chosen[2].index)) == 120


def test_hold_out_then_subset_keeps_the_original_index():
    split = split_of(40, 40)
    train, _ = hold_out(split, 0.5, seed=0)
    subset = take_subset(train, 10, seed=0)
    assert set(subset.index) < set(train.index)
    assert_is_part_of(subset, split)


@pytest.mark.parametrize(
    "choose", [lambda s, seed: take_subset(s, 20, seed), lambda s, seed: hold_out(s, 0.3, seed)[1]]
)
def test_seed_decides(choose):
    split = split_of(50, 50)
    first, again, other = (choose(split, seed).index.tolist() for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_choice_does_not_change_with_versions():
    assert take_subset(split_of(50, 50), 6, seed=1).index.tolist() == [3, 5, 24, 66, 78, 90]


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda s: take_subset(s, 21, 0), r"examples must be in 1\.\.20, the size of the split, got 21"),
        (lambda s: take_subset(s, 0, 0), "examples must be in"),
        (lambda s: take_subset(s, 5, -1), "seed must be 0 or more, got -1"),
        (lambda s: hold_out(s, 0.0, 0), "share must be above 0 and below 1"),
        (lambda s: hold_out(s, 1.0, 0), "share must be above 0 and below 1"),
        (lambda s: hold_out(s, 0.001, 0), "leave examples in both parts, got 0.001"),
    ],
)
def test_arguments_out_of_range_are_named_in_one_line(choose, message):
    with pytest.raises(ValueError, match=message) as caught:
        choose(split_of(10, 10))
    assert "\n" not in str(caught.value)
