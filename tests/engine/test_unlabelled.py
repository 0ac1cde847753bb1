"""Batches with unlabelled examples: the labels' terms are means over the labelled ones, the others over all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.term_checks import SilentTermError, check_terms
from tfdistill.methods import KDCL, Distillation, Supervised
from tfdistill.transfers import DKD, KD, LogitTransfer, VirtualTeacher

RATE, CLASSES = 0.5, 3
# Of two replicas the first gets the first three rows of five, so one has one label and the other two, or none.
LABELLED = np.float32([[1, 0, 0, 1, 1], [0, 1, 1, 0, 0]])


def network(name, seed):
    images = keras.Input((4,), name="images")
    draw = keras.initializers.GlorotUniform(seed)
    return keras.Model(
        images, {"logits": keras.layers.Dense(CLASSES, use_bias=False, kernel_initializer=draw)(images)}, name=name
    )


def arrays():
    draw = np.random.default_rng(3)
    images = draw.normal(size=(*LABELLED.shape, 4)).astype("float32")
    return {"images": images, "labels": draw.integers(0, CLASSES, LABELLED.shape), "labelled": LABELLED}


def data(**others):
    """Two batches; without static size, as a data set's last one may be."""
    whole = {name: value.reshape(-1, *value.shape[2:]) for name, value in {**arrays(), **others}.items()}
    return tf.data.Dataset.from_tensor_slices(whole).batch(LABELLED.shape[1])


def trained(*transfers, xla="off", eagerly=True, **others):
    distiller = Distillation(network("student", 1), network("teacher", 2), transfers, label_weight=0.7)
    distiller.compile(keras.optimizers.SGD(RATE), xla=xla, run_eagerly=eagerly)
    history = distiller.fit(data(**others), shuffle=False, verbose=0).history
    return distiller.networks[0].get_weights()[0], {name: values[0] for name, values in history.items()}


@pytest.fixture(scope="module")
def taught():
    return trained(KD(temperature=2.0, weight=0.5), eagerly=False)


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def test_the_labels_teach_on_labelled_examples_and_the_teacher_on_all(taught):
    weights, logs = taught
    student, teacher = (network("any", seed).get_weights()[0].astype("float64") for seed in (1, 2))
    hits, entropies, divergences = [], [], []
    for images, labels, marks in zip(*arrays().values(), strict=True):
        of_label, own, source = np.eye(CLASSES)[labels], images @ student, softmax(images @ teacher / 2.0)
        known, soft = marks == 1, softmax(own / 2.0)
        entropies.append(-np.log((softmax(own) * of_label).sum(1))[known].mean())
        divergences.append((source * np.log(source / soft)).sum(1).mean())
        hits += (own.argmax(1) == labels)[known].tolist()
        of_labels = images[known].T @ (softmax(own) - of_label)[known] / known.sum()
        of_teacher = images.T @ (2.0 * (soft - source)) / len(images)
        student = student - RATE * (0.7 * of_labels + 0.5 * of_teacher)
    np.testing.assert_allclose(weights, student, atol=1e-6)
    assert logs["student/cross_entropy"] == pytest.approx(np.mean(entropies), rel=1e-5) == logs["loss"]
    assert logs["student/kd"] == pytest.approx(np.mean(divergences), rel=1e-4)
    assert logs["student/accuracy"] == pytest.approx(np.mean(hits))


def test_where_all_have_labels_no_bit_changes_and_where_none_has_the_teacher_teaches_alone():
    """And with labels that are distributions, of which the missing ones are no numbers."""
    marked, logs = trained(KD(), labelled=np.ones_like(LABELLED))
    given = arrays()
    without = Distillation(network("student", 1), network("teacher", 2), [KD()], label_weight=0.7)
    without.compile(keras.optimizers.SGD(RATE), run_eagerly=True)
    plain = data().map(lambda batch: (batch["images"], batch["labels"]))
    expected = without.fit(plain, shuffle=False, verbose=0).history
    assert np.array_equal(marked, without.networks[0].get_weights()[0])
    assert logs == {name: values[0] for name, values in expected.items()}
    nothing = np.full((*given["labels"].shape, CLASSES), np.nan, "float32")
    _, logs = trained(KD(), labels=nothing, labelled=np.zeros_like(LABELLED))
    assert logs["student/cross_entropy"] == 0 and logs["student/loss"] == pytest.approx(16 * logs["student/kd"])


def test_what_stands_for_a_missing_label_moves_no_bit():
    transfers = [KD(), DKD(), VirtualTeacher()]
    labels, found = arrays()["labels"], []
    for junk in (-1, 2, 99):
        found.append(trained(*transfers, labels=np.where(LABELLED == 1, labels, junk)))
    for weights, logs in found[1:]:
        assert np.array_equal(weights, found[0][0]) and logs == found[0][1]
    wrong = np.where(LABELLED == 1, labels, -1)
    wrong[1, 2] = 7
    with pytest.raises(ValueError, match=r"^labels: 7 at example 2 of the batch of step 2 is no class"):
        trained(*transfers, labels=wrong)


def test_transfers_that_read_labels_teach_what_the_labelled_examples_alone_would():
    transfers = [DKD(), VirtualTeacher()]
    first = {name: value[:1] for name, value in arrays().items()}
    known = first["labelled"] == 1
    weights, logs = trained(*transfers, **first)
    expected, alone = trained(*transfers, **{name: value[known][None] for name, value in first.items()})
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert logs == pytest.approx(alone, rel=1e-5) and alone["student/dkd"] > 0


def test_two_replicas_equal_one_whoever_has_the_labels(taught, two_replicas):
    """Under XLA, too."""
    with two_replicas.scope():
        weights, logs = trained(KD(temperature=2.0, weight=0.5), xla="on", eagerly=False)
    np.testing.assert_allclose(weights, taught[0], atol=1e-6)
    for name, value in taught[1].items():
        assert logs[name] == pytest.approx(value, rel=1e-5), name


def test_scores_are_those_of_labelled_examples():
    distiller = Supervised([network("student", 1)])
    distiller.compile("sgd", run_eagerly=True)
    given = {name: value.reshape(-1, *value.shape[2:]) for name, value in arrays().items()}
    known = given["labelled"] == 1
    junk = data(labels=np.where(LABELLED == 1, arrays()["labels"], -1))
    marked = distiller.evaluate(junk, return_dict=True, verbose=0)
    alone = distiller.evaluate(given["images"][known], given["labels"][known], return_dict=True, verbose=0)
    assert marked == pytest.approx(alone, rel=1e-5)


class Reader(LogitTransfer):
    """Reads labels and does not say so."""

    paper = "made up"

    def loss(self, batch, source, learner):
        return learner[:, 0] * tf.cast(batch["labels"], tf.float32)


def test_who_would_read_every_label_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^labels: some examples of the batch have none, and a term reads them all"):
        trained(Reader("reader", 1.0, standardized=False))
    kdcl = KDCL([network("one", 1), network("two", 2)])
    kdcl.compile("sgd")
    with pytest.raises(ValueError, match=r"^target: must be 'mean' for batches with unlabelled examples"):
        kdcl.fit(data(), verbose=0)
    KDCL([network("one", 1), network("two", 2)], target="mean").require_unlabelled()
    with pytest.raises(ValueError, match=r"^labelled: must be 1 or 0 for each example, \[batch\], not float32"):
        trained(KD(), labelled=np.stack([LABELLED, LABELLED], axis=2))


def test_unlabelled_examples_that_teach_nothing_are_refused_before_the_first_step():
    def made(*transfers):
        distiller = Distillation(network("student", 1), network("teacher", 2), transfers)
        distiller.compile("sgd")
        return distiller

    said = r"^unlabelled examples teach nothing: every term needs labels \(cross_entropy, dkd\); leave them out"
    with pytest.raises(SilentTermError, match=said):
        check_terms(made(DKD()), data())
    check_terms(made(DKD(), KD()), data())
    check_terms(made(DKD()), data(labelled=np.ones_like(LABELLED)))
