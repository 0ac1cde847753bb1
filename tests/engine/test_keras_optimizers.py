"""Optimizers of Keras' own: whatever they carry acts as in Keras' own `fit`, or is refused in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.methods import Supervised
from tfdistill.optimizers import SGD, OptimizerSettings

STEPS, BATCH = 4, 4
kinds = keras.optimizers


CASES = {
    "momentum": lambda: kinds.SGD(0.1, momentum=0.9, nesterov=True),
    "weight_decay": lambda: kinds.SGD(0.1, weight_decay=0.1),
    "clipnorm": lambda: kinds.SGD(0.1, clipnorm=0.05),
    "clipvalue": lambda: kinds.SGD(0.1, clipvalue=0.01),
    "global_clipnorm": lambda: kinds.SGD(0.1, global_clipnorm=0.05),
    "use_ema": lambda: kinds.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "ema_overwrite_frequency": lambda: kinds.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "loss_scale_factor": lambda: kinds.SGD(0.1, loss_scale_factor=1024.0),
    "gradient_accumulation_steps": lambda: kinds.SGD(0.1, gradient_accumulation_steps=2),
    "scaled": lambda: kinds.LossScaleOptimizer(kinds.SGD(0.1, use_ema=True), dynamic_growth_steps=2),
    "schedule": lambda: kinds.SGD(kinds.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "callable": lambda: kinds.SGD(lambda: 0.1),
    "multi": lambda: kinds.MultiOptimizer(
        kinds.OptimizerMap(kinds.SGD(0.1, use_ema=True), {".*kernel": kinds.Adam(0.1, use_ema=True)})
    ),
    "adamw": lambda: kinds.AdamW(0.1, weight_decay=0.1, global_clipnorm=0.05),
    "muon": lambda: kinds.Muon(0.1),
    "schedule_free": lambda: kinds.ScheduleFreeAdamW(0.1, warmup_steps=2),
}


def network(name, policy=None):
    images = keras.Input((3,), name="images")
    draw = keras.initializers.GlorotUniform(1)
    x = keras.layers.Dense(4, "tanh", kernel_initializer=draw, kernel_constraint="unit_norm", dtype=policy)(images)
    logits = keras.layers.Dense(3, kernel_initializer=draw, name="logits", dtype="float32")(x)
    return keras.Model(images, {"logits": logits}, name=name)


def arrays():
    draw = np.random.default_rng(1)
    images = draw.normal(size=(STEPS * BATCH, 3)).astype("float32")
    return images, draw.integers(0, 3, STEPS * BATCH).astype("int32")


def batches():
    return tf.data.Dataset.from_tensor_slices(arrays()).batch(BATCH, drop_remainder=True)


def as_keras_trains(optimizer, policy=None):
    """Weights after Keras' own `fit`."""
    of_ours = network("reference", policy)
    model = keras.Model(of_ours.input, of_ours.output["logits"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True, jit_compile=False)
    model.fit(batches(), verbose=0, shuffle=False)
    return model.get_weights()


def trained_by(cases, strategy=None):
    """Weights by case, of a network per case in one distiller."""
    with (strategy or tf.distribute.get_strategy()).scope():
        distiller = Supervised([network(name) for name in cases])
        distiller.compile({name: CASES[name]() for name in cases}, xla="off")
    distiller.fit(batches(), verbose=0, shuffle=False)
    return {one.name: one.get_weights() for one in distiller.networks}


@pytest.fixture(scope="module")
def trained():
    """Without a graph, which would be large."""
    tf.config.run_functions_eagerly(True)
    try:
        return trained_by(CASES)
    finally:
        tf.config.run_functions_eagerly(False)


def assert_same(found, expected, atol=1e-5):
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_it_trains_as_in_keras(trained, case):
    start, expected = network("start").get_weights(), as_keras_trains(CASES[case]())
    assert_same(trained[case], expected)
    assert max(np.abs(one - other).max() for one, other in zip(expected, start, strict=True)) > 1e-3


def test_all_that_is_more_than_a_rule_is_the_same_in_a_graph(trained):
    cases = ["gradient_accumulation_steps", "ema_overwrite_frequency", "scaled", "loss_scale_factor"]
    for case, weights in trained_by(cases).items():
        assert_same(weights, trained[case])


def test_two_replicas_train_as_one_device(trained, two_replicas):
    """Keras' own would clip, and look for infinite gradients, in each replica by itself."""
    cases = ["global_clipnorm", "use_ema", "scaled", "multi"]
    for case, weights in trained_by(cases, two_replicas).items():
        assert_same(weights, trained[case])


def test_what_keras_computes_on_one_device_only_is_refused_on_replicas(two_replicas):
    made_outside = kinds.SGD(0.1)
    for optimizer, line in (
        (
            lambda: kinds.SGD(0.1, gradient_accumulation_steps=2),
            r"gradient_accumulation_steps=2 of 'one' works on one dev",
        ),
        (
            lambda: kinds.LossScaleOptimizer(CASES["ema_overwrite_frequency"]()),
            r"ema_overwrite_frequency=2 of 'one' work",
        ),
        (lambda: made_outside, r"'one' has one made outside of strategy.scope\(\); make it inside$"),
    ):
        with two_replicas.scope():
            distiller = Supervised([network("one")])
            distiller.compile({"one": optimizer()})
        with pytest.raises(ValueError, match=f"^optimizers: {line}"):
            distiller.prepare(steps_per_epoch=1, epochs=1)


def test_float16_networks_get_a_scaled_loss():
    """As Keras gives them; a scale of the user's own stays."""
    distiller = Supervised([network("half", "mixed_float16"), network("own", "mixed_float16"), network("whole")])
    own = kinds.SGD(0.1, loss_scale_factor=64.0)
    distiller.compile({"own": own, "networks": OptimizerSettings(learning_rate=0.1, clip_norm=10.0)}, xla="off")
    distiller.fit(batches(), verbose=0, shuffle=False)
    half, whole = (distiller.update_optimizers[name] for name in ("half", "whole"))
    assert isinstance(half, kinds.LossScaleOptimizer) and isinstance(half.inner_optimizer, SGD)
    assert isinstance(whole, SGD) and distiller.update_optimizers["own"] is own
    weights = {one.name: one.get_weights() for one in distiller.networks}
    assert_same(weights["half"], weights["whole"], atol=1e-2)
    assert_same(weights["own"], as_keras_trains(kinds.SGD(0.1), "mixed_float16"), atol=1e-2)
    assert np.abs(weights["half"][0] - network("start").get_weights()[0]).max() > 0.05


def test_steps_that_a_loss_scale_skips_shift_no_schedule_of_a_fit_that_goes_on():
    distiller = Supervised([network("half", "mixed_float16")])
    own = kinds.SGD(kinds.schedules.PiecewiseConstantDecay([6], [0.25, 0.125]))
    scaled = kinds.LossScaleOptimizer(own, initial_scale=2.0**19)
    distiller.compile({"half": scaled}, run_eagerly=True)
    distiller.fit(batches(), verbose=0, shuffle=False)
    counted = int(own.iterations)
    assert 0 < counted < STEPS
    distiller.fit(batches(), initial_epoch=1, epochs=2, verbose=0, shuffle=False)
    assert int(own.iterations) == counted + STEPS <= 6
    # By the optimizer's own count, as after one `fit` of two epochs.
    assert float(own.learning_rate) == 0.25 and own._learning_rate.get_config()["boundaries"] == [6]


def test_averages_of_weights_that_two_updates_move_are_refused():
    class Twice(Supervised):
        def phases(self):
            parts = [self.part(network) for network in self.networks]
            other = Update("other", (self.networks[0],), {"cross_entropy": 1.0})
            terms = parts[0][1]
            return (Phase(joint([*parts, (other, terms)])),)

    distiller = Twice([network("one")])
    distiller.compile({"one": kinds.SGD(0.1, use_ema=True)})
    with pytest.raises(ValueError, match=r"^optimizers: use_ema of 'one' averages weights that 'other' moves too"):
        distiller.prepare(steps_per_epoch=1, epochs=1)


def test_what_is_no_optimizer_is_refused():
    distiller = Supervised([network("one")])
    with pytest.raises(ValueError, match=r"^optimizer: must be OptimizerSettings, a Keras optimizer, .* not 0.1$"):
        distiller.compile(0.1)
    distiller.compile({"one": "adam"})
    with pytest.raises(
        ValueError, match=r"^optimizers: 'one' must have OptimizerSettings or an optimizer .* not 'adam'$"
    ):
        distiller.prepare(steps_per_epoch=1, epochs=1)
