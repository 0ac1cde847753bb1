"""A study made in Python: however its examples are cut into batches, the same is found."""

import dataclasses

import keras
import numpy as np
import pytest

from tfdistill.analysis import ANALYSES, Options, Study, Subject, cka
from tfdistill.analysis.writing import plain
from tfdistill.data import NORMALIZATIONS, Split

DRAW = np.random.default_rng(4)
IMAGES = DRAW.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
SPLIT = Split.in_memory(IMAGES, np.arange(40) % 4)
WHAT = ("feature_distance", "cka", "logits", "projection", "errors", "confusion", "active_neurons")


def study_of(networks, **others):
    subjects = [Subject(label, network) for label, network in networks.items()]
    return Study(subjects, {"train": SPLIT, "test": SPLIT}, ("a", "b", "c", "d"), NORMALIZATIONS["symmetric"], **others)


def numbers(value):
    """Every number of what was found, in its order."""
    if isinstance(value, dict | list):
        return [one for part in (value.values() if isinstance(value, dict) else value) for one in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def test_batches_of_any_size_and_features_in_a_file_find_the_same(tiny_network, monkeypatch):
    networks = {"one": tiny_network("one", seed=1), "two": tiny_network("two", seed=5)}
    few, whole = study_of(networks, teacher="two", batch_size=7), study_of(networks, teacher="two", batch_size=40)
    for name in WHAT:
        monkeypatch.setattr(cka, "IN_MEMORY", 2**30)
        expected = ANALYSES[name]().find(whole)
        monkeypatch.setattr(cka, "IN_MEMORY", 0)
        found = ANALYSES[name]().find(few)
        assert len(numbers(plain(expected.numbers))) > 3, name
        np.testing.assert_allclose(numbers(plain(found.numbers)), numbers(plain(expected.numbers)), 2e-4, 1e-4)
        assert len(found.rows) == len(expected.rows)


def test_examples_are_taken_evenly_and_what_is_no_number_is_named(tiny_network):
    images = keras.Input((8, 8, 3))
    # 255 becomes more than a float32 holds, and less does not.
    huge = keras.layers.Flatten()(keras.layers.Rescaling(1.35e36)(images))
    logits = keras.layers.Dense(4, kernel_initializer="ones")(keras.layers.MaxPooling1D(192)(huge[..., None])[:, 0])
    found = study_of({"huge": keras.Model(images, {"logits": logits})}, options=Options(examples=10))
    assert found.chosen().index.tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    pixels = np.zeros_like(IMAGES)
    pixels[12] = 255
    raw = Study(
        found.subjects, {"test": Split.in_memory(pixels, SPLIT.labels)}, "abcd", NORMALIZATIONS["raw"], batch_size=4
    )
    raw.require_sound_answers()
    with pytest.raises(ValueError, match="huge answers example 12 with logits that are NaN or infinite"):
        ANALYSES["errors"]().find(raw)


def test_curves_say_whose_accuracies_are_of_validation_examples(tiny_network):
    network, history = tiny_network("one", seed=1), [{"epoch": "1", "val_one/accuracy": "0.5"}]
    known = {"history": history, "name": "one"}
    subjects = [Subject("a", network, splits={"test": SPLIT}, **known)]
    subjects += [Subject("b", network, splits={"validation": SPLIT, "test": SPLIT}, **known)]
    study = Study(subjects, {"test": SPLIT}, ("a", "b", "c", "d"), NORMALIZATIONS["symmetric"])
    assert set(ANALYSES["curves"]().find(study).numbers["curves"]) == {"a", "b"}
    assert study.notes == ["The accuracies of b are of validation examples, which each epoch is scored on."]


def test_sharpness_is_of_training_examples_and_says_which_weights_stay(tiny_network):
    network = tiny_network("one", seed=1)
    subjects, parts = [Subject("one", network)], {"test": SPLIT}
    for splits, refused in (({}, True), ({"train": SPLIT}, False)):
        study = Study(subjects, parts | splits, ("a", "b", "c", "d"), NORMALIZATIONS["symmetric"])
        if refused:
            with pytest.raises(ValueError, match=r"^split: the data has no part 'train'"):
                ANALYSES["sharpness"]().check(study)
        else:
            ANALYSES["sharpness"]().check(study)
            assert study.notes == []
    network.layers[-1].trainable = False
    ANALYSES["sharpness"]().check(study)
    assert study.notes == ["one has weights that its training does not move; no noise is put on them."]


def test_wrong_labels_of_train_examples_are_said_once_and_those_of_others_are_none(tiny_network):
    noisy = Subject("noisy", tiny_network("noisy", seed=1), splits={"train": SPLIT}, label_noise=0.2)
    parts = {"train": SPLIT, "test": SPLIT}
    study = Study([noisy], parts, ("a", "b", "c", "d"), NORMALIZATIONS["symmetric"], label_noise=0.2)
    ANALYSES["confusion"]().find(study)
    assert study.notes == []
    ANALYSES["calibration"]().find(study)
    said = "Labels of train examples are the training's own: about 20% are wrong (--label_noise)."
    assert study.notes[0] == said and study.notes.count(said) == 1
    for name in ("confusion", "projection"):
        trained = dataclasses.replace(study, split="train", notes=[])
        ANALYSES[name]().find(trained)
        assert trained.notes == [said]
