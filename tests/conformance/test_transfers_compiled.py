"""Transfers of maps and relations under XLA on two replicas: one step is that of the halves' mean, taken eagerly.

So are the phases before the training: one of an auto-encoder, and one that moves the learner in part. CRD, whose
memories are each replica's own, is held in `tests/transfers/test_crd.py`.
"""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods import Distillation
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import checkpoints
from tfdistill.transfers import AB, FT, IEAT, IEFT, IEOD, TRANSFERS, TapTransfer

NAMES = [
    name
    for name, made in TRANSFERS.items()
    if issubclass(made, TapTransfer) or name in ("map_distance", "od", "review_kd", "jacobian")
]
PREPARED = {"ft": FT, "ab": AB, "ie_ft": IEFT, "ie_at": IEAT, "ie_od": IEOD}
# IE-KD's are that of factor transfer.
PREPARATIONS = ["ft_preparation", "ab_preparation"]
# One step at this rate is the gradient itself.
RATE, BATCH = 1.0, 8


def made(tiny_network):
    one = tiny_network("one", seed=1, channels=8, preactivations=True)
    other = tiny_network("other", seed=20, channels=6, preactivations=True)
    given = [TRANSFERS[name]() for name in NAMES]
    given += [transfer(preparation_epochs=1) for transfer in PREPARED.values()]
    return Distillation(one, other, given)


def halves_step(distiller, phase, batch):
    """Terms in the mean over both halves, and every variable with its step, the mean of their gradients."""
    distiller.phase_index = phase
    (this_round,) = distiller.plan[phase].rounds
    (update,) = this_round.updates
    variables, found, gradients = update.variables(), [], []
    for half in (slice(0, 4), slice(4, 8)):
        images, labels = batch["images"][half], batch["labels"][half]
        with tf.GradientTape() as tape:
            taps = distiller.call_all({"images": images}, distiller.call_model)
            terms = this_round.losses({"images": images, "labels": labels}, taps)[update.name]
            means = {name: tf.reduce_mean(value) for name, value in terms.items()}
            weighted = [
                (weight(tf.constant(0.0)) if callable(weight) else weight) * means[name]
                for name, weight in update.terms.items()
            ]
            total = tf.add_n(weighted)
        found.append({name: float(value) for name, value in means.items()})
        gradients.append(tape.gradient(total, [variable.value for variable in variables]))
        if "cross_entropy" in means:
            own = losses.cross_entropy(labels, taps["one"]["logits"])
            np.testing.assert_allclose(means["cross_entropy"], np.mean(own))
    steps = [
        (variable.numpy(), RATE * (first + second).numpy() / 2)
        for variable, first, second in zip(variables, *gradients, strict=True)
    ]
    return {name: np.mean([one[name] for one in found]) for name in found[0]}, steps


@pytest.fixture(scope="module")
def compiled(tiny_network, two_replicas):
    """A distiller on two replicas, and its first state."""
    with two_replicas.scope():
        distiller = made(tiny_network)
        distiller.compile({"networks": OptimizerSettings(learning_rate=RATE, momentum=0.0)}, xla="on")
        distiller.prepare(steps_per_epoch=1, epochs=len(distiller.plan))
    return distiller, {name: np.array(one.numpy()) for name, one in distiller.state().items()}


@pytest.mark.parametrize("phase", ["training", *PREPARATIONS])
def test_a_step_under_xla_on_two_replicas_is_that_of_the_halves(phase, compiled, tiny_network):
    draw = np.random.default_rng(5)
    batch = {
        "images": draw.standard_normal((BATCH, 8, 8, 3)).astype("float32"),
        "labels": draw.integers(0, 4, BATCH).astype("int32"),
    }
    eager, (distiller, first) = made(tiny_network), compiled
    place = [one.name for one in distiller.plan].index(phase)
    expected, steps = halves_step(eager, place, batch)
    checkpoints.assign(distiller.state(), first)
    begins = distiller.calendar.begins[place]
    data = tf.data.Dataset.from_tensors(batch)
    logs = distiller.fit(data, initial_epoch=begins, epochs=begins + 1, verbose=0, shuffle=False).history
    (update,) = distiller.plan[place].updates()
    if phase == "training":
        parts = [
            f"{name}_{part}" for name in PREPARED if name.startswith("ie") for part in ("inheritance", "exploration")
        ]
        assert expected.keys() == {"cross_entropy", *NAMES, "jacobian_activations", "ft", "ab", *parts}
    for name, value in expected.items():
        np.testing.assert_allclose(logs[f"{update.name}/{name}"][0], value, rtol=2e-4, err_msg=name)
    for one, (start, step) in zip(update.variables(), steps, strict=True):
        largest = np.abs(step).max()
        # In a phase of AB the normalization of a connector takes an offset away again, which then has no slope.
        has_none = phase == "ab_preparation" and one.path == "norm1/beta"
        assert largest > (1e-4 if phase == "training" else 1e-5) or has_none, one.path
        assert np.abs(start - one.numpy() - step).max() < 2e-3 * max(largest, 1e-3), one.path
