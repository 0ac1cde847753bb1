"""Labels in the forms that data sets give, and labels that are no classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import Supervised
from tfdistill.optimizers import OptimizerSettings
from tfdistill.tasks import complaint, first_wrong
from tfdistill.tasks.labels import class_labels

CLASSES = 3
RIGHT = np.array([0, 2, 1, 2])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_class_numbers_of_every_type_and_of_keras_shape(dtype, shape):
    labels, wrong = class_labels(RIGHT.astype(dtype).reshape(shape), CLASSES)
    np.testing.assert_array_equal(labels, RIGHT)
    assert labels.dtype in (tf.int32, tf.int64)
    assert not np.any(wrong)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32"])
def test_one_hot_rows_of_every_type(dtype):
    labels, wrong = class_labels(np.eye(CLASSES, dtype=dtype)[RIGHT], CLASSES)
    np.testing.assert_array_equal(labels, np.eye(CLASSES)[RIGHT])
    assert labels.dtype.is_floating and wrong is None


@pytest.mark.parametrize("given", [[-1, 2, 1, 3], [-1.0, 2.0, 1.5, 2.0], [np.nan, 0.0, 1.0, np.inf]])
def test_what_is_no_class_is_told_and_replaced(given):
    expected = [not 0 <= one < CLASSES or one != int(one) for one in given]
    labels, wrong = class_labels(np.array(given), CLASSES)
    np.testing.assert_array_equal(wrong, expected)
    assert np.all(labels.numpy()[expected] == 0)
    assert first_wrong(np.array(given), CLASSES) == expected.index(True)


def test_labels_beyond_a_small_type_are_compared_as_they_are():
    _, wrong = class_labels(np.array([200, 255], "uint8"), 1000)
    assert not np.any(wrong)
    assert first_wrong(np.array([2**63], "uint64"), CLASSES) == 0


def test_strings_are_refused_and_the_complaint_names_the_remedy():
    with pytest.raises(ValueError, match=r"^labels: must be class numbers from 0 to 2 or one-hot rows, not strings$"):
        class_labels(np.array(["cat"]), CLASSES)
    line = "labels: 3 at example 7 is no class, the 3 classes are 0 to 2; labels numbered from 1 need 1 subtracted"
    assert complaint(3.0, "example 7", CLASSES) == line
    assert complaint(-1.0, "example 7", CLASSES) == "labels: -1 at example 7 is no class, the 3 classes are 0 to 2"
    assert first_wrong(np.eye(3), CLASSES) is None and first_wrong(np.array([0, 2]), CLASSES) is None


def network(name="one"):
    images = keras.Input((2,), name="images")
    draw = keras.initializers.GlorotUniform(1)
    return keras.Model(images, {"logits": keras.layers.Dense(CLASSES, kernel_initializer=draw)(images)}, name=name)


def batched(labels, **others):
    images = np.random.default_rng(1).normal(size=(len(labels), 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices({"images": images, "labels": np.array(labels), **others}).batch(2)


@pytest.fixture(scope="module", params=["off", "on"])
def distiller(request):
    made = Supervised([network()])
    made.compile({"networks": OptimizerSettings(learning_rate=0.1)}, xla=request.param)
    made.fit(batched([0, 1, 2, 2]), shuffle=False, verbose=0)
    return made


def test_a_wrong_label_of_a_stream_ends_fit_with_its_place(distiller):
    """At the first step at once; later ones when the run is next looked at, and never after the epoch."""
    step = distiller.steps_trained
    with pytest.raises(
        ValueError, match=rf"^labels: 3 at example 1 of the batch of step {step + 1} is no class, the 3"
    ):
        distiller.fit(batched([0, 3, 0, 1]), shuffle=False, verbose=0)
    assert distiller.steps_trained == step + 1
    with pytest.raises(ValueError, match=rf"^labels: -1 at example 0 of the batch of step {step + 4} is no class"):
        distiller.fit(batched([0, 1, 0, 1, -1, 3]), shuffle=False, verbose=0)
    assert all(np.all(np.isfinite(one)) for one in distiller.networks[0].get_weights())
    distiller.fit(batched([0, 1, 2, 2]), shuffle=False, verbose=0)


def test_labels_without_a_known_shape_are_told_what_gives_them_one(distiller):
    def batches():
        yield np.zeros((4, 2), "float32"), RIGHT

    shapes = (tf.TensorSpec((4, 2)), tf.TensorSpec(None, tf.int32))
    data = tf.data.Dataset.from_generator(batches, output_signature=shapes)
    with pytest.raises(ValueError, match=r"^data: the labels of a batch have no known shape; .* output_signature$"):
        distiller.fit(data, steps_per_epoch=1, verbose=0)


def test_wrong_labels_of_arrays_are_found_before_the_first_step(distiller):
    step, images = distiller.steps_trained, np.zeros((4, 2), "float32")
    with pytest.raises(ValueError, match=r"^labels: 3 at example 2 is no class, .* need 1 subtracted$"):
        distiller.fit(images, np.array([[1], [2], [3], [3]], "uint8"), validation_split=None, verbose=0)
    with pytest.raises(ValueError, match=r"^labels: 5 at validation example 0 is no class"):
        distiller.fit(images, RIGHT, validation_data=(images, RIGHT + 5), verbose=0)
    assert distiller.steps_trained == step
    with pytest.raises(ValueError, match=r"^labels: -1 at example 3 is no class"):
        distiller.evaluate(images, np.array([0, 1, 2, -1]), verbose=0)


def test_wrong_labels_end_an_evaluation_unless_they_weigh_nothing(distiller):
    with pytest.raises(ValueError, match=r"^labels: 7 at example 0 of evaluation batch 2 is no class"):
        distiller.evaluate(batched([0, 1, 7, 1]), verbose=0)
    weight = np.float32([1, 1, 0, 1])
    scores = distiller.evaluate(batched([0, 1, -1, 1], weight=weight), verbose=0, return_dict=True)
    assert scores == distiller.evaluate(batched([0, 1, 2, 1], weight=weight), verbose=0, return_dict=True)


def test_scores_come_in_the_order_of_their_names(distiller):
    scores = distiller.evaluate(batched([0, 1, 2, 1]), verbose=0)
    named = distiller.evaluate(batched([0, 1, 2, 1]), verbose=0, return_dict=True)
    assert dict(zip(distiller.metrics_names, scores, strict=True)) == named
    assert distiller.metrics_names == ["loss", "one/accuracy", "one/top5", "one/cross_entropy"]
