"""Training batches under every augmentation: exact resume, draws of each image's own, and soft labels."""

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
    Split,
    evaluation_batches,
    training_batches,
)

CLASSES, BATCH = 5, 16
STANDARD = {"augmentation": Augmentation(pad=2, mode="reflect", flip=True)}
RECIPES = {
    "none": {},
    "standard": STANDARD,
    "randaugment": {"randaugment": RandAugment(operations=1)},
    "cutout": {"cutout": Cutout()},
    "cutmix": {"mixing": Mixing(cutmix_alpha=1.0)},
    "mixup": {"mixing": Mixing(mixup_alpha=0.2)},
    "all": {
        **STANDARD,
        "randaugment": RandAugment(),
        "cutout": Cutout(3),
        "mixing": Mixing(1.0, 1.0, probability=0.5),
        "label_smoothing": 0.1,
    },
}


def split_of(examples: int) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (examples, 18, 16, 3), dtype=np.uint8)
    return Split.in_memory(images, np.arange(examples) % CLASSES)


def batches(recipe: dict, split: Split, **changes) -> tf.data.Dataset:
    settings = {"batch_size": BATCH, "seed": 5, "normalization": NORMALIZATIONS["c100"], "classes": CLASSES}
    return training_batches(split, **{"augmentation": None, **settings, **recipe, **changes})


def arrays(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_starting_late_equals_skipping_bit_for_bit(recipe):
    split = split_of(50)
    whole, late = arrays(batches(recipe, split), 7), arrays(batches(recipe, split, first_step=4), 3)
    for one, other in zip(whole[4:], late, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "none"])
def test_each_image_and_each_step_have_draws_of_their_own(recipe):
    split = split_of(50).take(np.repeat([0, 1, 2, 3], 8))
    settings = RECIPES[recipe]
    first, again, other = (arrays(batches(settings, split, seed=seed), 2) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0]["images"], again[0]["images"])
    for one, another in ((first[0], first[1]), (first[0], other[0])):
        assert not np.array_equal(one["images"], another["images"])
    assert len(np.unique(first[0]["images"], axis=0)) > 5


@pytest.mark.parametrize("recipe", ["cutmix", "mixup", "all"])
def test_mixed_labels_are_distributions_around_the_images_own(recipe):
    split = split_of(50)
    dataset = batches(RECIPES[recipe], split)
    assert dataset.element_spec["labels"] == tf.TensorSpec([BATCH, CLASSES], tf.float32)
    for batch in arrays(dataset, 4):
        own = np.eye(CLASSES)[split.labels[batch["index"]]]
        np.testing.assert_allclose(batch["labels"].sum(1), 1, atol=1e-6)
        assert ((batch["labels"] > 0) | (own == 0)).all() and (batch["labels"].max(1) < 1 + 1e-6).all()
        assert (batch["labels"].max(1) < 0.95).any()


def test_smoothing_alone_softens_the_labels_and_leaves_the_images():
    split = split_of(50)
    hard, soft = arrays(batches({}, split), 1)[0], arrays(batches({"label_smoothing": 0.2}, split), 1)[0]
    np.testing.assert_array_equal(hard["images"], soft["images"])
    np.testing.assert_allclose(soft["labels"], np.where(np.eye(CLASSES)[hard["labels"]] == 1, 0.8, 0.05), atol=1e-7)


def test_cut_out_blanks_with_the_mean_colour():
    split = split_of(50)
    plain, cut = (
        arrays(batches({}, split), 1)[0]["images"],
        arrays(batches({"cutout": Cutout(6)}, split), 1)[0]["images"],
    )
    blank = (cut == 0).all(-1)
    np.testing.assert_array_equal(cut[~blank], plain[~blank])
    assert blank.sum((1, 2)).max() == 36 and blank.any((1, 2)).all()


def test_evaluation_gives_the_images_and_labels_as_they_are():
    split = split_of(50)
    batch = arrays(evaluation_batches(split, batch_size=50, normalization=NORMALIZATIONS["none"]), 1)[0]
    np.testing.assert_allclose(batch["images"], split.images / 255, atol=1e-6)
    np.testing.assert_array_equal(batch["labels"], split.labels)
    assert batch["labels"].dtype == np.int32


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"mixing": Mixing(1.0), "classes": 0}, "classes"), ({"label_smoothing": 0.1, "classes": 1}, "classes")]
    + [({"label_smoothing": 1.0}, "smoothing")],
)
def test_soft_labels_without_classes_are_refused_in_one_line(changes, name):
    with pytest.raises(ValueError, match=f"^{name}") as caught:
        batches({}, split_of(50), **changes)
    assert "\n" not in str(caught.value)
