"""Independent training against plain gradient descent in float64."""

import numpy as np
import tensorflow as tf

from tfdistill.methods import Supervised


def test_five_steps_are_two_trainings_side_by_side(tiny):
    networks = [tiny.network("one", seed=1), tiny.network("two", channels=5, seed=2)]
    expected = [tiny.weights_of(network) for network in networks]
    losses = []
    for weights in expected:
        optimizer = tiny.NesterovSGD()
        for _ in range(5):
            with tf.GradientTape() as tape:
                _, logits = tiny.run_network(weights, tiny.batch()["images"], 4)
                loss = tiny.cross_entropy(tiny.batch()["labels"], logits)
            optimizer.step(tape.gradient(loss, tiny.trainable(weights)), tiny.trainable(weights))
            losses.append(float(loss))
    logs = tiny.train(Supervised(networks), 5, tiny.batch())
    for network, weights in zip(networks, expected, strict=True):
        tiny.assert_weights(network, weights)
    np.testing.assert_allclose(logs["one/cross_entropy"], np.mean(losses[:5]), rtol=1e-4)
    np.testing.assert_allclose(logs["two/loss"], np.mean(losses[5:]), rtol=1e-4)
    of_networks = {f"{name}/{key}" for name in ("one", "two") for key in ("loss", "cross_entropy", "accuracy")}
    assert set(logs) == {"loss", *of_networks}


def test_one_network_alone_is_enough(tiny):
    (update,) = Supervised([tiny.network("one")]).phase.updates()
    assert (update.name, update.terms) == ("one", {"cross_entropy": 1.0})
