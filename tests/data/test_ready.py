"""A data set in one call, as batches that Keras' own `fit` takes too."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill.data import sets, training_batches


@pytest.fixture(scope="module")
def digits():
    return tfdistill.load_data("digits", batch_size=100, validation_share=0.1, seed=3)


def arrays(batches):
    return [[one.numpy() for one in batch] for batch in batches]


def test_it_unpacks_into_the_parts_there_are(digits):
    train, validation, test = digits
    assert (train, validation, test) == (digits.train, digits.validation, digits.test)
    assert len(list(tfdistill.load_data("digits"))) == 2
    assert [int(one.cardinality()) for one in digits] == [12, 2, 4]
    images, labels = train.element_spec
    assert (images.shape, images.dtype) == ((100, 8, 8, 1), tf.float32)
    assert (labels.shape, labels.dtype) == ((100,), tf.int32)


def test_every_example_is_scored_once_and_in_order(digits):
    dataset = digits.dataset
    labels = np.concatenate([labels for _, labels in arrays(digits.test)])
    np.testing.assert_array_equal(labels, dataset.test.labels)
    images = np.concatenate([images for images, _ in arrays(digits.test)])
    mean, std = digits.served["mean"][0], digits.served["std"][0]
    np.testing.assert_allclose(images, (dataset.test.images / 255 - mean) / std, atol=1e-5)
    held_out = np.concatenate([labels for _, labels in arrays(digits.validation)])
    assert len(held_out) == round(0.1 * len(dataset.train))


def test_every_pass_is_another_epoch_of_the_commands_batches():
    data = tfdistill.load_data("digits", batch_size=400, seed=3)
    passes = [arrays(data.train) for _ in range(2)]
    again = arrays(tfdistill.load_data("digits", batch_size=400, seed=3).train)
    dataset = data.dataset
    expected = training_batches(
        dataset.train,
        batch_size=400,
        seed=3,
        augmentation=dataset.augmentation,
        normalization=dataset.normalization,
        steps=6,
    )
    for (images, labels), batch in zip(itertools.chain(*passes), expected.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(images, batch["images"])
        np.testing.assert_array_equal(labels, batch["labels"])
    for (images, _), (same, _), (other, _) in zip(passes[0], again, passes[1], strict=True):
        np.testing.assert_array_equal(images, same)
        assert (images != other).any()


def test_a_plain_keras_model_trains_on_it(digits):
    model = keras.Sequential([keras.Input(digits.image_shape), keras.layers.Flatten(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True)
    history = model.fit(digits.train, validation_data=digits.validation, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"][1] < history["loss"][0] and len(history["val_loss"]) == 2


def test_without_augmentation_the_images_are_the_data_sets_own():
    data = tfdistill.load_data("digits", batch_size=1437, augment=False)
    ((images, labels),) = arrays(data.train)
    normalization, split = data.dataset.normalization, data.dataset.train
    whole = (split.images / 255 - normalization.mean[0]) / normalization.std[0]
    np.testing.assert_allclose(np.sort(images.sum((1, 2, 3))), np.sort(whole.sum((1, 2, 3))), rtol=1e-3)
    assert sorted(labels) == sorted(split.labels)


def test_what_cannot_be_loaded_is_refused():
    with pytest.raises(ValueError, match=r"^dataset: 'digit' is unknown; nearest: digits"):
        tfdistill.load_data("digit")
    with pytest.raises(ValueError, match=r"^batch_size must be at most the 1437 training examples, got 2000$"):
        tfdistill.load_data("digits", batch_size=2000)
    for name, value in {
        "batch_size": 0,
        "validation_share": 2,
        "seed": -1,
        "image_size": 0,
        "reading": "whole",
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}: .* (not|none of) "):
            tfdistill.load_data("digits", **{name: value})
    with pytest.raises(ValueError, match=r"^validation_share: split has a validation part already"):
        tfdistill.load_data("image_folder", split=(0.8, 0.1, 0.1), validation_share=0.1)


def test_images_with_boxes_come_with_their_objects(monkeypatch):
    small = sets.load_digit_scenes(train=24, test=5)
    monkeypatch.setattr(sets, "load_digit_scenes", lambda: small)
    train, validation, test = data = tfdistill.load_data("digit_scenes", batch_size=4, validation_share=0.25)
    assert data.dataset.task == "detection" and [int(one.cardinality()) for one in data] == [4, 2, 2]
    images, labels = next(iter(train))
    assert (images.shape, labels.shape, labels.dtype) == ((4, 96, 96, 1), (4, 5, 6), tf.float32)
    np.testing.assert_array_equal(np.concatenate([one for _, one in arrays(test)]), small.test.labels)
    held_out = np.concatenate([one for _, one in arrays(validation)])
    assert (held_out[:, None] == small.train.labels).all((2, 3)).any(1).all()
