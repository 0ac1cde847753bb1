"""Optimizers and schedules against PyTorch's rules written out in NumPy, in float64."""

import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.optimizers import (
    PROTOCOLS,
    SGD,
    Adam,
    AdamW,
    MultiStep,
    OptimizerSettings,
    Protocol,
    build,
    cosine,
)

STEPS = 7


def start():
    generator = np.random.default_rng(0)
    return [generator.normal(size=(3, 2)), generator.normal(size=(4,))]


def gradients():
    generator = np.random.default_rng(1)
    return [[generator.normal(size=(3, 2)), generator.normal(size=(4,))] for _ in range(STEPS)]


def rate_at(step):
    """Fall by ten before step 3, and again before step 5."""
    return 0.1 * 0.1 ** ((step >= 3) + (step >= 5))


def decayed(gradient, weight, decay, decay_on):
    return gradient + decay * weight if decay_on == "all" or weight.ndim > 1 else gradient


def numpy_sgd(momentum, nesterov, decay, decay_on):
    weights, buffers = start(), [None, None]
    for step, step_gradients in enumerate(gradients()):
        for i, gradient in enumerate(step_gradients):
            gradient = decayed(gradient, weights[i], decay, decay_on)
            buffers[i] = gradient if buffers[i] is None else momentum * buffers[i] + gradient
            moved = gradient + momentum * buffers[i] if nesterov else buffers[i]
            weights[i] = weights[i] - rate_at(step) * moved
    return weights


def numpy_adam(beta_1, beta_2, epsilon, decay, decay_on, *, decoupled=0.0):
    weights, means, squares = start(), [0.0, 0.0], [0.0, 0.0]
    for step, step_gradients in enumerate(gradients()):
        for i, gradient in enumerate(step_gradients):
            gradient = decayed(gradient, weights[i], decay, decay_on)
            weights[i] = decayed(weights[i], weights[i], -rate_at(step) * decoupled, decay_on)
            means[i] = beta_1 * means[i] + (1 - beta_1) * gradient
            squares[i] = beta_2 * squares[i] + (1 - beta_2) * gradient**2
            mean, square = means[i] / (1 - beta_1 ** (step + 1)), squares[i] / (1 - beta_2 ** (step + 1))
            weights[i] = weights[i] - rate_at(step) * mean / (np.sqrt(square) + epsilon)
    return weights


def variables():
    return [keras.Variable(value.astype("float32")) for value in start()]


def built(optimizer):
    moved = variables()
    optimizer.build(moved)
    return optimizer, moved


def take_steps(optimizer, moved, steps=range(STEPS)):
    @tf.function
    def apply(step_gradients):
        optimizer.apply(step_gradients, moved)

    every = gradients()
    for step in steps:
        apply([tf.constant(gradient, tf.float32) for gradient in every[step]])
    return [variable.numpy() for variable in moved]


def assert_close(actual, expected, **tolerance):
    for value, reference in zip(actual, expected, strict=True):
        np.testing.assert_allclose(value, reference, **{"rtol": 2e-5, "atol": 1e-7, **tolerance})


@pytest.mark.parametrize("decay_on", ["all", "matrices"])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_follows_pytorchs_rule_through_drops_of_the_rate(momentum, nesterov, decay_on):
    rate = MultiStep(0.1, (3, 5), 0.1)
    optimizer, moved = built(SGD(rate, momentum, nesterov, coupled_decay=0.3, decay_on=decay_on))
    assert_close(take_steps(optimizer, moved), numpy_sgd(momentum, nesterov, 0.3, decay_on))
    assert int(optimizer.iterations) == STEPS


@pytest.mark.parametrize("decay_on", ["all", "matrices"])
def test_adam_follows_pytorchs_rule(decay_on):
    rate = MultiStep(0.1, (3, 5), 0.1)
    optimizer, moved = built(Adam(rate, 0.8, 0.999, 1e-3, coupled_decay=0.3, decay_on=decay_on))
    assert_close(take_steps(optimizer, moved), numpy_adam(0.8, 0.999, 1e-3, 0.3, decay_on))


@pytest.mark.parametrize("decay_on", ["all", "matrices"])
def test_adamw_follows_pytorchs_rule(decay_on):
    rate = MultiStep(0.1, (3, 5), 0.1)
    optimizer, moved = built(AdamW(rate, 0.8, 0.999, 1e-3, decoupled_decay=0.3, decay_on=decay_on))
    expected = numpy_adam(0.8, 0.999, 1e-3, 0.0, decay_on, decoupled=0.3)
    assert_close(take_steps(optimizer, moved), expected)
    coupled = numpy_adam(0.8, 0.999, 1e-3, 0.3, decay_on)
    assert np.abs(expected[0] - coupled[0]).max() > 1e-2, "the two decays would be told apart"


def test_without_decay_adamw_is_adam_to_the_bit():
    assert_close(take_steps(*built(AdamW(0.1, decoupled_decay=0.0))), take_steps(*built(Adam(0.1))), rtol=0, atol=0)


def test_adams_epsilon_meets_the_corrected_root():
    optimizer, moved = built(Adam(1.0))
    tiny = 1e-8
    optimizer.apply([tf.fill(variable.shape, tiny) for variable in moved])
    # The corrected moments of a first step are g and g^2: the step is g / (g + epsilon), a half here.
    assert_close([variable.numpy() for variable in moved], [value - 0.5 for value in start()], rtol=1e-5)


def test_mask_changes_vectors_only():
    everything = take_steps(*built(SGD(0.1, coupled_decay=0.3)))
    matrices = take_steps(*built(SGD(0.1, coupled_decay=0.3, decay_on="matrices")))
    none = take_steps(*built(SGD(0.1)))
    np.testing.assert_array_equal(everything[0], matrices[0])
    np.testing.assert_array_equal(none[1], matrices[1])
    assert np.abs(everything[1] - matrices[1]).min() > 1e-3 and np.abs(none[0] - matrices[0]).min() > 1e-3


def test_decay_is_coupled_to_momentum():
    rate, decay, momentum = 0.1, 0.5, 0.9
    optimizer, moved = built(SGD(rate, momentum, coupled_decay=decay))
    zeros = [tf.zeros(variable.shape) for variable in moved]
    weights = [start()]
    for _ in range(2):
        optimizer.apply(zeros)
        weights.append([variable.numpy() for variable in moved])
    first = [w0 * (1 - rate * decay) for w0 in weights[0]]
    second = [w1 - rate * decay * (w1 + momentum * w0) for w0, w1 in zip(weights[0], first, strict=True)]
    assert_close(weights[1], first)
    assert_close(weights[2], second)
    assert optimizer.weight_decay is None


def test_adams_decay_moves_a_weight_without_gradient_by_the_rate():
    optimizer, moved = built(Adam(2e-5, coupled_decay=0.1))
    optimizer.apply([tf.zeros(variable.shape) for variable in moved])
    expected = [-2e-5 * np.sign(value) for value in start()]
    assert_close([v.numpy() - w for v, w in zip(moved, start(), strict=True)], expected, rtol=2e-2)


def test_sparse_gradients_are_densified():
    table = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = SGD(0.5, coupled_decay=0.1)
    optimizer.build([table])
    optimizer.apply([tf.IndexedSlices(tf.ones([1, 2]), tf.constant([1]), tf.constant([3, 2]))])
    np.testing.assert_allclose(table.numpy(), [[0.95] * 2, [0.45] * 2, [0.95] * 2], rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.25, 0.9, True, 5e-4, "matrices", name="backbone"),
        SGD(MultiStep(0.1, (3, 5), 0.2), 0.8, restart_momentum=True),
        Adam(cosine(0.1, 20, 5), 0.7, 0.95, 1e-6, 0.1, "matrices"),
        AdamW(cosine(0.1, 20, 5), 0.7, 0.95, 1e-6, 0.1, "matrices", 0.5),
    ],
)
def test_config_round_trips(optimizer):
    config = optimizer.get_config()
    again = type(optimizer).from_config(config)
    assert again.get_config() == config == optimizer.get_config()
    assert_close(take_steps(*built(again)), take_steps(*built(optimizer)), rtol=0, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(MultiStep(0.1, (3, 5)), 0.9),
        # A drop at the very step that training goes on with.
        lambda: SGD(MultiStep(0.1, (2, 4)), 0.9, restart_momentum=True),
        lambda: Adam(MultiStep(0.1, (3, 5))),
        lambda: AdamW(MultiStep(0.1, (3, 5)), decoupled_decay=0.3),
    ],
)
def test_checkpoint_resumes_bit_for_bit(make, tmp_path):
    optimizer, moved = built(make())
    take_steps(optimizer, moved, range(4))
    path = tf.train.Checkpoint(optimizer=optimizer, moved=moved).write(str(tmp_path / "state"))
    straight = take_steps(optimizer, moved, range(4, STEPS))

    optimizer, moved = built(make())
    status = tf.train.Checkpoint(optimizer=optimizer, moved=moved).read(path)
    status.assert_consumed()
    assert int(optimizer.iterations) == 4
    assert_close(take_steps(optimizer, moved, range(4, STEPS)), straight, rtol=0, atol=0)


def test_build_makes_every_variable_before_use():
    assert len(built(SGD(0.1))[0].variables) == 2
    assert len(built(SGD(0.1, 0.9))[0].variables) == 4
    adam, _ = built(Adam(0.1))
    assert len(adam.variables) == 6
    adam.build(variables())
    assert len(adam.variables) == 6


TWO_REPLICAS = """
import keras, numpy as np, tensorflow as tf
from tfdistill.optimizers import SGD, Adam, AdamW, MultiStep

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
generator = np.random.default_rng(0)
starts = [generator.normal(size=(3, 2)).astype("float32"), generator.normal(size=4).astype("float32")]
steps = generator.normal(size=(4, 2, 10)).astype("float32")

def split(flat):
    return [tf.reshape(flat[:6], [3, 2]), flat[6:]]

def single(make):
    optimizer, moved = make(), [keras.Variable(value) for value in starts]
    optimizer.build(moved)
    for step in steps:
        optimizer.apply(split(tf.constant(step.sum(axis=0))), moved)
    return [variable.numpy() for variable in moved]

def mirrored(make):
    with strategy.scope():
        optimizer, moved = make(), [keras.Variable(value) for value in starts]
        optimizer.build(moved)

    def replica_step(per_replica):
        mine = per_replica[tf.distribute.get_replica_context().replica_id_in_sync_group]
        optimizer.apply(split(mine), moved)

    @tf.function
    def step(per_replica):
        strategy.run(replica_step, args=(per_replica,))

    for per_replica in steps:
        step(tf.constant(per_replica))
    assert int(tf.convert_to_tensor(optimizer.iterations)) == len(steps)
    return [[value.numpy() for value in strategy.experimental_local_results(v.value)] for v in moved]

rate = MultiStep(0.1, (2,), 0.1)
for make in (
    lambda: SGD(rate, 0.9, True, coupled_decay=0.3, decay_on="matrices"),
    lambda: SGD(rate, 0.9, restart_momentum=True),
    lambda: Adam(rate, coupled_decay=0.3),
    lambda: AdamW(rate, decoupled_decay=0.3, clip_norm=0.5),
):
    for expected, replicas in zip(single(make), mirrored(make)):
        assert len(replicas) == 2
        for value in replicas:
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
print("equal")
"""


def test_two_replicas_equal_one_device_with_the_summed_gradients():
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "CUDA_VISIBLE_DEVICES": "",
    }
    result = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == "equal"


def test_multi_step_drops_at_its_milestones():
    rate = MultiStep(0.1, (3, 5), 0.1)
    graph = tf.function(rate)
    for step in range(STEPS):
        assert math.isclose(float(rate(step)), rate_at(step), rel_tol=1e-6)
        assert float(graph(tf.constant(step, tf.int64))) == float(rate(step))
    assert float(MultiStep(0.1, ())(1000)) == np.float32(0.1)
    np.testing.assert_allclose(float(MultiStep(1.0, (2, 2), 0.5)(2)), 0.25)


def test_cosine_with_and_without_warm_up():
    for warmup in (0, 4):
        rate = cosine(0.2, 20, warmup)
        for step in range(20):
            fallen = 0.1 * (1 + math.cos(math.pi * (step - warmup) / (20 - warmup)))
            expected = 0.2 * step / warmup if step < warmup else fallen
            assert math.isclose(float(rate(step)), expected, rel_tol=1e-5, abs_tol=1e-8)
    with pytest.raises(ValueError, match="warmup_steps: must be from 0 to below the run's 5 steps, got 5"):
        cosine(0.2, 5, 5)
    np.testing.assert_allclose(float(cosine(1, 4)(2)), 0.5, rtol=1e-6)


def test_build_turns_epochs_into_steps():
    settings = OptimizerSettings(schedule="step", milestones=(1, 1.5), learning_rate=1.0)
    optimizer = build(settings, steps_per_epoch=10, epochs=2, name="learner")
    rates = [float(optimizer._learning_rate(step)) for step in (0, 9, 10, 14, 15, 19)]
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)
    assert optimizer.name == "learner"

    settings = OptimizerSettings(schedule="cosine", warmup_epochs=0.5, learning_rate=1.0)
    schedule = build(settings, steps_per_epoch=10, epochs=3)._learning_rate
    assert schedule.get_config() == cosine(1.0, 30, 5).get_config()


def test_build_hands_every_setting_on():
    settings = OptimizerSettings("sgd", 0.5, 0.8, True, 1e-3, "matrices", restart_momentum=True)
    config = build(settings, steps_per_epoch=1, epochs=1, name="a").get_config()
    assert config == SGD(0.5, 0.8, True, 1e-3, "matrices", True, name="a").get_config()
    settings = OptimizerSettings("adam", 0.5, weight_decay=0.1, decay_on="matrices", betas=(0.5, 0.9), epsilon=1e-5)
    config = build(settings, steps_per_epoch=1, epochs=1, name="a").get_config()
    assert config == Adam(0.5, 0.5, 0.9, 1e-5, 0.1, "matrices", name="a").get_config()
    config = build(replace(settings, kind="adamw"), steps_per_epoch=1, epochs=1, name="a").get_config()
    assert config == AdamW(0.5, 0.5, 0.9, 1e-5, 0.1, "matrices", name="a").get_config()


def test_protocols():
    ie, dml = PROTOCOLS["ie_cifar"], PROTOCOLS["dml_original"]
    assert (ie.epochs, ie.batch_size, ie.settings.milestones) == (160, 128, (80, 120))
    assert (dml.epochs, dml.batch_size, dml.settings.milestones) == (200, 64, (60, 120, 180))
    for protocol in (ie, dml):
        optimizer = build(protocol.settings, steps_per_epoch=391, epochs=protocol.epochs)
        assert (optimizer.momentum, optimizer.nesterov, optimizer.coupled_decay) == (0.9, True, 5e-4)
        assert optimizer.decay_on == "all"
        first = protocol.settings.milestones[0] * 391
        np.testing.assert_allclose(optimizer._learning_rate(first - 1), 0.1, rtol=1e-6)
        np.testing.assert_allclose(optimizer._learning_rate(first), 0.01, rtol=1e-6)


def test_protocols_of_afd():
    small, large = PROTOCOLS["afd"], PROTOCOLS["afd_imagenet"]
    assert (small.epochs, small.batch_size, small.settings.milestones) == (300, 128, (150, 225))
    assert (large.epochs, large.batch_size, large.settings.milestones) == (30, 256, (10, 20))
    for protocol, rate in ((small, 0.1), (large, 0.01)):
        optimizer = build(protocol.settings, steps_per_epoch=391, epochs=protocol.epochs)
        assert (optimizer.momentum, optimizer.nesterov, optimizer.coupled_decay) == (0.9, False, 1e-4)
        np.testing.assert_allclose(optimizer._learning_rate(0), rate, rtol=1e-6)


def test_scaled_keeps_milestones_at_their_fractions():
    protocol = PROTOCOLS["ie_cifar"]
    assert protocol.scaled(160) == protocol
    assert protocol.scaled(2).settings.milestones == (1.0, 1.5)
    assert protocol.scaled(2).epochs == 2 and protocol.scaled(2).batch_size == 128
    # As short as it gets, the first step still has the first rate.
    shortest = build(protocol.scaled(1).settings, steps_per_epoch=1, epochs=1)
    np.testing.assert_allclose(shortest._learning_rate(0), 0.1, rtol=1e-6)
    warm = Protocol(OptimizerSettings(schedule="cosine", warmup_epochs=5), 100, 32, "a test")
    assert warm.scaled(20).settings.warmup_epochs == 1


def test_settings_and_protocols_are_frozen():
    with pytest.raises(FrozenInstanceError):
        OptimizerSettings().learning_rate = 1.0
    with pytest.raises(FrozenInstanceError):
        PROTOCOLS["ie_cifar"].epochs = 1


@pytest.mark.parametrize(
    "values, message",
    [
        ({"kind": "adm"}, "kind: 'adm' is none of sgd, adam, adamw; nearest: adam"),
        (
            {"decay_on": "matrix"},
            "decay_on: 'matrix' is none of all, matrices; nearest: matrices",
        ),
        (
            {"schedule": "steps"},
            "schedule: 'steps' is none of step, cosine, constant; nearest: step",
        ),
        ({"learning_rate": 0.0}, "learning_rate: must be a finite number above 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate: must be a finite number above 0, got nan"),
        ({"factor": -0.1}, "factor: must be a finite number above 0, got -0.1"),
        ({"weight_decay": -1.0}, "weight_decay: must be a finite number from 0, got -1.0"),
        ({"momentum": 1.0}, "momentum: must be from 0 to below 1, got 1.0"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov: needs a momentum above 0, got momentum 0"),
        ({"betas": (0.9, 1.0)}, "betas: must be two numbers from 0 to below 1, got (0.9, 1.0)"),
        ({"epsilon": 0.0}, "epsilon: must be a finite number above 0, got 0.0"),
        (
            {"schedule": "step"},
            "milestones: must be given for schedule 'step' and for no other, got () for 'step'",
        ),
        ({"milestones": (3,)}, "milestones: must be given for schedule 'step' and for no other, got (3,)"),
        (
            {"schedule": "step", "milestones": (3, 2)},
            "milestones: must be ascending epochs above 0, got (3, 2)",
        ),
        (
            {"schedule": "step", "milestones": (0, 2)},
            "milestones: must be ascending epochs above 0, got (0, 2)",
        ),
        ({"schedule": "step", "milestones": (2, math.nan)}, "milestones: must be ascending epochs above 0"),
        ({"warmup_epochs": 1.0}, "warmup_epochs: needs schedule 'cosine', got schedule 'constant'"),
        (
            {"schedule": "cosine", "warmup_epochs": -1.0},
            "warmup_epochs: must be a finite number from 0, got -1.0",
        ),
    ],
)
def test_bad_settings_raise_one_line(values, message):
    with pytest.raises(ValueError) as error:
        replace(OptimizerSettings(), **values)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: SGD(0.1, coupled_decay=-1.0), "coupled_decay: must be"),
        (lambda: SGD(0.1, decay_on="some"), "decay_on: 'some' is none of all, matrices"),
        (lambda: SGD(0.1, nesterov=True), "nesterov: needs a momentum"),
        (lambda: SGD(0.1, momentum=-0.5), "momentum: must be"),
        (lambda: Adam(0.1, beta_1=1.0), "betas: must be two numbers"),
        (lambda: AdamW(0.1, decoupled_decay=math.nan), "decoupled_decay: must be a finite number from 0, got nan"),
        (lambda: MultiStep(0.1, (5, 3)), "milestones: must be ascending"),
        (
            lambda: build(OptimizerSettings(), steps_per_epoch=0, epochs=1),
            "steps_per_epoch: must be a whole number",
        ),
        (lambda: build(OptimizerSettings(), steps_per_epoch=1, epochs=1.5), "epochs: must be a whole number"),
        (lambda: PROTOCOLS["ie_cifar"].scaled(0), "epochs: must be a whole number from 1, got 0"),
        (
            lambda: replace(PROTOCOLS["ie_cifar"], batch_size=0),
            "batch_size: must be a whole number from 1, got 0",
        ),
    ],
)
def test_other_bad_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
