"""Scores against NumPy, and what does not fit together."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import data
from tfdistill.commands import command_line, evaluate, evaluating
from tfdistill.data import Augmentation, Normalization, Split
from tfdistill.runs import scoring
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.tasks import Classification

EXAMPLES, CLASSES = 23, 4
NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def split() -> Split:
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (EXAMPLES, 8, 8, 3)).astype(np.uint8)
    return Split.in_memory(images, draw.integers(0, CLASSES, EXAMPLES))


@pytest.fixture(scope="module")
def networks(tiny_network):
    return [tiny_network("first", seed=1), tiny_network("second", seed=2)]


@pytest.fixture(scope="module")
def scorer(networks) -> scoring.Scorer:
    return scoring.scorer_of_networks(networks, NORMALIZATION, Classification())


def dataset_of(split: Split, classes: int) -> data.Dataset:
    names = tuple(map(str, range(classes)))
    return data.Dataset(
        "made_up", split.image_shape, names, split, split, NORMALIZATION, Augmentation(0, "zero", False)
    )


@pytest.mark.parametrize("batch_size", [1, 7, EXAMPLES, 64])
def test_every_example_counts_once_whatever_the_batch_size(scorer, networks, split, batch_size):
    images = (split.images / 255 - NORMALIZATION.mean) / NORMALIZATION.std
    logits = {one.name: np.float64(one(tf.constant(images, tf.float32), training=False)["logits"]) for one in networks}
    logits["ensemble"] = (logits["first"] + logits["second"]) / 2
    found = scoring.scores(scorer, split, batch_size)
    assert list(found) == ["first", "second", "ensemble"]
    for name, values in logits.items():
        picked = values[np.arange(EXAMPLES), split.labels]
        assert found[name]["accuracy"] == pytest.approx(np.mean(values.argmax(1) == split.labels), abs=1e-9)
        assert found[name]["top5"] == 1.0, "with four classes, every label is among the first five"
        expected = np.mean(np.log(np.exp(values).sum(1)) - picked)
        assert found[name]["cross_entropy"] == pytest.approx(expected, rel=1e-5)


def test_scoring_moves_no_variable(scorer, networks, split):
    before = [variable.numpy() for one in networks for variable in one.variables]
    scoring.scores(scorer, split, 8)
    after = [variable.numpy() for one in networks for variable in one.variables]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_one_network_has_no_ensemble(networks, split):
    assert list(
        scoring.scores(scoring.scorer_of_networks(networks[:1], NORMALIZATION, Classification()), split, 8)
    ) == ["first"]


def test_raw_images_reach_a_saved_model_as_they_are(split):
    seen = []

    def forward(images):
        seen.append(images.numpy())
        return {"one": {"logits": tf.zeros([len(images), CLASSES])}}

    scoring.scores(scoring.Scorer(forward, (8, 8, 3), CLASSES, scoring.RAW, Classification()), split, EXAMPLES)
    np.testing.assert_allclose(seen[0], split.images, atol=1e-4)


def test_what_does_not_fit_is_said(scorer, split):
    scorer.require_fitting(dataset_of(split, CLASSES))
    with pytest.raises(ValueError, match=r"dataset: made_up has 5 classes.* 4 "):
        scorer.require_fitting(dataset_of(split, 5))
    smaller = Split.in_memory(split.images[:, :4, :6], split.labels)
    with pytest.raises(ValueError, match=r"dataset: made_up has images of 4x6x3.* 8x8x3"):
        scorer.require_fitting(dataset_of(smaller, CLASSES))


def test_the_table_has_a_line_per_network():
    row = {"accuracy": 0.5, "top5": 1.0, "cross_entropy": 1.23456}
    head, line, _ = scoring.table({"a_long_name": row, "b": row}, Classification()).splitlines()
    assert line.split() == ["a_long_name", "50.00%", "100.00%", "1.2346"] and len(head) == len(line)


# What to score on.


@pytest.fixture
def image_folder(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            picture = tf.io.encode_png(tf.zeros([5, 9, 3], tf.uint8)).numpy()
            (tmp_path / part / name / "one.png").write_bytes(picture)
    return tmp_path


def chosen(*arguments: str, trained_on: dict, image_shape=(6, 6, 3), dataset=None) -> data.Dataset:
    values = evaluate.evaluate_flags()
    command_line.parse(values, arguments)
    scorer = scoring.Scorer(lambda images: {}, image_shape, 2, scoring.RAW, Classification())
    return evaluating.chosen_data(values, evaluating.Subject(scorer, "it", {}, trained_on, (), dataset))


def test_an_image_folder_is_resized_to_what_the_network_takes(image_folder):
    found = chosen("--dataset=image_folder", f"--data_dir={image_folder}", trained_on={"dataset": "cifar10"})
    assert found.image_shape == (6, 6, 3) and found.class_names == ("cat", "dog")
    arguments = ("--dataset=image_folder", f"--data_dir={image_folder}", "--image_size=4")
    assert chosen(*arguments, trained_on={}).image_shape == (4, 4, 3)


def test_the_training_says_which_data_and_where(image_folder):
    trained_on = {"dataset": "image_folder", "data_dir": str(image_folder)}
    assert chosen(trained_on=trained_on).class_names == ("cat", "dog")
    assert chosen("--dataset=digits", trained_on=trained_on).name == "digits"


def test_data_that_was_loaded_is_not_loaded_again(split):
    loaded = dataset_of(split, CLASSES)
    assert chosen(trained_on={"dataset": "digits"}, dataset=loaded) is loaded
    assert chosen("--dataset=digits", trained_on={"dataset": "digits"}, dataset=loaded) is loaded
    assert chosen("--dataset=digits", trained_on={"dataset": "cifar10"}, dataset=loaded).name == "digits"


def test_a_saved_model_that_does_not_say_its_data_needs_the_flag():
    with pytest.raises(ValueError, match="--dataset"):
        chosen(trained_on={})


def test_what_a_training_held_out_can_be_scored_as_it_was():
    config = RunConfig(validation_share=0.2, seed=3)
    digits = data.load("digits")
    found, expected = evaluating.held_out_as(config.to_dict(), digits), RunData(config, digits)
    assert found.validation.index.tolist() == expected.monitors["validation"].index.tolist()
    assert found.train.index.tolist() == expected.train.index.tolist() and found.test is digits.test
    assert evaluating.held_out_as({**config.to_dict(), "dataset": "cifar10"}, digits) is digits
    assert evaluating.held_out_as({}, digits) is digits
