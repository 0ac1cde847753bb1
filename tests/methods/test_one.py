"""ONE against its equations in float64; the gate, the ramp, the shared trunk and what it delivers."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.engine.state import keyed
from tfdistill.methods import ONE

STEPS = 5


def peers(tiny, number, **arguments):
    return [tiny.network(str(k), seed=k, **arguments) for k in range(number)]


def shares_of(tiny, weights, maps):
    scores = tf.reduce_mean(maps, (1, 2)) @ weights["scores/kernel"] + weights["scores/bias"]
    return tf.nn.softmax(tf.nn.relu(tiny.batch_norm(weights, "norm", scores)))


def transcription(tiny, weights, gate, batch, *, weight, temperature):
    """One loss down which trunk (the first network's convolution and BatchNorm), classifiers and gate go."""
    optimizer, seen = tiny.NesterovSGD(), {"cross_entropy": [], "ensemble_cross_entropy": [], "distillation": []}
    classifiers = [{name: one[name] for name in one if name.startswith("logits/")} for one in weights[1:]]
    moved = tiny.trainable(weights[0], *classifiers, gate)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            maps, first = tiny.run_network(weights[0], batch["images"], 4)
            pooled = tf.reduce_mean(maps, (1, 2))
            logits = [first, *(pooled @ one["logits/kernel"] + one["logits/bias"] for one in classifiers)]
            shares = shares_of(tiny, gate, maps)
            ensemble = sum(shares[:, k, None] * one for k, one in enumerate(logits))
            log_p = tiny.log_softmax(tf.stop_gradient(ensemble) / temperature)
            log_q = [tiny.log_softmax(one / temperature) for one in logits]
            terms = {
                "cross_entropy": sum(tiny.cross_entropy(batch["labels"], one) for one in logits),
                "ensemble_cross_entropy": tiny.cross_entropy(batch["labels"], ensemble),
                "distillation": sum(tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - one), 1)) for one in log_q),
            }
            loss = terms["cross_entropy"] + terms["ensemble_cross_entropy"]
            loss += weight * temperature**2 * terms["distillation"]
        optimizer.step(tape.gradient(loss, moved), moved)
        for name, value in terms.items():
            seen[name].append(float(value))
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(("number", "ramp_epochs", "ramp"), [(2, 0.0, 1.0), (3, 80.0, 0.0067379470)])
def test_five_steps_are_the_equations(tiny, number, ramp_epochs, ramp):
    given = peers(tiny, number)
    weights = [tiny.weights_of(network) for network in given]
    distiller = ONE(given, tap="features", temperature=3.0, weight=0.7, ramp_epochs=ramp_epochs, seed=4)
    gate = tiny.weights_of(distiller.gate)
    expected = transcription(tiny, weights, gate, tiny.batch(), weight=0.7 * ramp, temperature=3.0)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    tiny.assert_weights(distiller.gate, gate)
    for network, own in zip(distiller.networks, weights, strict=True):
        # The trunk's running statistics too: BatchNorm has moved them once per step.
        trunk = {name: value for name, value in weights[0].items() if not name.startswith("logits/")}
        tiny.assert_weights(network, {**own, **trunk})
    tiny.assert_terms(logs, expected, prefix="networks/")


def test_the_weight_of_the_distillation_grows_over_the_first_epochs(tiny):
    def weight_at(epoch, **arguments):
        (update,) = ONE(peers(tiny, 2), tap="features", **arguments).phase.updates()
        weight = update.terms["distillation"]
        return float(weight(tf.constant(epoch))) if callable(weight) else weight

    golden = {0.0: 0.0067379470, 10.0: 0.0217503594, 40.0: 0.2865047969, 80.0: 1.0, 200.0: 1.0}
    for epoch, value in golden.items():
        assert weight_at(epoch, temperature=1.0) == pytest.approx(value, rel=1e-5)
    assert weight_at(80.0, temperature=2.0, weight=0.5) == pytest.approx(2.0)
    assert weight_at(0.0, temperature=2.0, weight=0.5, ramp_epochs=0.0) == 2.0


def test_branches_that_agree_are_their_ensemble_and_have_nothing_to_learn_from_it(tiny):
    distiller = ONE([tiny.network(name, seed=3) for name in ("one", "other")], tap="features")
    taps = distiller(tiny.batch()["images"])
    np.testing.assert_allclose(taps["ensemble"]["logits"], taps["one"]["logits"], atol=1e-6)
    terms = distiller.phase.rounds[0].losses(tiny.batch(), taps)["networks"]
    np.testing.assert_allclose(terms["distillation"], np.zeros(6), atol=1e-6)
    np.testing.assert_allclose(terms["cross_entropy"], 2 * terms["ensemble_cross_entropy"], rtol=1e-5)


def test_the_gate_gives_every_image_shares_of_its_own(tiny):
    distiller = ONE(peers(tiny, 3), tap="features", seed=1)
    shares = distiller(tiny.batch()["images"], training=True)["ensemble"]["shares"].numpy()
    assert shares.shape == (6, 3)
    np.testing.assert_allclose(shares.sum(axis=1), np.ones(6), rtol=1e-6)
    assert np.all(shares > 0) and shares.std(axis=0).min() > 1e-3


@pytest.fixture(scope="module")
def trained(tiny):
    distiller = ONE(peers(tiny, 2, channels=5), tap="features")
    tiny.train(distiller, 3, tiny.batch())
    return distiller


def test_the_delivered_ensemble_is_what_evaluation_scores(tiny, trained):
    images = tiny.batch(seed=1)["images"]
    delivered = trained.deliverables()
    assert list(delivered) == ["0", "1", "ensemble"]
    assert [model.name for model in delivered.values()] == list(delivered)
    taps = trained(images)
    expected = trained.ensemble(taps)["logits"]
    found = delivered["ensemble"](images, training=False)
    assert set(found) == {"logits"}
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected - (taps["0"]["logits"] + taps["1"]["logits"]) / 2).max() > 1e-3


def test_the_ensemble_has_no_weights_but_the_trunks_the_branches_and_the_gates(trained):
    owned = {id(variable) for model in (*trained.networks, trained.gate) for variable in model.variables}
    assert {id(variable) for variable in trained.deliverables()["ensemble"].variables} == owned


def test_a_delivered_network_and_its_state_fit_a_bare_one(tiny, trained):
    images = tiny.batch(seed=1)["images"]
    for network in trained.networks:
        bare = tiny.network("bare", channels=5, seed=9)
        state = {key: value for key, value in trained.state().items() if key.startswith(f"networks/{network.name}/")}
        target = keyed({f"networks/{network.name}": bare.variables})
        assert state.keys() == target.keys()
        for key, variable in target.items():
            variable.assign(state[key])
        np.testing.assert_allclose(bare(images)["logits"], network(images)["logits"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("branches", "parameters"), [(2, 832_990), (3, 1_193_189)])
def test_resnet32_has_the_parameters_of_the_authors_code(branches, parameters):
    """Trunk, branches, and the gate's linear layer with its bias and normalization; running statistics aside."""
    given = [networks.build("resnet32", classes=100, seed=k, model_name=f"peer{k}") for k in range(branches)]
    distiller = ONE(given)
    assert distiller.shared.tap == "stage2"
    (update,) = distiller.phase.updates()
    assert sum(int(np.prod(variable.shape)) for variable in update.variables()) == parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"ramp_epochs": -1.0}, "ramp_epochs: must be a number in 0..1,000,000, not -1.0"),
        ({"tap": "stage2"}, "tap: 0 has no tap 'stage2' to be cut at; it has features, logits"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        ONE(peers(tiny, 2), **arguments)
    assert str(error.value) == message


def test_one_network_has_no_branches(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        ONE(peers(tiny, 1), tap="features")
