"""Batches that replicas cannot share evenly: every example counts once, whoever has it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine import batches
from tfdistill.methods import Supervised
from tfdistill.networks.layers import BatchNormalization
from tfdistill.optimizers import OptimizerSettings

SETTINGS = {"networks": OptimizerSettings(learning_rate=0.1, momentum=0.0)}


def network(name, seed, norm):
    images = keras.Input((4, 4, 1), name="images")
    draw = keras.initializers.GlorotUniform(seed)
    x = keras.layers.Conv2D(3, 3, kernel_initializer=draw)(images)
    x = keras.layers.ReLU()(BatchNormalization()(x) if norm else x)
    logits = keras.layers.Dense(3, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(images, {"logits": logits}, name=name)


def batched(examples):
    """Batches of five, the last of what is left."""
    draw = np.random.default_rng(examples)
    images = draw.normal(size=(examples, 4, 4, 1)).astype("float32")
    labels = draw.integers(0, 3, examples).astype("int32")
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)


def trained(strategy):
    """What comes of a batch of one example, then of batches of five and one: shares of 1+0, then 3+2 and 1+0."""
    with strategy.scope():
        networks = [network("plain", 1, norm=False), network("normed", 2, norm=True)]
        distiller = Supervised(networks)
    distiller.compile(SETTINGS, xla="off")
    first = distiller.fit(batched(1), shuffle=False, verbose=0).history
    of_one = {one.name: [value.numpy() for value in one.trainable_variables] for one in networks}
    logs = distiller.fit(batched(6), shuffle=False, verbose=0).history
    scores, tables = distiller.evaluate_and_count(batched(6), verbose=0)
    return first, of_one, tables, logs, scores, {one.name: one.get_weights() for one in networks}


@pytest.fixture(scope="module")
def one_device():
    return trained(tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def replicas(two_replicas):
    return trained(two_replicas)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_replica_without_examples_contributes_nothing(one_device, replicas):
    (first, of_one, *_), (first_shared, of_one_shared, *_) = one_device, replicas
    for name in ("plain", "normed"):
        assert_same(of_one_shared[name], of_one[name])
        for term in ("loss", "accuracy"):
            assert first_shared[f"{name}/{term}"] == pytest.approx(first[f"{name}/{term}"], rel=1e-5)


def test_uneven_shares_give_the_weights_and_the_logs_of_one_device(one_device, replicas):
    *_, logs, scores, weights = one_device
    *_, logs_shared, scores_shared, weights_shared = replicas
    assert_same(weights_shared["plain"], weights["plain"])
    assert logs_shared["plain/loss"] == pytest.approx(logs["plain/loss"], rel=1e-5)
    for metric in ("accuracy", "top5", "cross_entropy"):
        assert scores_shared[f"plain/{metric}"] == pytest.approx(scores[f"plain/{metric}"], rel=1e-5)


def test_the_stand_in_leaves_running_statistics_finite_and_alone(one_device, replicas):
    *_, weights = replicas
    assert all(np.all(np.isfinite(value)) for value in weights["normed"])
    variable = keras.Variable([1.0, 2.0])
    for count, expected in ((0, [1.0, 2.0]), (3, [5.0, 5.0])):
        variable.assign([1.0, 2.0])
        with batches.Share({}, tf.constant(5.0), tf.constant(count)).keeping([variable]):
            variable.assign([5.0, 5.0])
        np.testing.assert_array_equal(variable.numpy(), expected)


def test_gradients_of_a_stand_in_are_zero_even_where_they_are_no_numbers():
    share = batches.Share({}, tf.constant(5.0), tf.constant(0))
    np.testing.assert_array_equal(share.gradients([tf.constant([np.nan, 1.0])])[0], [0.0, 0.0])
    assert share.values(tf.constant([3.0])).shape == (0,)


def test_an_empty_batch_is_refused():
    images, labels = np.zeros((0, 4, 4, 1), "float32"), np.zeros(0, "int32")
    with pytest.raises(ValueError, match=r"^data: a batch holds no example"):
        batches.share_of({"images": images, "labels": labels}, 1)
    distiller = Supervised([network("plain", 1, norm=False)])
    distiller.compile(SETTINGS, xla="off")
    empty = batched(6).map(lambda images, labels: (images[:0], labels[:0]))
    with pytest.raises(ValueError, match=r"^data: a batch holds no example; leave empty batches out$"):
        distiller.fit(empty, verbose=0, shuffle=False)


def test_tables_count_every_example_once_and_agree_with_the_scores(one_device, replicas):
    for found in (one_device, replicas):
        _, _, tables, _, scores, _ = found
        assert list(tables) == ["plain/confusion", "normed/confusion", "ensemble/confusion"]
        for name in ("plain", "normed", "ensemble"):
            table = tables[f"{name}/confusion"]
            assert table.sum() == 6 and np.trace(table) / 6 == pytest.approx(scores[f"{name}/accuracy"])
    np.testing.assert_array_equal(one_device[2]["plain/confusion"], replicas[2]["plain/confusion"])
