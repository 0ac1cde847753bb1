"""CL-ILR against its equations in float64, and the gradient that enters the trunk."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import CLILR
from tfdistill.methods.cl_ilr import scale_gradient

STEPS = 5


def peers(tiny, number):
    return [tiny.network(str(k), seed=k) for k in range(number)]


def transcription(tiny, weights, batch, *, weight, temperature):
    """The trunk (the first network's convolution and BatchNorm) goes down a K-th of its gradient."""
    optimizer, seen = tiny.NesterovSGD(), {"cross_entropy": [], "distillation": []}
    classifiers = [{name: one[name] for name in one if name.startswith("logits/")} for one in weights]
    trunk = tiny.trainable({name: one for name, one in weights[0].items() if not name.startswith("logits/")})
    heads = tiny.trainable(*classifiers)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            maps, _ = tiny.run_network(weights[0], batch["images"], 4)
            pooled = tf.reduce_mean(maps, (1, 2))
            logits = [pooled @ one["logits/kernel"] + one["logits/bias"] for one in classifiers]
            divergences = []
            for k, own in enumerate(logits):
                others = [one for j, one in enumerate(logits) if j != k]
                log_p = tiny.log_softmax(tf.stop_gradient(sum(others) / len(others)) / temperature)
                log_q = tiny.log_softmax(own / temperature)
                divergences.append(tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), 1)))
            supervised = sum(tiny.cross_entropy(batch["labels"], one) for one in logits)
            loss = supervised + weight * temperature**2 * sum(divergences)
        into_trunk, into_heads = tape.gradient(loss, (trunk, heads))
        optimizer.step([one / len(logits) for one in into_trunk] + into_heads, trunk + heads)
        seen["cross_entropy"].append(float(supervised))
        seen["distillation"].append(float(sum(divergences)))
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(("number", "weight", "temperature"), [(2, 1.0, 2.0), (3, 0.5, 3.0)])
def test_five_steps_are_the_equations(tiny, number, weight, temperature):
    given = peers(tiny, number)
    weights = [tiny.weights_of(network) for network in given]
    expected = transcription(tiny, weights, tiny.batch(), weight=weight, temperature=temperature)
    distiller = CLILR(given, tap="features", weight=weight, temperature=temperature)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for network, own in zip(distiller.networks, weights, strict=True):
        trunk = {name: value for name, value in weights[0].items() if not name.startswith("logits/")}
        tiny.assert_weights(network, {**own, **trunk})
    tiny.assert_terms(logs, expected, prefix="networks/")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_scaled_gradient_leaves_the_values_as_they_are(dtype):
    values = tf.cast(tf.constant([0.3, -7.0]), dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        same = scale_gradient(values, 0.25)
        loss = tf.reduce_sum(same * tf.cast(tf.constant([2.0, 4.0]), dtype))
    np.testing.assert_array_equal(tf.cast(same, tf.float32), tf.cast(values, tf.float32))
    gradient = tape.gradient(loss, values)
    assert gradient.dtype == values.dtype
    np.testing.assert_array_equal(tf.cast(gradient, tf.float32), [0.5, 1.0])


def test_branches_that_agree_have_nothing_to_teach_and_the_ensemble_is_their_mean(tiny):
    same = CLILR([tiny.network(name, seed=3) for name in ("one", "other")], tap="features")
    terms = same.phase.rounds[0].losses(tiny.batch(), same(tiny.batch()["images"]))["networks"]
    np.testing.assert_allclose(terms["distillation"], np.zeros(6), atol=1e-6)
    distiller = CLILR(peers(tiny, 3), tap="features")
    taps = distiller(tiny.batch()["images"])
    mean = sum(taps[str(k)]["logits"] for k in range(3)) / 3
    np.testing.assert_allclose(distiller.ensemble(taps)["logits"], mean, rtol=1e-5)
    assert list(distiller.deliverables().values()) == distiller.networks


def test_wrong_arguments_are_refused_in_one_line(tiny):
    with pytest.raises(ValueError, match=r"^temperature: must be a number in 0.001..1,000, not 0.0$"):
        CLILR(peers(tiny, 2), temperature=0.0)
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        CLILR(peers(tiny, 1))
    with pytest.raises(ValueError, match=r"^networks: 0 has no two stages .* name a tap of features, logits$"):
        CLILR(peers(tiny, 2))
