"""The transfers that compare logits: their weights and switches, and five steps against float64 with a teacher."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses, transfers
from tfdistill.methods import Distillation, Supervised, add_transfers
from tfdistill.transfers import DIST, DKD, KD, MSE, TRANSFERS, KDLimit, LogitTransfer, SmoothL1, VirtualTeacher

ON_LOGITS = [name for name, made in TRANSFERS.items() if issubclass(made, LogitTransfer)]


def weight_of(transfer):
    return transfer.lesson(None).weights[transfer.name]


def test_the_weight_carries_the_factor():
    assert weight_of(KD(temperature=0.5, weight=2.0)) == 0.5
    assert weight_of(KD(temperature=0.5, weight=2.0, rescaled=True)) == 1.0
    assert weight_of(KD(temperature=3.0, weight=2.0, rescaled=True)) == 18.0
    assert weight_of(DIST(temperature=4.0, weight=0.5)) == 8.0
    for one in (KDLimit(weight=3.0), MSE(weight=3.0), SmoothL1(weight=3.0), VirtualTeacher(weight=3.0)):
        assert weight_of(one) == 3.0
    assert weight_of(DKD(temperature=2.0, ramp_epochs=0.0)) == 4.0


def test_the_weight_of_dkd_grows_from_the_first_epoch_by_equal_steps():
    grown = weight_of(DKD(temperature=2.0, ramp_epochs=20.0))
    found = [float(grown(tf.constant(epoch, tf.float32))) for epoch in (0, 1, 18, 19, 20, 300)]
    np.testing.assert_allclose(found, [0.2, 0.4, 3.8, 4.0, 4.0, 4.0], rtol=1e-6)
    falling = weight_of(DKD(temperature=1.0, ramp_epochs=2.0, weight=lambda epoch: 10.0 - epoch))
    assert [float(falling(tf.constant(epoch))) for epoch in (0.0, 1.0, 4.0)] == [5.0, 9.0, 6.0]


@pytest.mark.parametrize("name", ON_LOGITS)
def test_every_loss_on_logits_has_the_switch_that_standardizes_them(name):
    draw = np.random.default_rng(4)
    batch = {"labels": tf.constant([0, 2, 1, 4])}
    source, learner = (tf.constant(draw.normal(2, 3, (4, 5)), tf.float32) for _ in range(2))
    plain, switched = TRANSFERS[name](), TRANSFERS[name](standardized=True)

    def term(transfer, source, learner):
        return transfer.terms(batch, {"logits": learner}, {"logits": source}, None)[name]

    expected = plain.loss(batch, losses.standardized(source), losses.standardized(learner))
    np.testing.assert_array_equal(term(switched, source, learner), expected)
    np.testing.assert_allclose(term(switched, 5 * source - 2, 0.5 * learner + 3), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(term(plain, source, learner) - expected).max() > 1e-3


def test_every_argument_of_a_transfer_is_kept_under_its_name():
    """What is written of a transfer, such as in Keras' files, is read from its attributes."""
    for name in ON_LOGITS:
        made = TRANSFERS[name]()
        assert set(inspect.signature(TRANSFERS[name]).parameters) <= vars(made).keys(), name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: KDLimit(temperature="infinity"),
            "temperature: 'infinity' is none of infinite, zero; nearest: infinite",
        ),
        (lambda: MSE(reduction="max"), "reduction: 'max' is none of mean, sum; nearest: mean"),
        (lambda: DKD(beta=-1.0), "beta: must be a number in 0..1,000,000, not -1.0"),
        (lambda: VirtualTeacher(confidence=1.5), "confidence: must be a number in 0..1, not 1.5"),
        (
            lambda: Supervised([], label_weight=0.0),
            "label_weight: must be a number in 0..1,000,000 (0 excluded), not 0.0",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message


def test_a_virtual_teacher_needs_nobody_to_learn_from_and_does_not_learn_from_who_is_there(tiny):
    alone, peers = tiny.network("alone"), [tiny.network(name, seed=k) for k, name in enumerate(("one", "other"))]
    distillers = Supervised([alone], label_weight=0.9), Supervised(peers)
    for distiller in distillers:
        add_transfers(distiller, [VirtualTeacher(name="virtual")])
    assert distillers[0].phase.updates()[0].terms == {"cross_entropy": 0.9, "virtual": 0.1}
    taps = {peer.name: {"logits": tf.random.stateless_normal((6, 3), (k, 1))} for k, peer in enumerate(peers)}
    terms = distillers[1].phase.rounds[0].losses(tiny.batch(), taps)
    for name, own in taps.items():
        expected = losses.virtual_teacher_divergence(
            tiny.batch()["labels"], own["logits"], confidence=0.99, temperature=20.0
        )
        np.testing.assert_array_equal(terms[name]["virtual"], expected)
    with pytest.raises(ValueError, match=r"^transfers: alone has no teacher and no peer to learn from"):
        add_transfers(Supervised([tiny.network("alone")]), [VirtualTeacher(), transfers.KD()])


def test_several_teachers_are_a_mean_of_losses_and_an_ensemble_is_a_loss_to_the_mean(tiny):
    student, *teachers = (tiny.network(name, seed=k) for k, name in enumerate(("student", "one", "other")))
    draw = np.random.default_rng(5)
    own, one, other = (tf.constant(draw.normal(0, 2, (6, 3)), tf.float32) for _ in range(3))

    def terms(sources, taps):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(own)
            given = Distillation(student, sources, [KD(), MSE()], label_weight=0.0).phase.rounds[0]
            found = given.losses({}, {name: {"logits": one} for name, one in taps.items()})["student"]
        return found, {name: tape.gradient(value, own) for name, value in found.items()}

    several, moved = terms(teachers, {"student": own, "one": one, "other": other})
    joined, moved_by_joined = terms(teachers[:1], {"student": own, "one": (one + other) / 2})
    each = [losses.kl_divergence(source, own, 4.0) for source in (one, other)]
    np.testing.assert_allclose(several["kd"], np.mean(each, axis=0), rtol=1e-6)
    assert np.abs(moved["kd"] - moved_by_joined["kd"]).max() > 1e-3
    # By squared errors both teach the same, and only the value differs.
    np.testing.assert_allclose(moved["mse"], moved_by_joined["mse"], atol=1e-6)
    assert np.all(several["mse"] > joined["mse"] + 1e-3)


def log_softmax(logits):
    return logits - tf.reduce_logsumexp(logits, axis=1, keepdims=True)


def divergence(p_logarithms, q_logarithms):
    return tf.reduce_sum(tf.exp(p_logarithms) * (p_logarithms - q_logarithms), axis=1)


def kl(source, learner, temperature):
    return temperature**2 * divergence(log_softmax(source / temperature), log_softmax(learner / temperature))


def unit(logits):
    mean, deviation = tf.reduce_mean(logits, 1, keepdims=True), tf.math.reduce_std(logits, 1, keepdims=True)
    return (logits - mean) / (deviation * np.sqrt(3 / 2) + 1e-7)


def dkd(labels, source, learner, temperature, beta):
    """The labelled class is taken out of the array, not masked."""
    labelled = np.eye(3, dtype=bool)[labels.numpy()]
    parts = []
    for logits in (source, learner):
        logarithms = log_softmax(logits / temperature)
        rest = log_softmax(tf.reshape(logits[~labelled], (-1, 2)) / temperature)
        own = logarithms[labelled]
        parts.append((tf.stack([own, tf.math.log(1 - tf.exp(own))], axis=1), rest))
    (source_two, source_rest), (learner_two, learner_rest) = parts
    return temperature**2 * (divergence(source_two, learner_two) + beta * divergence(source_rest, learner_rest))


def dist(source, learner, temperature):
    def pearson(a, b, axis):
        a, b = a - tf.reduce_mean(a, axis, keepdims=True), b - tf.reduce_mean(b, axis, keepdims=True)
        return tf.reduce_sum(a * b, axis) / (tf.norm(a, axis=axis) * tf.norm(b, axis=axis) + 1e-8)

    p, q = (tf.nn.softmax(one / temperature) for one in (source, learner))
    return temperature**2 * (2 - pearson(p, q, 1) - tf.reduce_mean(pearson(p, q, 0)))


def smooth_l1(source, learner):
    size = tf.abs(learner - source)
    return tf.reduce_mean(tf.where(size < 1, size**2 / 2, size - 0.5), 1)


def preferred(source, learner):
    return tf.reduce_max(learner, 1) - tf.gather(learner, tf.argmax(source, 1), batch_dims=1)


def virtual(labels, learner):
    u = np.where(np.eye(3)[labels.numpy()] > 0, 0.99, 0.005)
    return divergence(log_softmax(tf.constant(u) / 20), log_softmax(learner))


# Transfers, the labels' weight, and the whole of the terms in float64 as (labels, source, learner) -> [batch].
TRAJECTORIES = {
    "kd": ([KD(temperature=4.0, weight=0.9)], 0.1, lambda y, t, s: 0.9 * kl(t, s, 4.0)),
    "hot": ([KD(temperature=1000.0)], 0.0, lambda y, t, s: kl(t, s, 1000.0)),
    "cold": (
        [KD(temperature=0.01, rescaled=True)],
        0.0,
        lambda y, t, s: kl(t, s, 0.01) / 0.01,
    ),
    "limits": (
        [KDLimit(), KDLimit(temperature="zero", weight=0.5, name="cold")],
        0.0,
        lambda y, t, s: tf.math.reduce_variance(s - t, 1) / 2 + 0.5 * preferred(t, s),
    ),
    "errors": (
        [MSE(weight=0.3), MSE(reduction="sum", weight=0.1, name="sum"), SmoothL1()],
        0.0,
        lambda y, t, s: 0.3 * tf.reduce_mean((s - t) ** 2, 1) + 0.1 * tf.reduce_sum((s - t) ** 2, 1) + smooth_l1(t, s),
    ),
    "dkd": (
        [DKD(temperature=2.0, beta=2.0, ramp_epochs=4.0)],
        1.0,
        lambda y, t, s: dkd(y, t, s, 2.0, 2.0) / 4,
    ),
    "dist": ([DIST(temperature=2.0)], 1.0, lambda y, t, s: dist(t, s, 2.0)),
    "virtual": ([VirtualTeacher()], 0.9, lambda y, t, s: 0.1 * virtual(y, s)),
    "standardized": (
        [KD(temperature=2.0, standardized=True)],
        0.5,
        lambda y, t, s: kl(unit(t), unit(s), 2.0),
    ),
}


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_five_steps_are_those_of_a_transcription(tiny, name):
    given, label_weight, formula = TRAJECTORIES[name]
    student, teacher = tiny.network("student", seed=1), tiny.network("teacher", channels=6, seed=2)
    batch, weights, sgd = tiny.batch(), tiny.weights_of(student), tiny.NesterovSGD()
    # What a teacher says is not in question here; that it stays as it is, is.
    taught, before = teacher(batch["images"], training=False)["logits"], tiny.weights_of(teacher)
    distiller = Distillation(student, teacher, given, label_weight=label_weight)
    logs = tiny.train(distiller, 5, batch)
    totals = []
    for _ in range(5):
        with tf.GradientTape() as tape:
            _, logits = tiny.run_network(weights, batch["images"], 4)
            soft = tf.reduce_mean(formula(batch["labels"], tf.cast(taught, tf.float64), logits))
            total = label_weight * tiny.cross_entropy(batch["labels"], logits) + soft
        moved = tiny.trainable(weights)
        sgd.step(tape.gradient(total, moved), moved)
        totals.append(float(total))
    tiny.assert_weights(student, weights)
    tiny.assert_weights(teacher, before, atol=0)
    # At T = 1,000 float32 keeps few digits of the value, though enough of the gradient.
    np.testing.assert_allclose(logs["student/loss"], np.mean(totals), rtol=0.5 if name == "hot" else 1e-4)
