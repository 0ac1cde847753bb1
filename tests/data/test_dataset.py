"""The containers check what they are given."""

import numpy as np
import pytest

from tfdistill.data import Split


def images_of(examples: int) -> np.ndarray:
    return np.zeros((examples, 4, 5, 3), np.uint8)


def test_a_split_in_memory():
    split = Split.in_memory(images_of(3), [2, 0, 1])
    assert (len(split), split.image_shape, split.on_disk) == (3, (4, 5, 3), False)
    assert (split.labels.dtype, split.index.dtype) == (np.int32, np.int64)


def test_a_split_of_files():
    split = Split.of_files(["a.png", "b.png"], [0, 1], (8, 8, 3))
    assert (len(split), split.image_shape, split.on_disk) == (2, (8, 8, 3), True)
    assert split.take(np.array([1])).images.tolist() == ["b.png"]


def test_index_keeps_pointing_into_the_original_split():
    split = Split.in_memory(images_of(10), np.arange(10))
    taken = split.take(np.array([9, 3, 5])).take(np.array([2, 0]))
    assert taken.index.tolist() == [5, 9]
    assert taken.labels.tolist() == [5, 9]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Split.in_memory(images_of(3), [0, 1]), r"labels must be 3 integers, got int64 \[2\]"),
        (lambda: Split.in_memory(images_of(1), [0.5]), "labels must be 1 integers, got float64"),
        (lambda: Split.in_memory(images_of(1).astype(np.float32), [0]), "images must be uint8"),
        (lambda: Split.in_memory(images_of(1)[0], [0] * 4), r"images must be uint8 \[N, H, W, C\]"),
        (lambda: Split.of_files(["a.png"], [0, 1], (8, 8, 3)), "labels must be 1 integers"),
    ],
)
def test_arrays_that_do_not_fit_are_named_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
