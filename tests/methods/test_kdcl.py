"""Collaborative learning: its teachers by hand and by search, and training in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import KDCL, EnsembleKD
from tfdistill.methods.kdcl import best_combination, lowest_cross_entropy, smallest_logits

STEPS = 5


def cross_entropies(logits, labels):
    """Mean over the batch of `[..., batch, classes]` logits against one-hot or soft labels, in NumPy."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(labels * log_p).sum(-1).mean(-1)


def teacher_min_logit(logits, labels):
    own = (logits * labels).sum(-1, keepdims=True)
    return (logits - own).min(0)


def teacher_naive(logits, labels):
    return logits[cross_entropies(logits, labels).argmin()]


def teacher_linear(logits, labels):
    """Golden-section search over the first share, for two networks."""
    first, second = logits
    low, high, ratio = 0.0, 1.0, (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        at_left, at_right = (cross_entropies(a * first + (1 - a) * second, labels) for a in (left, right))
        low, high = (low, right) if at_left < at_right else (left, high)
    return low * first + (1 - low) * second


TEACHERS = {"min_logit": teacher_min_logit, "naive": teacher_naive, "linear": teacher_linear}


def transcription(tiny, weights, batch, *, target, weight, temperature):
    """All networks from one forward pass; returns each network's mean distillation term."""
    optimizers = [tiny.NesterovSGD() for _ in weights]
    terms = {f"{k}/distillation": [] for k in range(len(weights))}
    labels = np.eye(3)[batch["labels"]]
    for _ in range(STEPS):
        with tf.GradientTape(persistent=True) as tape:
            logits = [tiny.run_network(one, batch["images"], 4)[1] for one in weights]
            chosen = TEACHERS[target](np.stack([one.numpy() for one in logits]), labels)
            teacher = tiny.log_softmax(chosen / temperature)
            losses = []
            for k, own in enumerate(logits):
                gap = tf.exp(teacher) * (teacher - tiny.log_softmax(own / temperature))
                distillation = tf.reduce_mean(tf.reduce_sum(gap, axis=1))
                losses.append(tiny.cross_entropy(batch["labels"], own) + weight * temperature**2 * distillation)
                terms[f"{k}/distillation"].append(float(distillation))
        gradients = [tape.gradient(loss, tiny.trainable(one)) for loss, one in zip(losses, weights, strict=True)]
        for optimizer, gradient, one in zip(optimizers, gradients, weights, strict=True):
            optimizer.step(gradient, tiny.trainable(one))
    return {name: np.mean(values) for name, values in terms.items()}


@pytest.mark.parametrize(
    ("target", "peers", "weight", "temperature"),
    [("min_logit", 3, 1.0, 2.0), ("naive", 2, 0.6, 2.0), ("linear", 2, 1.0, 1.5)],
)
def test_five_steps_are_the_equations(tiny, target, peers, weight, temperature):
    networks = [tiny.network(str(k), channels=3 + k, seed=k) for k in range(peers)]
    weights = [tiny.weights_of(network) for network in networks]
    chosen = {"target": target, "weight": weight, "temperature": temperature}
    expected = transcription(tiny, weights, tiny.batch(), **chosen)
    logs = tiny.train(KDCL(networks, **chosen), STEPS, tiny.batch())
    for network, one in zip(networks, weights, strict=True):
        tiny.assert_weights(network, one)
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-3, atol=1e-6, err_msg=name)
    assert max(expected.values()) > 1e-3


def terms_of(distiller, tiny):
    return distiller.phase.rounds[0].losses(tiny.batch(), distiller(tiny.batch()["images"]))


def test_the_mean_as_target_is_ensemble_kd(tiny):
    networks = [tiny.network(str(k), channels=3 + k, seed=k) for k in range(3)]
    collaborative = KDCL(networks, target="mean", weight=0.7, temperature=3.0)
    ensemble = EnsembleKD(networks, weight=0.7, temperature=3.0)
    found, expected = terms_of(collaborative, tiny), terms_of(ensemble, tiny)
    for name, terms in expected.items():
        assert terms.keys() == found[name].keys()
        for term, value in terms.items():
            np.testing.assert_allclose(found[name][term], value, rtol=1e-5, atol=1e-7)
    assert [one.terms for one in collaborative.phase.updates()] == [one.terms for one in ensemble.phase.updates()]


@pytest.mark.parametrize("target", ["min_logit", "naive", "linear", "mean"])
def test_identical_networks_have_nothing_to_teach(tiny, target):
    terms = terms_of(KDCL([tiny.network(name, seed=3) for name in ("one", "other")], target=target), tiny)
    for name in ("one", "other"):
        np.testing.assert_allclose(terms[name]["distillation"], np.zeros(6), atol=1e-6)


@pytest.mark.parametrize("target", ["min_logit", "naive", "linear", "mean"])
def test_the_target_is_a_constant(tiny, target):
    distiller = KDCL([tiny.network("0"), tiny.network("1")], target=target)
    logits = {"0": tf.constant([[1.0, 2.0, 3.0]]), "1": tf.constant([[2.0, 0.0, 1.0]])}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        taps = {name: {"logits": value} for name, value in logits.items()}
        terms = distiller.phase.rounds[0].losses({"labels": tf.constant([0])}, taps)
        one = terms["0"]["distillation"] + terms["0"]["cross_entropy"]
    gradients = tape.gradient(one, logits)
    assert gradients["1"] is None
    assert np.abs(gradients["0"]).max() > 1e-3


def test_min_logit_by_hand():
    logits = tf.constant([[[1.0, 2.0, 4.0], [0.0, 5.0, 1.0]], [[3.0, 1.0, 2.0], [2.0, 3.0, 6.0]]])
    # Less the labelled class: [-3 -2 0] and [1 -1 0]; then [-5 0 -4] and [-1 0 3].
    expected = [[-3.0, -2.0, 0.0], [-5.0, 0.0, -4.0]]
    np.testing.assert_array_equal(smallest_logits(logits, tf.constant([2, 1])), expected)
    soft = tf.constant([[0.3, 0.1, 0.6], [0.0, 0.9, 0.1]])
    np.testing.assert_array_equal(smallest_logits(logits, soft), expected)


def test_naive_takes_one_network_for_the_whole_batch():
    """The second is better on the batch, though the first is better on its first example."""
    logits = tf.constant([[[4.0, 0.0], [4.0, 0.0]], [[1.0, 0.0], [0.0, 3.0]]])
    np.testing.assert_array_equal(lowest_cross_entropy(logits, tf.constant([0, 1])), logits[1])
    soft = tf.constant([[1.0, 0.0], [0.9, 0.1]])
    np.testing.assert_array_equal(lowest_cross_entropy(logits, soft), logits[0])


def draw(seed, networks, scale, soft=False):
    random = np.random.default_rng(seed)
    labels = random.dirichlet(np.full(5, 0.3), 16) if soft else np.eye(5)[random.integers(0, 5, 16)]
    # Some know the labels better than others.
    knows = random.uniform(0, 1, (networks, 1, 1))
    logits = scale * (random.normal(size=(networks, 16, 5)) + knows * labels)
    return logits.astype("float32"), labels.astype("float32")


@pytest.mark.parametrize(("networks", "scale", "soft"), [*itertools.product((2, 3), (0.1, 2.0, 20.0), (False, True))])
def test_linear_is_the_best_combination(networks, scale, soft):
    for seed in range(5):
        logits, labels = draw(seed, networks, scale, soft)
        given = labels if soft else labels.argmax(1).astype("int32")
        found = cross_entropies(best_combination(tf.constant(logits), tf.constant(given)).numpy(), labels)
        assert found <= cross_entropies(logits, labels).min() + 1e-6
        assert found <= cross_entropies(logits.mean(0), labels) + 1e-6
        grid = [np.array(one) / 20 for one in itertools.product(range(21), repeat=networks) if sum(one) == 20]
        searched = min(cross_entropies(np.tensordot(one, logits, 1), labels) for one in grid)
        assert found <= searched * 1.001 + 1e-6


def test_linear_is_a_combination_and_takes_one_network_where_that_is_best():
    logits, labels = draw(1, 2, 2.0)
    found = best_combination(tf.constant(logits), tf.constant(labels)).numpy()
    shares = ((found - logits[1]) / (logits[0] - logits[1])).ravel()
    np.testing.assert_allclose(shares, np.full(shares.size, np.median(shares)), atol=1e-2)
    assert 0.01 < np.median(shares) < 0.99
    sure = np.stack([50 * labels, -50 * labels])
    np.testing.assert_array_equal(best_combination(tf.constant(sure), tf.constant(labels)), sure[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -1.0}, "temperature: must be a number in 0.001..1,000, not -1.0"),
        ({"target": "minlogit"}, "target: 'minlogit' is none of min_logit, naive, linear, mean; nearest: min_logit"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        KDCL([tiny.network("one"), tiny.network("two")], **arguments)
    assert str(error.value) == message


def test_one_network_has_no_peer(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        KDCL([tiny.network("one")])
