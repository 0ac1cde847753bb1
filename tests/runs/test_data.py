"""From a run's flags to its data: which labels are wrong, who is held out, and what the batches go through."""

import dataclasses

import numpy as np
import pytest

from tfdistill import data
from tfdistill.data.sets import load_digit_scenes
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData, evaluation_batch_size
from tfdistill.tasks import Classification, Detection


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def right_labels(dataset: data.Dataset, split: data.Split) -> np.ndarray:
    return dataset.train.labels[split.index]


def test_noise_is_in_the_training_labels_only_and_of_the_share_asked_for(digits):
    noisy = RunData(RunConfig(label_noise=0.4), digits)
    assert (noisy.train.labels != digits.train.labels).sum() == round(0.4 * len(digits.train))
    assert noisy.monitors["test"] is digits.test
    np.testing.assert_array_equal(noisy.train.images, digits.train.images)


def test_what_is_held_out_stays_clean(digits):
    noisy = RunData(RunConfig(label_noise=0.5, validation_share=0.2), digits)
    held_out = noisy.monitors["validation"]
    assert noisy.scored_on == "validation"
    np.testing.assert_array_equal(held_out.labels, right_labels(digits, held_out))
    assert 0.4 < (noisy.train.labels != right_labels(digits, noisy.train)).mean() < 0.6


def test_noise_changes_neither_who_is_held_out_nor_who_is_in_a_subset(digits):
    config = RunConfig(validation_share=0.2, train_examples=300)
    clean, noisy = (RunData(dataclasses.replace(config, label_noise=share), digits) for share in (0.0, 0.4))
    np.testing.assert_array_equal(clean.train.index, noisy.train.index)
    np.testing.assert_array_equal(clean.monitors["validation"].index, noisy.monitors["validation"].index)


def test_an_example_has_the_same_label_whatever_else_is_left_out(digits):
    whole = RunData(RunConfig(label_noise=0.4), digits).train
    part = RunData(RunConfig(label_noise=0.4, validation_share=0.2, train_examples=300), digits).train
    np.testing.assert_array_equal(part.labels, whole.labels[part.index])


def test_the_seed_of_the_noise_is_the_runs_unless_given(digits):
    def labels(**settings):
        return RunData(RunConfig(label_noise=0.4, **settings), digits).train.labels

    np.testing.assert_array_equal(labels(seed=1), labels(seed=2, label_noise_seed=1))
    np.testing.assert_array_equal(labels(seed=1, label_noise_seed=0), labels(seed=0))
    assert not np.array_equal(labels(seed=1), labels(seed=2))


def test_noise_in_a_single_class_is_refused(digits):
    alone = dataclasses.replace(digits, class_names=("0",))
    with pytest.raises(ValueError, match=r"^label_noise: .* has 1$"):
        RunData(RunConfig(label_noise=0.4), alone).train  # noqa: B018 - refuses by being made
    with pytest.raises(ValueError, match=r"^label_smoothing: .* has 1$"):
        RunData(RunConfig(label_smoothing=0.1), alone).require_augmentable()


def test_images_with_boxes_are_parted_mixed_with_unlabelled_ones_and_for_detection(digits):
    scenes = load_digit_scenes(train=40, test=1).train
    dataset = dataclasses.replace(
        digits,
        image_shape=scenes.image_shape,
        train=scenes,
        test=scenes,
        task="detection",
        augmentation=data.BoxAugmentation(),
    )
    flags = {"validation_share": 0.25, "train_examples": 12, "batch_size": 4, "method": "mutual"}
    config = RunConfig(
        dataset="digit_scenes", networks=("ssd96_resnet8",), unlabelled_rest=True, unlabelled_batch_size=3, **flags
    )
    found = RunData(config, dataset)
    assert isinstance(found.task, Detection) and isinstance(RunData(config, digits).task, Classification)
    assert (len(found.train), len(found.monitors["validation"]), len(found.unlabelled.split)) == (12, 10, 18)
    np.testing.assert_array_equal(found.train.labels, scenes.labels[found.train.index])
    (batch,) = found.training_batches(steps=1).as_numpy_iterator()
    assert batch["labels"].shape == (7, 5, 6) and batch["labelled"].tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert (batch["labels"][:4, :, 4] >= 0).any() and (batch["labels"][4:] == [0, 0, 0, 0, -1, 0]).all()
    assert set(batch["index"][4:]) <= set(found.unlabelled.split.index)
    told_apart = found.train.classes_by_index
    assert len(set(told_apart[found.train.index])) == 12 and (told_apart >= 0).sum() == 12, "each a class of its own"


def test_images_too_small_to_mirror_are_refused_before_a_run_begins(digits):
    large = dataclasses.replace(digits, augmentation=data.Augmentation(8, "reflect", True))
    with pytest.raises(ValueError, match=r"^augmentation: standard of digits: pad"):
        RunData(RunConfig(), large).require_augmentable()
    RunData(RunConfig(augmentation=("none",)), large).require_augmentable()


def test_a_cutout_larger_than_the_images_is_refused(digits):
    RunData(RunConfig(augmentation=("cutout",), cutout_size=8), digits).require_augmentable()
    with pytest.raises(ValueError, match=r"^cutout_size: 9 is larger than the images of digits, 8×8 pixels$"):
        RunData(RunConfig(augmentation=("cutout",), cutout_size=9), digits).require_augmentable()


@pytest.mark.parametrize(
    ("batch_size", "replicas", "pixels", "expected"),
    [(32, 1, 32, 256), (32, 3, 32, 255), (512, 1, 32, 512), (4, 1, 224, 256), (4, 1, 1024, 12), (4, 8, 4096, 4)],
)
def test_scoring_takes_as_many_images_as_the_training_or_as_many_pixels_as_256_of_224(
    batch_size, replicas, pixels, expected
):
    assert evaluation_batch_size(batch_size, replicas, (pixels, pixels, 3)) == expected


def test_scoring_few_images_fills_no_batch_with_others(digits):
    few = dataclasses.replace(digits, test=digits.test.take(np.arange(7)))
    read = RunData(RunConfig(batch_size=64), few)
    for replicas, size in ((1, 7), (2, 8)):
        batches = list(read.evaluation_batches("test", replicas=replicas))
        assert [len(one["images"]) for one in batches] == [size] and read.evaluation_steps(
            "test", replicas=replicas
        ) == 1


def test_the_flags_decide_what_the_batches_go_through(digits):
    def images(**settings):
        batches = RunData(RunConfig(batch_size=64, **settings), digits).training_batches(steps=1)
        return next(batches.as_numpy_iterator())

    plain = images(augmentation=("none",))
    pixels = digits.train.images[plain["index"]] / 255
    np.testing.assert_allclose(
        plain["images"] * digits.normalization.std + digits.normalization.mean, pixels, atol=1e-6
    )
    standard = images()
    assert not np.array_equal(standard["images"], plain["images"])
    assert standard["labels"].dtype == np.int32
    found = {
        name: images(augmentation=("none",) if name == "none" else (name,), **settings)
        for name, settings in {
            "randaugment": {"randaugment_operations": 1, "randaugment_magnitude": 10},
            "cutout": {"cutout_size": 2},
            "cutmix": {"cutmix_alpha": 0.5},
            "mixup": {"mixup_alpha": 0.2},
            "none": {"label_smoothing": 0.1},
        }.items()
    }
    different = {name: not np.array_equal(one["images"], plain["images"]) for name, one in found.items()}
    assert different == {name: name != "none" for name in found}
    soft = {name for name, one in found.items() if one["labels"].shape == (64, 10)}
    assert soft == {"cutmix", "mixup", "none"}
    assert ((found["cutout"]["images"] == 0).sum((1, 2, 3)) <= 4).all()
