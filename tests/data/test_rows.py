"""The parts of a batch that several workers make are the batch, whatever is random."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import (
    NORMALIZATIONS,
    Augmentation,
    Cutout,
    Mixing,
    RandAugment,
    Reading,
    Split,
    evaluation_batches,
    load,
    training_batches,
)
from tfdistill.data.rows import Rows, rows_of_part

BATCH, CLASSES = 12, 5
SETTINGS = {"batch_size": BATCH, "seed": 5, "normalization": NORMALIZATIONS["c100"], "classes": CLASSES}
PARTS_OF_TWO = [{"part": 0, "parts": 2}, {"part": 1, "parts": 2}]
STANDARD = {"augmentation": Augmentation(pad=2, mode="reflect", flip=True)}
EVERYTHING = {
    **STANDARD,
    "randaugment": RandAugment(operations=1),
    "cutout": Cutout(3),
    "mixing": Mixing(1.0, 0.2, probability=0.7),
}


def split_of(examples: int) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (examples, 10, 8, 3), dtype=np.uint8)
    return Split.in_memory(images, np.arange(examples) % CLASSES)


def first(dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_the_whole_is_its_parts(whole, parts) -> None:
    for batch, *pieces in zip(whole, *parts, strict=True):
        for name, values in batch.items():
            np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), values, err_msg=name)


@pytest.mark.parametrize("recipe", [STANDARD, EVERYTHING], ids=["standard", "everything"])
def test_the_parts_of_a_training_batch_are_the_batch(recipe):
    whole, *pieces = (
        training_batches(split_of(40), **SETTINGS, **recipe, **part)
        for part in ({}, *({"part": index, "parts": 3} for index in range(3)))
    )
    assert all(piece.element_spec["images"].shape == [BATCH // 3, 10, 8, 3] for piece in pieces)
    assert_the_whole_is_its_parts(first(whole, 4), [first(piece, 4) for piece in pieces])


def test_the_parts_of_random_crops_are_the_batch(tmp_path):
    random = np.random.default_rng(0)
    for part, kind, number in itertools.product(("train", "test"), "ab", range(6)):
        path = tmp_path / part / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(random.integers(0, 256, (20, 16, 3), dtype=np.uint8)).numpy())
    split = load("image_folder", data_dir=str(tmp_path), image_size=8, reading="crop").train
    assert split.reading == Reading("crop")
    settings = {**SETTINGS, **STANDARD, "batch_size": 6, "normalization": NORMALIZATIONS["none"]}
    whole, *pieces = (training_batches(split, **settings, **part) for part in ({}, *PARTS_OF_TWO))
    assert_the_whole_is_its_parts(first(whole, 2), [first(piece, 2) for piece in pieces])


def test_every_example_is_evaluated_once_over_all_parts():
    split, settings = split_of(17), {"batch_size": BATCH, "normalization": NORMALIZATIONS["none"]}
    whole, *pieces = (
        list(evaluation_batches(split, **settings, **part).as_numpy_iterator()) for part in ({}, *PARTS_OF_TWO)
    )
    assert_the_whole_is_its_parts(whole, pieces)
    counted = [batch["index"][batch["weight"] == 1] for piece in pieces for batch in piece]
    assert sorted(np.concatenate(counted)) == list(range(17))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((2, 2, 12), "part"), ((-1, 2, 12), "part"), ((0, 0, 12), "part"), ((0, 5, 12), "batch_size")],
)
def test_parts_that_do_not_fit_are_refused(arguments, word):
    with pytest.raises(ValueError, match=f"^{word}"):
        rows_of_part(*arguments)


def test_rows():
    assert rows_of_part(0, 1, 12) is None
    assert rows_of_part(1, 3, 6) == Rows((2, 3), 6)
    assert rows_of_part(2, 3, 6, and_the_next=True) == Rows((4, 5, 0), 6)
