"""Momentum that starts anew at each drop of the rate, against a new optimizer at each drop, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.optimizers import PROTOCOLS, SGD, MultiStep, OptimizerSettings, build, cosine

DROPS, STEPS, MOMENTUM, DECAY = (2, 5), 8, 0.9, 0.3
RATE = MultiStep(0.1, DROPS, 0.2)


def start():
    return np.random.default_rng(0).normal(size=(3, 2))


def gradients():
    return np.random.default_rng(1).normal(size=(STEPS, 3, 2))


def expected(nesterov, drops):
    """PyTorch's rule, with an optimizer thrown away and made anew where the rate drops."""
    weight, buffer, rate = start(), 0.0, 0.1
    for step, gradient in enumerate(gradients()):
        if step in drops:
            buffer = 0.0
        if step in DROPS:
            rate *= 0.2
        gradient = gradient + DECAY * weight
        buffer = MOMENTUM * buffer + gradient
        weight = weight - rate * (gradient + MOMENTUM * buffer if nesterov else buffer)
    return weight


def trained(nesterov, restart, *, xla):
    optimizer = SGD(RATE, MOMENTUM, nesterov, DECAY, restart_momentum=restart)
    weight = keras.Variable(start().astype("float32"))
    optimizer.build([weight])

    @tf.function(jit_compile=xla)
    def apply(gradient):
        optimizer.apply([gradient], [weight])

    for gradient in gradients():
        apply(tf.constant(gradient, tf.float32))
    assert len(optimizer.variables) == len(SGD(RATE, MOMENTUM).variables) + 1  # the buffer, and nothing to restart it
    return weight.numpy()


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
def test_it_is_a_new_optimizer_at_every_drop(nesterov, xla):
    restarted = trained(nesterov, True, xla=xla)
    np.testing.assert_allclose(restarted, expected(nesterov, DROPS), rtol=2e-5, atol=1e-6)
    assert np.abs(restarted - expected(nesterov, ())).max() > 1e-3


def test_without_it_momentum_goes_on():
    np.testing.assert_allclose(trained(False, False, xla=False), expected(False, ()), rtol=2e-5, atol=1e-6)


def test_in_keras_own_fit():
    """One weight w whose loss is its gradient times w, so that every gradient is 1."""
    settings = OptimizerSettings(
        learning_rate=0.1, momentum=0.5, schedule="step", milestones=(1,), factor=0.1, restart_momentum=True
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    model.compile(build(settings, steps_per_epoch=2, epochs=2), loss=lambda _, output: output, jit_compile=False)
    ones = np.ones((2, 1), "float32")
    model.fit(ones, ones, batch_size=1, epochs=2, verbose=0)
    # Buffers 1 and 1.5 at the rate 0.1, then 1 and 1.5 again at 0.01.
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), [[-0.25 - 0.025]], rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, cosine(0.1, 20)])
def test_a_rate_without_drops_has_no_restarts(rate):
    weights = []
    for restart in (False, True):
        weight = keras.Variable(start().astype("float32"))
        optimizer = SGD(rate, MOMENTUM, restart_momentum=restart)
        optimizer.build([weight])
        for gradient in gradients()[:3]:
            optimizer.apply([tf.constant(gradient, tf.float32)], [weight])
        weights.append(weight.numpy())
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "drops", "factor", "decay", "nesterov", "restart"),
    [
        ("dcm_wide_resnet", 200, 128, (59, 119, 159), 0.2, 5e-4, False, True),
        ("dcm_resnet", 164, 128, (81, 122), 0.1, 1e-4, False, False),
        ("dcm_densenet", 300, 64, (150, 225), 0.1, 1e-4, True, False),
        ("dcm_imagenet", 90, 256, (30, 60), 0.1, 1e-4, False, False),
    ],
)
def test_dcms_protocols(name, epochs, batch_size, drops, factor, decay, nesterov, restart):
    protocol = PROTOCOLS[name]
    assert (protocol.epochs, protocol.batch_size, protocol.settings.milestones) == (epochs, batch_size, drops)
    optimizer = build(protocol.settings, steps_per_epoch=10, epochs=epochs)
    assert (optimizer.momentum, optimizer.coupled_decay, optimizer.decay_on) == (0.9, decay, "all")
    assert (optimizer.nesterov, optimizer.restart_momentum) == (nesterov, restart)
    rates = [float(optimizer._learning_rate(step)) for step in (10 * drops[0] - 1, 10 * drops[0], 10 * epochs - 1)]
    np.testing.assert_allclose(rates, [0.1, 0.1 * factor, 0.1 * factor ** len(drops)], rtol=1e-6)
    around = [bool(optimizer._learning_rate.drops_at(10 * drops[0] + offset)) for offset in (-1, 0, 1)]
    assert around == [False, True, False]
