"""Scenes of digits: boxes around ink, overlaps that are small, and no digit in both parts."""

import numpy as np
import pytest

from tfdistill.data.sets import digit_scenes


@pytest.fixture(scope="module")
def loaded():
    return digit_scenes.load_digit_scenes(train=60, test=30, seed=1)


def test_boxes_enclose_the_ink_of_digits(loaded):
    for split, scenes in ((loaded.train, 60), (loaded.test, 30)):
        assert split.images.shape == (scenes, 96, 96, 1) and split.labels.shape == (scenes, 5, 6)
        assert split.image_shape == (96, 96, 1) and split.labels.dtype == np.float32
        counts = (split.labels[..., 4] >= 0).sum(axis=1)
        assert counts.min() == 1 and counts.max() >= 4
        for image, rows in zip(split.images[..., 0], split.labels, strict=True):
            objects = rows[rows[:, 4] >= 0]
            covered = np.zeros([96, 96], bool)
            for top, left, bottom, right in np.rint(objects[:, :4] * 96).astype(int):
                inside = image[top:bottom, left:right] >= digit_scenes.INK
                # Ink at each of the four edges.
                assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
                covered[top:bottom, left:right] = True
            assert image[~covered].max() < digit_scenes.INK
    assert loaded.class_names == tuple("0123456789") and set(np.unique(loaded.train.labels[..., 4])) == {*range(-1, 10)}


def test_boxes_share_little(loaded):
    boxes = [rows[rows[:, 4] >= 0, :4] * 96 for rows in loaded.train.labels]
    shares = [digit_scenes._shared(one[i], one[j]) for one in boxes for i in range(len(one)) for j in range(i)]
    assert 0 < max(shares) <= digit_scenes.LARGEST_SHARE + 1e-5


def test_a_scene_is_a_function_of_seed_and_place(loaded):
    shorter = digit_scenes.load_digit_scenes(train=10, test=5, seed=1)
    np.testing.assert_array_equal(shorter.train.images, loaded.train.images[:10])
    np.testing.assert_array_equal(shorter.test.labels, loaded.test.labels[:5])
    other = digit_scenes.load_digit_scenes(train=10, test=5, seed=2)
    assert (other.train.images != shorter.train.images).any(axis=(1, 2, 3)).all()
    # The words that scenes are made of are the same with every release of NumPy.
    assert shorter.train.labels[:2, :, 4].tolist() == [[9, 1, 4, -1, -1], [6, 1, 3, 9, -1]]
    assert (shorter.train.images[:5] != shorter.test.images).any(axis=(1, 2, 3)).all()


def test_a_digit_is_in_one_part_only(loaded, monkeypatch):
    drawn, enlarged = [], digit_scenes._enlarged

    def noting(digit, height):
        drawn.append(digit.tobytes())
        return enlarged(digit, height)

    monkeypatch.setattr(digit_scenes, "_enlarged", noting)
    parts = []
    for train, test in ((40, 1), (1, 40)):
        drawn.clear()
        digit_scenes.load_digit_scenes(train, test, seed=3)
        parts.append(drawn[-80:] if test == 40 else drawn[:80])
    assert len(parts[0]) == len(parts[1]) == 80 and set(parts[0]).isdisjoint(parts[1])


@pytest.mark.parametrize("arguments", [{"train": 0}, {"test": 0}, {"seed": -1}])
def test_arguments_have_bounds(arguments):
    with pytest.raises(ValueError, match=r"^train and test must be 1 or more and seed 0 or more"):
        digit_scenes.load_digit_scenes(**arguments)
