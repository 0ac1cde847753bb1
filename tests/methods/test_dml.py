"""Deep mutual learning against its equations, written out in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import DML

STEPS = 5


def transcription(tiny, weights, batch, *, order, weight, temperature, steps=STEPS):
    """Algorithm 1 of the paper; returns each network's mean loss terms over the steps."""
    optimizers = [tiny.NesterovSGD() for _ in weights]
    terms = {f"{k}/{name}": [] for k in range(len(weights)) for name in ("cross_entropy", "mutual")}

    def loss_of(k, logits):
        supervised = tiny.cross_entropy(batch["labels"], logits[k])
        divergences = []
        for j in range(len(logits)):
            if j != k:
                log_p = tiny.log_softmax(tf.stop_gradient(logits[j]) / temperature)
                log_q = tiny.log_softmax(logits[k] / temperature)
                divergences.append(tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1)))
        mutual = sum(divergences) / len(divergences)
        terms[f"{k}/cross_entropy"].append(float(supervised))
        terms[f"{k}/mutual"].append(float(mutual))
        return supervised + weight * temperature**2 * mutual

    def forward():
        return [tiny.run_network(one, batch["images"], 4)[1] for one in weights]

    everyone = range(len(weights))
    for _ in range(steps):
        for turn in [[k] for k in everyone] if order == "alternating" else [everyone]:
            with tf.GradientTape(persistent=True) as tape:
                logits = forward()
                losses = {k: loss_of(k, logits) for k in turn}
            gradients = {k: tape.gradient(losses[k], tiny.trainable(weights[k])) for k in turn}
            for k in turn:
                optimizers[k].step(gradients[k], tiny.trainable(weights[k]))
    return {name: np.mean(values) for name, values in terms.items()}


@pytest.mark.parametrize(
    ("order", "peers", "weight", "temperature"),
    [("alternating", 2, 1.0, 1.0), ("joint", 2, 0.7, 3.0), ("alternating", 3, 1.0, 2.0)],
)
def test_five_steps_are_the_equations(tiny, order, peers, weight, temperature):
    networks = [tiny.network(str(k), channels=3 + k, seed=k) for k in range(peers)]
    weights = [tiny.weights_of(network) for network in networks]
    expected = transcription(tiny, weights, tiny.batch(), order=order, weight=weight, temperature=temperature)
    distiller = DML(networks, weight=weight, temperature=temperature, update=order)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for network, one in zip(networks, weights, strict=True):
        tiny.assert_weights(network, one)
    tiny.assert_terms(logs, expected)
    for k in range(peers):
        total = expected[f"{k}/cross_entropy"] + weight * temperature**2 * expected[f"{k}/mutual"]
        np.testing.assert_allclose(logs[f"{k}/loss"], total, rtol=1e-4)


def test_in_turn_the_second_network_learns_from_the_first_ones_new_weights(tiny):
    """The orders give the first network the same step and the second another one."""
    weights = {}
    for order in ("alternating", "joint"):
        weights[order] = [tiny.weights_of(tiny.network(str(k), seed=k)) for k in range(2)]
        transcription(tiny, weights[order], tiny.batch(), order=order, weight=1.0, temperature=1.0, steps=1)
    networks = [tiny.network(str(k), seed=k) for k in range(2)]
    tiny.train(DML(networks), 1, tiny.batch())
    tiny.assert_weights(networks[1], weights["alternating"][1], atol=1e-6)
    first, second = (
        np.abs(weights["alternating"][k]["conv/kernel"].numpy() - weights["joint"][k]["conv/kernel"].numpy()).max()
        for k in range(2)
    )
    assert first == 0
    assert second > 1e-5


def terms_of(distiller, tiny, learner=0):
    taps = distiller(tiny.batch()["images"])
    this_round = distiller.phase.rounds[learner]
    return this_round.losses(tiny.batch(), taps)[this_round.updates[0].name]


def test_identical_networks_have_nothing_to_teach(tiny):
    same = [tiny.network("one", seed=3), tiny.network("other", seed=3)]
    terms = terms_of(DML(same), tiny)
    np.testing.assert_allclose(terms["mutual"], np.zeros(6), atol=1e-6)
    assert np.all(terms["cross_entropy"] > 0)


def test_the_mutual_term_of_three_is_the_mean_over_the_peers(tiny):
    def mutual(networks):
        return terms_of(DML(networks), tiny)["mutual"].numpy()

    one, two, three = (tiny.network(name, seed=seed) for seed, name in enumerate(("one", "two", "three")))
    expected = (mutual([one, two]) + mutual([one, three])) / 2
    np.testing.assert_allclose(mutual([one, two, three]), expected, rtol=1e-5)


def test_the_weight_carries_the_temperature_squared(tiny):
    networks = [tiny.network("one"), tiny.network("two")]
    update = DML(networks, weight=0.5, temperature=4.0).phase.updates()[1]
    assert (update.name, update.models, update.terms) == ("two", (networks[1],), {"cross_entropy": 1.0, "mutual": 8.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"update": "joined"}, "update: 'joined' is none of alternating, joint; nearest: joint"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        DML([tiny.network("one"), tiny.network("two")], **arguments)
    assert str(error.value) == message


def test_one_network_has_no_peer(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        DML([tiny.network("one")])
