"""Weights of examples weigh the supervised loss, in whatever form Keras takes them, as Keras' own `fit` does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.term_checks import check_terms
from tfdistill.methods import DML, Supervised

BATCH, EXAMPLES = 4, 13  # the last batch has one example
CLASS_WEIGHT = {0: 0.5, 1: 2.0, 2: 1.0}


def network(name, seed=1):
    images = keras.Input((3,), name="images")
    draw = keras.initializers.GlorotUniform(seed)
    return keras.Model(images, {"logits": keras.layers.Dense(3, kernel_initializer=draw)(images)}, name=name)


@pytest.fixture(scope="module")
def arrays():
    draw = np.random.default_rng(1)
    images, labels = draw.normal(size=(EXAMPLES, 3)).astype("float32"), draw.integers(0, 3, EXAMPLES).astype("int32")
    return images, labels, np.float32([CLASS_WEIGHT[label] for label in labels])


@pytest.fixture(scope="module")
def by_keras(arrays):
    """Weights and logs after Keras' own `fit`."""
    images, labels, weights = arrays
    of_ours = network("reference")
    model = keras.Model(of_ours.input, of_ours.output["logits"])
    model.compile(
        keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    history = model.fit(images, labels, BATCH, sample_weight=weights, shuffle=False, verbose=0).history
    return model.get_weights(), history["loss"][0]


class Batches(keras.utils.PyDataset):
    def __init__(self, arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-EXAMPLES // BATCH)

    def __getitem__(self, index):
        return tuple(one[index * BATCH : (index + 1) * BATCH] for one in self.arrays)


def slices(given):
    return tf.data.Dataset.from_tensor_slices(given).batch(BATCH)


FORMS = {
    "sample_weight": lambda x, y, w: ((x, y), {"sample_weight": w, "batch_size": BATCH}),
    "class_weight": lambda x, y, w: ((x, y), {"class_weight": CLASS_WEIGHT, "batch_size": BATCH}),
    "class_weight of a data set": lambda x, y, w: ((slices((x, y)),), {"class_weight": CLASS_WEIGHT}),
    "triples": lambda x, y, w: ((slices((x, y, w)),), {}),
    "columns": lambda x, y, w: ((slices((x, y[:, None], w[:, None])),), {}),
    "dicts": lambda x, y, w: ((slices({"images": x, "labels": y, "weight": w}),), {}),
    "generator": lambda x, y, w: ((Batches((x, y, w)),), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_act_as_in_keras(arrays, by_keras, form):
    distiller = Supervised([network("one")])
    distiller.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    given, arguments = FORMS[form](*arrays)
    history = distiller.fit(*given, shuffle=False, verbose=0, **arguments).history
    weights, loss = by_keras
    for value, wanted in zip(distiller.networks[0].get_weights(), weights, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-6)
    assert history["loss"][0] == history["one/cross_entropy"][0]
    # Keras weighs the mean of the batches' losses by their sizes too.
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)


def test_two_replicas_weigh_as_one_device(arrays, by_keras, two_replicas):
    """Under XLA, too. Of the last batch one replica has no example."""
    with two_replicas.scope():
        distiller = Supervised([network("one")])
        distiller.compile(keras.optimizers.SGD(0.5), xla="on")
    distiller.fit(slices(arrays), shuffle=False, verbose=0)
    for value, wanted in zip(distiller.networks[0].get_weights(), by_keras[0], strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_what_networks_learn_from_each_other_is_not_weighed(arrays):
    def trained(weights):
        distiller = DML([network("one"), network("two", 2)], update="joint")
        distiller.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        arguments = {"batch_size": EXAMPLES, "shuffle": False, "verbose": 0}
        history = distiller.fit(*arrays[:2], sample_weight=weights, **arguments).history
        return {name: values[0] for name, values in history.items()}

    plain, weighed, none = (trained(weights) for weights in (None, arrays[2], np.zeros(EXAMPLES)))
    assert plain["one/mutual"] == weighed["one/mutual"] == none["one/mutual"] > 0
    assert none["one/cross_entropy"] == 0 and none["one/loss"] == none["one/mutual"]
    assert weighed["one/cross_entropy"] != plain["one/cross_entropy"]
    assert plain["one/accuracy"] == weighed["one/accuracy"]


def test_scores_are_weighed_means(arrays):
    images, labels, weights = arrays
    distiller = Supervised([network("one")])
    distiller.compile("sgd", run_eagerly=True)
    arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = distiller.fit(images, labels, validation_data=arrays, **arguments).history
    scores = distiller.evaluate(*arrays[:2], sample_weight=weights, batch_size=5, verbose=0, return_dict=True)
    logits = distiller.networks[0](images)["logits"]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    expected = np.average(losses, weights=weights)
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)
    assert scores["one/cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_terms_are_checked_without_weights(arrays):
    """Else a first batch of weight 0 would be a term that is silently nothing."""
    distiller = Supervised([network("one")])
    distiller.compile("sgd")
    check_terms(distiller, slices((*arrays[:2], np.zeros(EXAMPLES, "float32"))))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(EXAMPLES - 1), "sample_weight: has 12 weights for 13 examples"),
        (np.r_[np.ones(3), np.nan, np.ones(9)], "sample_weight: nan at example 3; weights are numbers from 0"),
        (np.r_[-1.0, np.ones(12)], "sample_weight: -1 at example 0; weights are numbers from 0"),
        (np.ones((EXAMPLES, 3)), r"sample_weight: must be one number per example, not an array \(13, 3\) of float64"),
    ],
    ids=["too few", "no number", "negative", "a row each"],
)
def test_weights_that_cannot_weigh_are_refused_before_the_first_step(arrays, weights, message):
    distiller = Supervised([network("one")])
    distiller.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=f"^{message}$"):
        distiller.fit(*arrays[:2], sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match=f"^{message.replace('example', 'validation example')}$"):
        distiller.fit(*arrays[:2], validation_data=(*arrays[:2], weights), verbose=0)
    assert distiller.steps_trained == 0


def test_weights_of_a_data_set_are_one_number_per_example(arrays):
    distiller = Supervised([network("one")])
    distiller.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"^sample_weight: must be one number per example, \[batch\], not \(4, 3\)$"):
        distiller.fit(slices((*arrays[:2], np.ones((EXAMPLES, 3)))), verbose=0)


def test_class_weights_need_labels_beside_the_images(arrays):
    distiller = Supervised([network("one")])
    distiller.compile("sgd", run_eagerly=True)
    data = slices({"images": arrays[0], "labels": arrays[1]})
    with pytest.raises(
        ValueError, match=r"^class_weight: needs batches \(images, labels\); of dicts, 'weight' says it$"
    ):
        distiller.fit(data, class_weight=CLASS_WEIGHT, verbose=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("balanced", r"must be a dict, such as {0: 2.0, 3: 0.5}, not balanced"),
        ({3: 2.0}, "3 is no class, the 3 classes are 0 to 2"),
        ({"cat": 2.0}, r"cat is no class"),
        ({0: -1.0}, r"that of class 0: must be a number in 0\.\..*, not -1"),
    ],
)
def test_class_weights_that_keras_would_pass_over_are_refused(arrays, given, said):
    distiller = Supervised([network("one")])
    distiller.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=rf"^class_weight: {said}"):
        distiller.fit(*arrays[:2], class_weight=given, verbose=0)
