"""What users give to `fit` and `evaluate` by hand, and cannot be trained on: one line each, before the first step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine import batches
from tfdistill.engine.batches import require_finite_images
from tfdistill.methods import Supervised

IMAGES, LABELS = np.zeros((8, 4, 4, 3), np.float32), np.arange(8) % 3


@pytest.fixture(scope="module")
def distiller():
    images = keras.Input((4, 4, 3))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    made = Supervised([keras.Model(images, {"logits": logits}, name="one")])
    made.compile()
    return made


def unbatched() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((IMAGES,), "data: labels are missing; give fit(images, labels), or a data set of such pairs"),
        ((unbatched().batch(4).take(0),), "data: the data set is empty"),
        ((IMAGES[:0], LABELS[:0]), "data: there are no examples to train on"),
        (
            (unbatched(),),
            "images: the networks take batches of shape (None, 4, 4, 3), not (4, 4, 3); these have no batch axis: "
            "data.batch(size) adds it to a tf.data.Dataset",
        ),
        ((IMAGES[..., :1], LABELS), "images: the networks take batches of shape (None, 4, 4, 3), not (None, 4, 4, 1)"),
        ((IMAGES, LABELS.astype(str)), "labels: must be class numbers from 0 to 2 or one-hot rows, not strings"),
        ((IMAGES, LABELS.astype(object)), "labels: must be class numbers from 0 to 2 or one-hot rows, not strings"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(distiller, given, line):
    with pytest.raises(ValueError) as refused:
        distiller.fit(*given, verbose=0)
    assert str(refused.value) == line and distiller.steps_trained == 0


def test_nothing_is_no_score(distiller):
    with pytest.raises(ValueError, match=r"^data: there are no examples to score$"):
        distiller.evaluate(IMAGES[:0], LABELS[:0], verbose=0)


def test_an_image_that_is_no_number_is_named(distiller):
    wrong = IMAGES.copy()
    wrong[5, 0, 0, 0] = np.nan
    for call, place in (
        (lambda: distiller.fit(wrong, LABELS, verbose=0), "example 5"),
        (lambda: distiller.evaluate(wrong, LABELS, verbose=0), "example 5"),
        (lambda: distiller.fit(IMAGES, LABELS, validation_data=(wrong, LABELS), verbose=0), "validation example 5"),
    ):
        with pytest.raises(ValueError, match=rf"^images: {place} holds NaN or infinity$"):
            call()
    with pytest.raises(ValueError, match="example 5 "):
        require_finite_images(wrong, at_once=2)
    require_finite_images(IMAGES.astype(np.uint8))
    assert distiller.steps_trained == 0


def test_arrays_are_looked_at_once_and_not_at_every_scoring_of_fit(monkeypatch):
    images = keras.Input((4, 4, 3))
    made = Supervised([keras.Model(images, {"logits": keras.layers.Dense(3)(keras.layers.Flatten()(images))})])
    made.compile()
    looked = []
    monkeypatch.setattr(batches, "require_finite_images", lambda images, place: looked.append(place))
    made.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), epochs=3, verbose=0)
    assert looked == ["example", "validation example"]
    made.evaluate(IMAGES, LABELS, verbose=0)
    assert looked[2:] == ["example"]


def test_a_distiller_that_is_saved_says_what_to_save_instead(distiller, tmp_path):
    with pytest.raises(NotImplementedError, match=r"^save: a distiller is not saved as a model; save its networks"):
        distiller.save(tmp_path / "all.keras")
    assert not any(tmp_path.iterdir())
    distiller.save_weights(tmp_path / "all.weights.h5")
