"""Adversarial feature distillation against its equations, written out in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.term_checks import check_terms
from tfdistill.methods import AFD, DML
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings

STEPS = 5
# Channels and pooling of each network, and the size its map has in front of its discriminator; see `networks_of`.
PAIR = {"channels": (4, 4), "pooling": (1, 1), "sizes": (4, 4)}
CYCLE = {"channels": (6, 4, 4), "pooling": (1, 2, 1), "sizes": (4, 2, 2)}
# So slow that what moves at all moves by less than this test can see.
STILL = OptimizerSettings(learning_rate=1e-30, momentum=0.0)
FAST_FEATURES = {"feature_learning_rate": 0.01, "feature_weight_decay": 0.01}


def networks_of(tiny, case):
    shapes = zip(case["channels"], case["pooling"], strict=True)
    return [tiny.network(str(k), channels=one, pooling=pooling, seed=k) for k, (one, pooling) in enumerate(shapes)]


class Adam:
    """Adam with L2 decay in the gradient, as PyTorch does it, in NumPy."""

    def __init__(self, rate, decay):
        self.rate, self.decay, self.steps, self.moments = rate, decay, 0, {}

    def step(self, gradients, variables):
        self.steps += 1
        for gradient, variable in zip(gradients, variables, strict=True):
            weight = variable.numpy()
            gradient = gradient.numpy() + self.decay * weight
            mean, square = self.moments.get(id(variable), (0.0, 0.0))
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            self.moments[id(variable)] = mean, square
            corrected = np.sqrt(square / (1 - 0.999**self.steps))
            variable.assign(weight - self.rate * mean / (1 - 0.9**self.steps) / (corrected + 1e-8))


def judge(tiny, weights, maps):
    """Convolution of stride 2, BatchNorm, LeakyReLU, a convolution over what is left, sigmoid."""
    hidden = tf.nn.conv2d(tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]]), weights["conv1/kernel"], 2, "VALID")
    hidden = tiny.batch_norm(weights, "norm1", hidden)
    hidden = tf.where(hidden > 0, hidden, 0.2 * hidden)
    return tf.sigmoid(tf.einsum("bhwc,hwcd->b", hidden, weights["conv2/kernel"]) + weights["conv2/bias"])


def transcription(tiny, case, source, weights, transfers, discriminators, batch, *, rate, decay):
    """Gradients of a step from one forward pass; then SGD on every network, Adam on every extractor, Adam on every D.

    `source`: from k and K to the network that k learns from; `transfers`: by k, where channels differ. Returns the mean
    of every term over the steps.
    """
    count = len(weights)
    sgd = [tiny.NesterovSGD() for _ in weights]
    adam, adam_of_judges = ([Adam(rate, decay) for _ in weights] for _ in range(2))
    extractors = [
        [value for name, value in one.items() if value.trainable and not name.startswith("logits/")]
        + tiny.trainable(transfers.get(k, {}))
        for k, one in enumerate(weights)
    ]
    seen = {}
    for _ in range(STEPS):
        with tf.GradientTape(persistent=True) as tape:
            outputs = [
                tiny.run_network(one, batch["images"], 4 // pooling)
                for one, pooling in zip(weights, case["pooling"], strict=True)
            ]
            losses = []
            for k, (maps, logits) in enumerate(outputs):
                peer_maps, peer_logits = (tf.stop_gradient(one) for one in outputs[source(k, count)])
                own, peer = (tiny.mean_pool(one, case["sizes"][k]) for one in (maps, peer_maps))
                if k in transfers:
                    own = tiny.convolve(transfers[k], "conv", own)
                    own = tf.nn.relu(tiny.batch_norm(transfers[k], "transfer_norm", own))
                real, fake = (judge(tiny, discriminators[k], one) for one in (peer, own))
                log_p, log_q = (tiny.log_softmax(one / 3.0) for one in (peer_logits, logits))
                terms = {
                    f"{k}/cross_entropy": tiny.cross_entropy(batch["labels"], logits),
                    f"{k}/mutual": tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1)),
                    f"{k}_features/adversarial": tf.reduce_mean((1 - fake) ** 2),
                    f"{k}_discriminator/discrimination": tf.reduce_mean((1 - real) ** 2 + fake**2),
                }
                supervised, mutual, *adversarial = terms.values()
                losses.append((supervised + 9.0 * mutual, *adversarial))
                for name, value in terms.items():
                    seen.setdefault(name, []).append(float(value))
        owned = [(tiny.trainable(weights[k]), extractors[k], tiny.trainable(discriminators[k])) for k in range(count)]
        gradients = [
            [tape.gradient(loss, variables) for loss, variables in zip(losses[k], owned[k], strict=True)]
            for k in range(count)
        ]
        for kind, optimizers in enumerate((sgd, adam, adam_of_judges)):
            for k in range(count):
                optimizers[k].step(gradients[k][kind], owned[k][kind])
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(
    ("case", "source"),
    [(PAIR, lambda k, _: 1 - k), (CYCLE, lambda k, count: (k - 1) % count)],
    ids=["each_the_others_source", "cycle_with_transfer_layers"],
)
def test_five_steps_are_the_equations(tiny, case, source):
    networks = networks_of(tiny, case)
    distiller = AFD(networks, seed=3, **FAST_FEATURES)
    weights = [tiny.weights_of(network) for network in networks]
    models = [distiller.matchings[network.name].transfer for network in networks]
    transfers = {k: tiny.weights_of(model) for k, model in enumerate(models) if model}
    assert list(transfers) == [k for k, own in enumerate(case["channels"]) if own != case["channels"][k - 1]]
    discriminators = [tiny.weights_of(distiller.discriminators[network.name]) for network in networks]
    parts = (weights, transfers, discriminators, tiny.batch())
    expected = transcription(tiny, case, source, *parts, rate=0.01, decay=0.01)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for k, network in enumerate(networks):
        tiny.assert_weights(network, weights[k])
        tiny.assert_weights(distiller.discriminators[network.name], discriminators[k])
        if k in transfers:
            tiny.assert_weights(models[k], transfers[k])
    tiny.assert_terms(logs, expected)


def terms_of(tiny, distiller):
    return distiller.phase.rounds[0].losses(tiny.batch(), distiller(tiny.batch()["images"]))


def test_the_table_of_updates(tiny):
    distiller = AFD(networks_of(tiny, CYCLE), logit_weight=0.5, temperature=2.0)
    (this_round,) = distiller.phase.rounds
    assert [(update.name, update.group) for update in this_round.updates] == [
        *((str(k), "networks") for k in range(3)),
        *((f"{k}_features", "features") for k in range(3)),
        *((f"{k}_discriminator", "discriminators") for k in range(3)),
    ]
    owned = {update.name: {id(one) for one in update.variables()} for update in this_round.updates}
    for k, network in enumerate(distiller.networks):
        everything = {id(one) for one in network.trainable_variables}
        classifier = {id(one) for one in network.get_layer("logits").trainable_variables}
        transfer = {id(one) for helper in distiller.matchings[str(k)].helpers() for one in helper.trainable_variables}
        assert owned[str(k)] == everything
        assert owned[f"{k}_features"] == (everything - classifier) | transfer
    assert this_round.updates[0].terms == {"cross_entropy": 1.0, "mutual": 2.0}
    assert distiller.sources == {"0": "2", "1": "0", "2": "1"}
    assert distiller.discriminators["0"].input_shape == (None, 4, 4, 4)
    assert distiller.discriminators["1"].input_shape == (None, 2, 2, 6)
    assert distiller.discriminators["2"].input_shape == (None, 2, 2, 4)


def test_a_discriminator_that_cannot_tell_gives_a_half_and_a_quarter(tiny):
    distiller = AFD(networks_of(tiny, PAIR))
    for discriminator in distiller.discriminators.values():
        for variable in discriminator.get_layer("conv2").variables:
            variable.assign(tf.zeros_like(variable))
    terms = terms_of(tiny, distiller)
    for k in "01":
        np.testing.assert_array_equal(terms[f"{k}_discriminator"]["discrimination"], np.full(6, 0.5))
        np.testing.assert_array_equal(terms[f"{k}_features"]["adversarial"], np.full(6, 0.25))


def test_identical_networks_have_no_divergence_and_are_their_ensemble(tiny):
    same = [tiny.network(name, seed=3) for name in ("one", "other")]
    distiller = AFD(same)
    for name in ("one", "other"):
        np.testing.assert_allclose(terms_of(tiny, distiller)[name]["mutual"], np.zeros(6), atol=1e-6)
    taps = distiller(tiny.batch()["images"])
    np.testing.assert_allclose(distiller.ensemble(taps)["logits"], taps["one"]["logits"], rtol=1e-6)


def weights_by_owner(distiller):
    """Trainable weights: of each network's classifier, of the rest of it, of each helper."""
    found = {name: [one.numpy() for one in helper.trainable_variables] for name, helper in distiller.helpers.items()}
    for network in distiller.networks:
        classifier = network.get_layer("logits").trainable_variables
        rest = [one for one in network.trainable_variables if not any(one is other for other in classifier)]
        found[f"{network.name}/classifier"] = [one.numpy() for one in classifier]
        found[f"{network.name}/extractor"] = [one.numpy() for one in rest]
    return found


@pytest.mark.parametrize(
    ("moving", "moved"),
    [
        ("networks", {"0/classifier", "0/extractor", "1/classifier", "1/extractor"}),
        ("features", {"0/extractor", "1/extractor", "0_transfer", "1_transfer"}),
        ("discriminators", {"0_discriminator", "1_discriminator"}),
    ],
)
def test_a_loss_moves_what_its_update_owns_and_nothing_else_at_all(tiny, moving, moved):
    distiller = AFD([tiny.network("0"), tiny.network("1", channels=3, seed=1)])
    before = weights_by_owner(distiller)
    settings = dict.fromkeys(distiller.recipe(), STILL) | {moving: OptimizerSettings(learning_rate=0.1)}
    distiller.compile(settings, xla="off")
    distiller.fit(tf.data.Dataset.from_tensors(tiny.batch()), verbose=0, shuffle=False)
    after = weights_by_owner(distiller)
    for owner, weights in before.items():
        changed = [np.abs(one - other).max() > 1e-20 for one, other in zip(weights, after[owner], strict=True)]
        assert changed == [owner in moved] * len(changed), owner


def test_off_is_mutual_learning_of_both_at_once(tiny):
    trained = {}
    for name, method, arguments in (
        ("afd", AFD, {"adversarial": "off"}),
        ("dml", DML, {"temperature": 3.0, "update": "joint"}),
    ):
        networks = networks_of(tiny, PAIR)
        distiller = method(networks, **arguments)
        assert list(distiller.recipe()) == ["networks"] and distiller.helpers == {}
        logs = tiny.train(distiller, STEPS, tiny.batch())
        trained[name] = logs, [weight for network in networks for weight in network.get_weights()]
    (logs, weights), (logs_of_dml, weights_of_dml) = trained["afd"], trained["dml"]
    assert logs == pytest.approx(logs_of_dml, rel=1e-6)
    for one, other in zip(weights, weights_of_dml, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_decay_only_pulls_the_extractor_towards_zero_by_the_rate(tiny):
    """Adam's first step on a gradient of nothing but decay is the rate, against the sign of the weight."""
    trained = {}
    for adversarial in ("off", "decay_only"):
        distiller = AFD(networks_of(tiny, PAIR), adversarial=adversarial, feature_learning_rate=1e-3)
        assert distiller.helpers == {}
        logs = tiny.train(distiller, 1, tiny.batch())
        trained[adversarial] = weights_by_owner(distiller)
    assert logs["0_features/loss"] == 0.0 < logs["0_features/mean_activation"]
    for owner, weights in trained["off"].items():
        for alone, decayed in zip(weights, trained["decay_only"][owner], strict=True):
            pull = 1e-3 * np.sign(alone) if owner.endswith("extractor") else 0.0
            np.testing.assert_allclose(decayed, alone - pull, rtol=0, atol=1e-5, err_msg=owner)


def test_without_logit_weight_labels_and_discriminators_teach(tiny):
    distiller = AFD(networks_of(tiny, PAIR), logit_weight=0.0)
    terms = terms_of(tiny, distiller)
    assert set(terms["0"]) == {"cross_entropy"} and set(terms["0_features"]) == {"adversarial"}
    assert distiller.phase.updates()[0].terms == {"cross_entropy": 1.0}


@pytest.mark.parametrize(
    "arguments", [{}, {"adversarial": "off"}, {"adversarial": "decay_only"}, {"logit_weight": 0.0}]
)
def test_no_term_is_silent(tiny, arguments):
    check_terms(AFD(networks_of(tiny, CYCLE), **arguments), [tiny.batch()])


def test_the_recipe_is_the_papers(tiny):
    networks = networks_of(tiny, PAIR)
    recipe = AFD(networks).recipe()
    adam = OptimizerSettings(
        kind="adam", learning_rate=2e-5, weight_decay=0.1, schedule="step", milestones=(75, 150), factor=0.1
    )
    assert recipe == {"networks": PROTOCOLS["afd"].settings, "features": adam, "discriminators": adam}
    sgd = recipe["networks"]
    assert (sgd.learning_rate, sgd.milestones, sgd.factor, sgd.weight_decay) == (0.1, (150, 225), 0.1, 1e-4)
    assert not sgd.nesterov and sgd.decay_on == "all"
    assert list(AFD(networks, adversarial="decay_only").recipe()) == ["networks", "features"]
    assert AFD(networks, feature_milestones=()).recipe()["features"].schedule == "constant"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"logit_weight": -1.0}, "logit_weight: must be a number in 0..1,000,000, not -1.0"),
        ({"adversarial": "decay"}, "adversarial: 'decay' is none of on, off, decay_only; nearest: decay_only"),
        (
            {"feature_learning_rate": 0.0},
            "feature_learning_rate: must be a number in 1e-30..1,000,000, not 0.0",
        ),
        ({"feature_weight_decay": -0.1}, "feature_weight_decay: must be a number in 0..1,000,000, not -0.1"),
        (
            {"feature_milestones": (2.0, 1.0)},
            "feature_milestones: must be ascending epochs above 0, got (2.0, 1.0)",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        AFD(networks_of(tiny, PAIR), **arguments)
    assert str(error.value) == message


def test_networks_that_do_not_fit_are_refused(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        AFD([tiny.network("one")])
    images = keras.Input((4, 4, 2), name="images")
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    pair = [tiny.network("one"), keras.Model(images, {"logits": logits}, name="bare")]
    for adversarial in ("on", "decay_only"):
        with pytest.raises(ValueError, match=r"^networks: bare has no tap 'features'; it has logits$"):
            AFD(pair, adversarial=adversarial)
    assert len(AFD(pair, adversarial="off").phase.updates()) == 2
