"""Feature fusion learning against its equations in float64; what the fused classifier is and who moves it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import FFL
from tfdistill.methods.ffl import fusion_module
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings

STEPS = 5


def pair(tiny):
    """Maps of 4 x 4 x 6 and 2 x 2 x 4: fused at 2 x 2 with 6 channels."""
    return [tiny.network("0", channels=6, seed=1), tiny.network("1", channels=4, pooling=2, seed=2)]


def fuse(tiny, weights, maps):
    maps = tf.concat([tiny.mean_pool(one, 2) for one in maps], axis=-1)
    maps = tf.nn.depthwise_conv2d(maps, weights["depthwise/kernel"], (1, 1, 1, 1), "SAME")
    maps = tf.nn.relu(tiny.batch_norm(weights, "depthwise_norm", maps))
    maps = tf.nn.relu(tiny.batch_norm(weights, "pointwise_norm", tiny.convolve(weights, "pointwise", maps)))
    return tf.reduce_mean(maps, (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]


def transcription(tiny, weights, fusion, batch, *, weight, temperature):
    """One loss, down which networks and fusion module go."""
    optimizer = tiny.NesterovSGD()
    seen = {name: [] for name in ("cross_entropy", "distillation", "fused_cross_entropy", "fused_distillation")}
    moved = tiny.trainable(*weights, fusion)

    def divergence(target, learner):
        log_p = tiny.log_softmax(tf.stop_gradient(target) / temperature)
        return tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - tiny.log_softmax(learner / temperature)), axis=1))

    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            outputs = [tiny.run_network(weights[k], batch["images"], (4, 2)[k]) for k in (0, 1)]
            logits = [one for _, one in outputs]
            fused = fuse(tiny, fusion, [maps for maps, _ in outputs])
            terms = {
                "cross_entropy": sum(tiny.cross_entropy(batch["labels"], one) for one in logits),
                "fused_cross_entropy": tiny.cross_entropy(batch["labels"], fused),
                "distillation": sum(divergence(fused, one) for one in logits),
                "fused_distillation": divergence(sum(logits) / 2, fused),
            }
            loss = terms["cross_entropy"] + terms["fused_cross_entropy"]
            loss += weight * temperature**2 * (terms["distillation"] + terms["fused_distillation"])
        optimizer.step(tape.gradient(loss, moved), moved)
        for name, value in terms.items():
            seen[name].append(float(value))
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(("ramp_epochs", "ramp"), [(0.0, 1.0), (80.0, 0.0067379470)])
def test_five_steps_are_the_equations(tiny, ramp_epochs, ramp):
    networks = pair(tiny)
    distiller = FFL(networks, ramp_epochs=ramp_epochs, weight=0.7, seed=6)
    weights, fusion = [tiny.weights_of(network) for network in networks], tiny.weights_of(distiller.fusion)
    expected = transcription(tiny, weights, fusion, tiny.batch(), weight=0.7 * ramp, temperature=3.0)
    settings = OptimizerSettings(learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    distiller.compile({"networks": settings, "fusion": settings}, xla="off")
    data = tf.data.Dataset.from_tensors(tiny.batch()).repeat(STEPS)
    logs = {name: values[-1] for name, values in distiller.fit(data, verbose=0, shuffle=False).history.items()}
    for network, own in zip(networks, weights, strict=True):
        tiny.assert_weights(network, own)
    tiny.assert_weights(distiller.fusion, fusion)
    tiny.assert_terms(logs, expected, prefix="networks/")
    for name, value in expected.items():
        if name.startswith("fused_"):
            np.testing.assert_allclose(logs[f"fusion/{name}"], value, rtol=1e-4)


@pytest.fixture(scope="module")
def gradients(tiny):
    """Which models every term reaches."""
    distiller = FFL(pair(tiny))
    models = {**{network.name: network for network in distiller.networks}, "fusion": distiller.fusion}
    with tf.GradientTape(persistent=True) as tape:
        terms = distiller.phase.rounds[0].losses(tiny.batch(), distiller(tiny.batch()["images"], training=True))
        means = {name: tf.reduce_mean(value) for name, value in terms["networks"].items()}
    return {
        term: {
            name
            for name, model in models.items()
            if any(one is not None for one in tape.gradient(mean, [v.value for v in model.trainable_variables]))
        }
        for term, mean in means.items()
    }


def test_the_fused_classifiers_terms_reach_the_networks_too_and_no_target_is_moved(gradients):
    assert gradients == {
        "cross_entropy": {"0", "1"},
        "distillation": {"0", "1"},
        "fused_cross_entropy": {"0", "1", "fusion"},
        "fused_distillation": {"0", "1", "fusion"},
    }


def test_networks_and_fusion_module_have_an_optimizer_each(tiny):
    distiller = FFL(pair(tiny))
    networks, fusion = distiller.phase.updates()
    assert (networks.models, networks.group) == (tuple(distiller.networks), "networks")
    assert (fusion.models, fusion.group) == ((distiller.fusion,), "fusion")
    assert fusion.terms["fused_cross_entropy"] == 1.0
    assert float(fusion.terms["fused_distillation"](tf.constant(40.0))) == pytest.approx(9 * 0.2865047969, rel=1e-5)
    recipe, paper = distiller.recipe(), PROTOCOLS["ffl"].settings
    # As the authors' two optimizers: one rate, one schedule, Nesterov's momentum in both.
    assert (paper.learning_rate, paper.momentum, paper.nesterov, paper.weight_decay) == (0.1, 0.9, True, 1e-4)
    assert (paper.milestones, PROTOCOLS["ffl"].epochs, PROTOCOLS["ffl"].batch_size) == ((150, 225), 300, 128)
    assert recipe["networks"] == paper
    assert (recipe["fusion"].weight_decay, recipe["fusion"].nesterov) == (1e-5, True)
    assert recipe["fusion"].milestones == paper.milestones


def test_the_fusion_module_of_equal_maps_is_the_authors():
    module = fusion_module([(8, 8, 64), (8, 8, 64)], 100, seed=0)
    assert module.output["features"].shape == (None, 8, 8, 64)
    # 3·3·128 depthwise, 128·64 pointwise, normalizations of 128 and 64, and the classifier.
    parameters = sum(int(np.prod(variable.shape)) for variable in module.trainable_variables)
    assert parameters == 9 * 128 + 128 * 64 + 2 * (128 + 64) + 64 * 100 + 100


def test_maps_of_three_sizes_are_pooled_to_the_smallest():
    module = fusion_module([(8, 4, 3), (4, 4, 5), (2, 2, 4)], 7, seed=0)
    assert module.output["features"].shape == (None, 2, 2, 5)
    assert module.output["logits"].shape == (None, 7)
    with pytest.raises(ValueError, match=r"^networks: feature maps .* do not divide"):
        fusion_module([(3, 3, 4), (2, 2, 4)], 7, seed=0)


def test_the_delivered_ensemble_is_the_fused_classifier_that_evaluation_scores(tiny):
    distiller = FFL(pair(tiny))
    distiller(tiny.batch()["images"], training=True)
    images = tiny.batch(seed=1)["images"]
    delivered, taps = distiller.deliverables(), distiller(images)
    assert list(delivered) == ["0", "1", "ensemble"]
    assert delivered["ensemble"].name == "ensemble"
    found = delivered["ensemble"](images, training=False)["logits"]
    np.testing.assert_allclose(found, distiller.ensemble(taps)["logits"], rtol=1e-5, atol=1e-6)
    fused = distiller.fusion([taps[name]["features"] for name in ("0", "1")], training=False)["logits"]
    np.testing.assert_allclose(found, fused, rtol=1e-5, atol=1e-6)
    owned = {id(variable) for model in (*distiller.networks, distiller.fusion) for variable in model.variables}
    assert {id(variable) for variable in delivered["ensemble"].variables} == owned


def test_a_shared_trunk_is_the_first_networks(tiny_network):
    given = [tiny_network("one", seed=1), tiny_network("other", seed=2)]
    distiller = FFL(given, shared_trunk=True)
    assert distiller.shared.tap == "stage1"
    first, second = distiller.networks
    shared = {id(variable) for variable in first.variables} & {id(variable) for variable in second.variables}
    assert shared == {id(variable) for variable in distiller.shared.trunk.variables} != set()
    taps = distiller(np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype("float32"))
    np.testing.assert_array_equal(taps["one"]["stage1"], taps["other"]["stage1"])
    assert np.abs(taps["one"]["stage2"] - taps["other"]["stage2"]).max() > 1e-3
    assert taps["ensemble"]["logits"].shape == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -1.0}, "temperature: must be a number in 0.001..1,000, not -1.0"),
        ({"ramp_epochs": float("inf")}, "ramp_epochs: must be a number in 0..1,000,000, not inf"),
        ({"tap": "features"}, "tap: 'features' is where a shared trunk ends; give shared_trunk too"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tiny, arguments, message):
    with pytest.raises(ValueError) as error:
        FFL(pair(tiny), **arguments)
    assert str(error.value) == message


def test_networks_that_do_not_fit_are_refused(tiny):
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        FFL(pair(tiny)[:1])
    with pytest.raises(ValueError, match=r"^networks: 1 cannot share 0's trunk up to 'features': its layer conv is "):
        FFL(pair(tiny), shared_trunk=True, tap="features")
    images = keras.Input((4, 4, 2), name="images")
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    bare = keras.Model(images, {"logits": logits}, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no tap 'features'; it has logits$"):
        FFL([pair(tiny)[0], bare])
