"""Sharpness and active neurons of a tiny network, and in cases whose answer is known."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.analysis.active_neurons import count_active_neurons, gradients_at, spectrum
from tfdistill.analysis.sharpness import cross_entropy, loss_under_noise, moved


@pytest.fixture(scope="module")
def network(tiny_network):
    return tiny_network("tiny", seed=3)


@pytest.fixture(scope="module")
def batch():
    draw = np.random.default_rng(0)
    return draw.normal(size=(12, 8, 8, 3)).astype("float32"), draw.integers(0, 4, 12).astype("int32")


def test_without_noise_sharpness_is_the_clean_loss_and_every_weight_comes_back(network, batch):
    images, labels = batch
    before = [variable.numpy().tobytes() for variable in network.variables]
    seen = []

    def loss():
        moving = [one.numpy() for one in network.trainable_variables]
        still = [one.numpy() for one in network.non_trainable_variables]
        seen.append((moving, still))
        return float(cross_entropy(network(images, training=False)["logits"].numpy(), labels).mean())

    clean = loss()
    found = loss_under_noise(network, loss, (0.0, 0.3), draws=5, seed=2)
    assert found.shape == (2, 5) and np.all(found[0] == clean)
    assert np.all(found[1] != clean) and len(set(found[1])) == 5
    assert [variable.numpy().tobytes() for variable in network.variables] == before
    (first, still), (noisy, stayed) = seen[0], seen[-1]
    noise = np.concatenate([(b - a).ravel() for a, b in zip(first, noisy, strict=True)])
    assert noise.std() == pytest.approx(0.3, rel=0.1) and len(still) and all(map(np.array_equal, still, stayed))
    with pytest.raises(RuntimeError), moved(network, 0.3, seed=0):
        raise RuntimeError
    assert [variable.numpy().tobytes() for variable in network.variables] == before


def test_gradients_of_one_direction_are_one_active_neuron():
    draw = np.random.default_rng(1)
    line = np.outer(draw.normal(size=30), draw.normal(size=(8,)))
    assert count_active_neurons(spectrum(line)) == count_active_neurons(spectrum(line[:5])) == 1
    # Five directions of one strength: 95 % of the energy is in all of them, 80 % in four.
    equal = np.repeat(np.eye(7)[:5], 4, axis=0)
    assert count_active_neurons(spectrum(equal)) == 5 and count_active_neurons(spectrum(equal), 0.8) == 4
    assert count_active_neurons(spectrum(np.zeros((3, 4)))) == 0
    many = draw.normal(size=(9, 20))
    assert spectrum(many) == pytest.approx(np.linalg.svd(many, compute_uv=False) ** 2 / 9)


def test_gradients_at_taps_are_those_of_each_examples_own_loss(network, batch):
    images, labels = batch
    found = gradients_at(network, ("features", "embedding", "logits"))(tf.constant(images), tf.constant(labels))
    logits = network(images, training=False)["logits"]
    error = tf.nn.softmax(logits) - tf.one_hot(labels, 4)
    assert np.allclose(found["logits"], error, atol=1e-6)
    kernel = network.get_layer("logits").kernel.numpy()
    at_embedding = error.numpy() @ kernel.T
    assert np.allclose(found["embedding"], at_embedding, atol=1e-6)
    # Global average pooling hands every position the same share.
    assert np.allclose(found["features"], at_embedding[:, None, None] / 16, atol=1e-6)
