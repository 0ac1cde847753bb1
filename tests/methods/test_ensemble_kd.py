"""Distillation from the mean of the networks' own logits, against its equation in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import EnsembleKD

STEPS = 5


def transcription(tiny, weights, batch, *, weight, temperature):
    """All networks from one forward pass; returns each network's mean loss terms over the steps."""
    optimizers = [tiny.NesterovSGD() for _ in weights]
    terms = {f"{k}/{name}": [] for k in range(len(weights)) for name in ("cross_entropy", "distillation")}
    for _ in range(STEPS):
        with tf.GradientTape(persistent=True) as tape:
            logits = [tiny.run_network(one, batch["images"], 4)[1] for one in weights]
            # A constant by construction: NumPy knows no gradient.
            teacher = tiny.log_softmax(np.mean([one.numpy() for one in logits], axis=0) / temperature)
            losses = []
            for k, own in enumerate(logits):
                gap = tf.exp(teacher) * (teacher - tiny.log_softmax(own / temperature))
                distillation = tf.reduce_mean(tf.reduce_sum(gap, axis=1))
                supervised = tiny.cross_entropy(batch["labels"], own)
                losses.append(supervised + weight * temperature**2 * distillation)
                terms[f"{k}/cross_entropy"].append(float(supervised))
                terms[f"{k}/distillation"].append(float(distillation))
        gradients = [tape.gradient(loss, tiny.trainable(one)) for loss, one in zip(losses, weights, strict=True)]
        for optimizer, gradient, one in zip(optimizers, gradients, weights, strict=True):
            optimizer.step(gradient, tiny.trainable(one))
    return {name: np.mean(values) for name, values in terms.items()}


@pytest.mark.parametrize(("peers", "weight", "temperature"), [(2, 1.0, 3.0), (3, 0.6, 1.5)])
def test_five_steps_are_the_equation(tiny, peers, weight, temperature):
    networks = [tiny.network(str(k), channels=3 + k, seed=k) for k in range(peers)]
    weights = [tiny.weights_of(network) for network in networks]
    expected = transcription(tiny, weights, tiny.batch(), weight=weight, temperature=temperature)
    logs = tiny.train(EnsembleKD(networks, weight=weight, temperature=temperature), STEPS, tiny.batch())
    for network, one in zip(networks, weights, strict=True):
        tiny.assert_weights(network, one)
    tiny.assert_terms(logs, expected)
    for k in range(peers):
        total = expected[f"{k}/cross_entropy"] + weight * temperature**2 * expected[f"{k}/distillation"]
        np.testing.assert_allclose(logs[f"{k}/loss"], total, rtol=1e-4)


def test_the_target_is_a_constant_for_the_learner_too(tiny):
    """The gradient with respect to the learner's logits is `p_k(T) - p_e(T)` over T, and no more."""
    distiller = EnsembleKD([tiny.network("0"), tiny.network("1")], temperature=3.0)
    logits = [tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[2.0, 0.0, 1.0]])]
    batch = {"labels": tf.constant([2])}
    with tf.GradientTape() as tape:
        tape.watch(logits[0])
        taps = {str(k): {"logits": one} for k, one in enumerate(logits)}
        term = distiller.phase.rounds[0].losses(batch, taps)["0"]["distillation"]
    softened = [np.exp(one) / np.exp(one).sum() for one in (np.array([1, 2, 3]) / 3, np.array([1.5, 1, 2]) / 3)]
    np.testing.assert_allclose(tape.gradient(term, logits[0])[0], (softened[0] - softened[1]) / 3, rtol=1e-5)


def test_identical_networks_have_nothing_to_teach(tiny):
    distiller = EnsembleKD([tiny.network(name, seed=3) for name in ("one", "other")])
    terms = distiller.phase.rounds[0].losses(tiny.batch(), distiller(tiny.batch()["images"]))
    for name in ("one", "other"):
        np.testing.assert_allclose(terms[name]["distillation"], np.zeros(6), atol=1e-6)
        assert np.all(terms[name]["cross_entropy"] > 0)


def test_one_round_in_which_each_update_owns_its_network_and_carries_the_temperature_squared(tiny):
    networks = [tiny.network("one"), tiny.network("two")]
    (this_round,) = EnsembleKD(networks, weight=0.5, temperature=4.0).phase.rounds
    weights = {"cross_entropy": 1.0, "distillation": 8.0}
    assert [(update.name, update.models, update.terms) for update in this_round.updates] == [
        (network.name, (network,), weights) for network in networks
    ]


def test_wrong_arguments_are_refused_in_one_line(tiny):
    with pytest.raises(ValueError, match=r"^temperature: must be a number in 0.001..1,000, not 0\.0$"):
        EnsembleKD([tiny.network("one"), tiny.network("two")], temperature=0.0)
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        EnsembleKD([tiny.network("one")])
