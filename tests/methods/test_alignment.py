"""Direct alignment of feature maps against its equation, written out in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import DML, Alignment

STEPS = 5
# Channels and pooling of each network, the size its map is compared at with its source's; see `networks_of`.
PAIR = {"channels": (4, 4), "pooling": (1, 1), "sizes": (4, 4)}
CYCLE = {"channels": (6, 4, 4), "pooling": (1, 2, 1), "sizes": (4, 2, 2)}


def networks_of(tiny, case):
    shapes = zip(case["channels"], case["pooling"], strict=True)
    return [tiny.network(str(k), channels=one, pooling=pooling, seed=k) for k, (one, pooling) in enumerate(shapes)]


def transcription(tiny, case, weights, transfers, batch, *, order, weight, logit_weight, temperature):
    """Network k learns from the one before it; `transfers`: weights of transfer layers by k, where there is one."""
    optimizers = [tiny.NesterovSGD() for _ in weights]
    seen = {}
    for _ in range(STEPS):
        with tf.GradientTape(persistent=True) as tape:
            outputs = [
                tiny.run_network(one, batch["images"], 4 // pooling)
                for one, pooling in zip(weights, case["pooling"], strict=True)
            ]
            totals = []
            for k, (maps, logits) in enumerate(outputs):
                peer_maps, peer_logits = (tf.stop_gradient(one) for one in outputs[k - 1])
                own, peer = (tiny.mean_pool(one, case["sizes"][k]) for one in (maps, peer_maps))
                if k in transfers:
                    own = tiny.convolve(transfers[k], "conv", own)
                    own = tf.nn.relu(tiny.batch_norm(transfers[k], "transfer_norm", own))
                log_p, log_q = (tiny.log_softmax(one / temperature) for one in (peer_logits, logits))
                terms = {
                    "cross_entropy": tiny.cross_entropy(batch["labels"], logits),
                    "distance": tf.reduce_mean(tf.abs(own - peer) ** order),
                    "mutual": tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1)),
                }
                scales = (1.0, weight, logit_weight * temperature**2)
                totals.append(sum(scale * one for scale, one in zip(scales, terms.values(), strict=True)))
                for name, value in terms.items():
                    seen.setdefault(f"{k}/{name}", []).append(float(value))
        owned = [tiny.trainable(one, transfers.get(k, {})) for k, one in enumerate(weights)]
        gradients = [tape.gradient(total, variables) for total, variables in zip(totals, owned, strict=True)]
        for optimizer, gradient, variables in zip(optimizers, gradients, owned, strict=True):
            optimizer.step(gradient, variables)
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(
    ("case", "distance", "weight", "logit_weight", "temperature"),
    [(PAIR, "l1", 1.0, 0.0, 3.0), (CYCLE, "l2", 0.7, 0.5, 2.0)],
    ids=["pair_l1", "cycle_l2_kd"],
)
def test_five_steps_are_the_equation(tiny, case, distance, weight, logit_weight, temperature):
    networks = networks_of(tiny, case)
    settings = {"weight": weight, "logit_weight": logit_weight, "temperature": temperature}
    distiller = Alignment(networks, distance=distance, seed=3, **settings)
    weights = [tiny.weights_of(network) for network in networks]
    layers = {int(name.removesuffix("_transfer")): model for name, model in distiller.helpers.items()}
    transfers = {k: tiny.weights_of(one) for k, one in layers.items()}
    assert list(transfers) == [k for k, own in enumerate(case["channels"]) if own != case["channels"][k - 1]]
    order = {"l1": 1, "l2": 2}[distance]
    expected = transcription(tiny, case, weights, transfers, tiny.batch(), order=order, **settings)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for network, one in zip(networks, weights, strict=True):
        tiny.assert_weights(network, one)
    for k, one in transfers.items():
        tiny.assert_weights(layers[k], one)
    tiny.assert_terms(logs, {name: one for name, one in expected.items() if logit_weight or "mutual" not in name})


def terms_of(tiny, distiller):
    return distiller.phase.rounds[0].losses(tiny.batch(), distiller(tiny.batch()["images"]))


def test_two_networks_learn_from_each_other(tiny):
    one, other = tiny.network("one"), tiny.network("other", seed=1)
    distiller = Alignment([one, other], logit_weight=1.0)
    taught = [(course.transfer.name, course.learner, course.sources) for course in distiller.courses]
    pairs = [(one, (other,)), (other, (one,))]
    assert taught == [(name, *pair) for name in ("distance", "mutual") for pair in pairs]
    assert distiller.helpers == {}
    terms = terms_of(tiny, distiller)
    np.testing.assert_array_equal(terms["one"]["distance"], terms["other"]["distance"])
    taps = distiller(tiny.batch()["images"])
    first, second = (taps[name]["features"].numpy() for name in ("one", "other"))
    np.testing.assert_allclose(terms["one"]["distance"], np.abs(first - second).mean((1, 2, 3)), rtol=1e-5)
    mutual = DML([one, other], temperature=3.0, update="joint")
    expected = terms_of(tiny, mutual)
    for name in ("one", "other"):
        np.testing.assert_allclose(terms[name]["mutual"], expected[name]["mutual"], rtol=1e-5)


def test_identical_networks_have_nothing_to_teach(tiny):
    same = [tiny.network(name, seed=3) for name in ("one", "other")]
    for distance in ("l1", "l2"):
        for terms in terms_of(tiny, Alignment(same, distance=distance, logit_weight=1.0)).values():
            np.testing.assert_array_equal(terms["distance"], np.zeros(6))
            np.testing.assert_allclose(terms["mutual"], np.zeros(6), atol=1e-6)
            assert np.all(terms["cross_entropy"] > 0)


def test_an_update_owns_its_network_and_its_transfer_layer(tiny):
    distiller = Alignment(networks_of(tiny, CYCLE), weight=0.5, logit_weight=2.0)
    models = {**{one.name: one for one in distiller.networks}, **distiller.helpers}
    assert {update.name: update.models for update in distiller.phase.updates()} == {
        "0": (models["0"], models["0_transfer"]),
        "1": (models["1"], models["1_transfer"]),
        "2": (models["2"],),
    }
    weights = {"cross_entropy": 1.0, "distance": 0.5, "mutual": 18.0}
    assert all(update.terms == weights for update in distiller.phase.updates())
    bare = Alignment(networks_of(tiny, PAIR)).phase.updates()
    assert all(update.terms == {"cross_entropy": 1.0, "distance": 1.0} for update in bare)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"weight": -1.0}, "weight: must be a number in 0..1,000,000, not -1.0"),
        ({"logit_weight": -0.5}, "logit_weight: must be a number in 0..1,000,000, not -0.5"),
        ({"distance": "l3"}, "distance: 'l3' is none of l1, l2; nearest: l2"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        Alignment(networks_of(tiny, PAIR), **arguments)
    assert str(error.value) == message


def test_one_network_has_no_peer(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        Alignment([tiny.network("one")])
