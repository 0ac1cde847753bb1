"""Steps and epochs: where the data ends before the epoch, and where schedules stand when `fit` begins."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import optimizers
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.methods import Supervised
from tfdistill.networks.layers import Dropout

STEPS = 4


def network(name):
    images = keras.Input((2,), name="images")
    draw = keras.initializers.GlorotUniform(1)
    x = Dropout(0.5, seed=3)(keras.layers.Dense(8, kernel_initializer=draw)(images))
    return keras.Model(images, {"logits": keras.layers.Dense(3, kernel_initializer=draw)(x)}, name=name)


def stream(count):
    """Batches of three whose number TensorFlow does not know."""
    draw = np.random.default_rng(1)
    images, labels = draw.normal(size=(count, 3, 2)).astype("float32"), draw.integers(0, 3, (count, 3))
    whole = tf.data.Dataset.from_tensor_slices((images, labels.astype("int32")))
    return whole.filter(lambda images, labels: True)


@pytest.fixture(scope="module", params=[1, 4])
def cut(request):
    """An epoch of ten steps on a stream of six: one by one, and by four of which the second four are two."""
    distiller = Supervised([network("one")])
    distiller.compile({"networks": optimizers.OptimizerSettings(learning_rate=0.1)}, xla="off")
    distiller.steps_per_execution = request.param
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        history = distiller.fit(stream(6), steps_per_epoch=10, shuffle=False, verbose=0).history
    return distiller, history, [str(one.message) for one in told], request.param


def test_every_step_before_the_end_of_the_data_counts_and_no_other(cut):
    distiller, history, told, per_execution = cut
    assert distiller.steps_trained == 6
    assert int(distiller.update_optimizers["one"].iterations) == 6
    assert len(history["one/loss"]) == 1
    assert ("data: it ended 4 steps before the epoch did, at step 6" in told) == (per_execution > 1)


def test_an_execution_that_failed_adds_to_no_later_count():
    """Two batches of four are taken before the third fails; the stream of the next `fit` has six."""
    distiller = Supervised([network("one")])
    distiller.compile({"networks": optimizers.OptimizerSettings(learning_rate=0.1)}, xla="off", steps_per_execution=4)

    def failing():
        yield from stream(2).as_numpy_iterator()
        raise OSError("the disk is gone")

    broken = tf.data.Dataset.from_generator(failing, output_signature=stream(1).element_spec)
    with pytest.raises(tf.errors.OpError, match="the disk is gone"):
        distiller.fit(broken, steps_per_epoch=10, shuffle=False, verbose=0)
    before = distiller.steps_trained
    with pytest.warns(UserWarning, match=r"^data: it ended 4 steps before"):
        distiller.fit(stream(6), steps_per_epoch=10, shuffle=False, verbose=0)
    assert distiller.steps_trained - before == 6


def test_what_needs_no_batch_does_not_run_without_one(cut):
    """Counters of metrics, optimizers and generators of masks."""
    distiller, history, *_ = cut
    fresh = Supervised([network("one")])
    fresh.compile({"networks": optimizers.OptimizerSettings(learning_rate=0.1)}, xla="off")
    expected = fresh.fit(stream(6), steps_per_epoch=6, shuffle=False, verbose=0).history
    assert history["one/loss"] == pytest.approx(expected["one/loss"], rel=1e-6)
    found, wanted = distiller.state(), fresh.state()
    for key, variable in wanted.items():
        np.testing.assert_array_equal(found[key].numpy(), variable.numpy(), err_msg=key)
    assert any("seed_generator" in key for key in wanted)


class TwoPhases(Distiller):
    """Two epochs for one network, the rest for the other; with a ramp."""

    protocol = "ie_cifar"
    source = "made up"

    def phases(self):
        def part(one, weight=1.0):
            update = Update(one.name, (one,), {"cross_entropy": weight})
            return update, lambda batch, taps: {"cross_entropy": self.task.loss(batch, taps[one.name])}

        first, second = self.networks
        ramp = lambda epoch: epoch + 1.0  # noqa: E731
        return (Phase(joint([part(first)]), epochs=2), Phase(joint([part(second, ramp)])))


def prepared(chosen, method=Supervised, names=("one",), epochs=6):
    distiller = method([network(name) for name in names])
    distiller.compile({"networks": chosen} if len(names) == 1 else dict(zip(names, chosen, strict=True)))
    distiller.prepare(steps_per_epoch=STEPS, epochs=epochs)
    return distiller


def rate(distiller, name="one"):
    return float(distiller.update_optimizers[name].learning_rate)


def after(distiller, steps, name="one"):
    """The rate `steps` later."""
    iterations = distiller.update_optimizers[name].iterations
    iterations.assign_add(steps)
    found = rate(distiller, name)
    iterations.assign_sub(steps)
    return found


@pytest.mark.parametrize(
    "chosen",
    [
        optimizers.OptimizerSettings(schedule="step", milestones=(1.5, 4), restart_momentum=True),
        optimizers.OptimizerSettings(schedule="cosine", warmup_epochs=2),
        optimizers.OptimizerSettings(kind="adam"),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5))
        ),
    ],
)
def test_initial_epoch_begins_with_the_rates_of_that_epoch(chosen):
    make = (lambda: chosen) if isinstance(chosen, optimizers.OptimizerSettings) else chosen
    whole, later = prepared(make()), prepared(make())
    later.optimizers.begin(3, 6)
    assert int(later.update_optimizers["one"].iterations) == 0
    for step in (0, 1, STEPS, 2 * STEPS, 3 * STEPS - 1):
        assert after(later, step) == pytest.approx(after(whole, 3 * STEPS + step), rel=1e-6)


def test_momentum_restarts_where_the_moved_schedule_drops():
    settings = optimizers.OptimizerSettings(schedule="step", milestones=(1, 4), restart_momentum=True)
    distiller = prepared(settings)
    distiller.optimizers.begin(3, 6)
    schedule = distiller.update_optimizers["one"]._learning_rate
    assert [step for step in range(3 * STEPS) if bool(schedule.drops_at(step))] == [STEPS]


def test_a_run_that_goes_on_moves_no_schedule():
    """Bit for bit: within the epoch that it is in, whatever part of the epoch is left."""
    distiller = prepared(optimizers.OptimizerSettings(schedule="step", milestones=(1, 4)))
    schedule = distiller.update_optimizers["one"]._learning_rate
    for taken in (3 * STEPS, 3 * STEPS + 3):
        distiller.update_optimizers["one"].iterations.assign(taken)
        assert not distiller.optimizers.begin(3, 4)
    assert distiller.update_optimizers["one"]._learning_rate is schedule
    assert distiller.optimizers.begin(4, 6) and rate(distiller) == pytest.approx(0.001)


def test_a_phase_counts_its_own_epochs():
    settings = optimizers.OptimizerSettings(schedule="step", milestones=(1, 3))
    distiller = prepared((settings, settings), TwoPhases, ("one", "two"))
    distiller.optimizers.begin(3, 6)
    assert (rate(distiller, "one"), rate(distiller, "two")) == (pytest.approx(0.1), pytest.approx(0.01))


def test_what_begins_anew_while_the_rates_go_on_is_told_once():
    settings = optimizers.OptimizerSettings(schedule="step", milestones=(1,))
    distiller = prepared((settings, settings), TwoPhases, ("one", "two"))
    distiller.update_optimizers["one"].iterations.assign(2 * STEPS)
    with pytest.warns(
        UserWarning, match=r"^fit: ramps and phases begin at epoch 0, the learning rates go on from step 8"
    ):
        distiller.optimizers.begin(0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distiller.optimizers.begin(0, 2)
        prepared(settings).optimizers.begin(0, 6)


def test_a_run_longer_than_its_schedules_is_told():
    with pytest.warns(UserWarning, match=r"^fit: the learning rates' schedules are made for 6 epochs, not 8; compile"):
        prepared(optimizers.OptimizerSettings(schedule="cosine")).optimizers.begin(0, 8)


def test_averages_are_put_in_place_when_their_phase_ends():
    """The next phase learns beside the average; the last phase's comes at the end of `fit`."""
    chosen = [keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5) for _ in range(2)]
    distiller = TwoPhases([network("one"), network("two")])
    distiller.compile(dict(zip(("one", "two"), chosen, strict=True)), xla="off")
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(distiller.networks[0].get_weights())

        on_epoch_end = on_epoch_begin

    distiller.fit(stream(9), steps_per_epoch=3, epochs=3, shuffle=False, verbose=0, callbacks=[Watch()])
    averages = [[one.numpy() for one in optimizer._model_variables_moving_average] for optimizer in chosen]
    trained = [[one.numpy() for one in model.trainable_variables] for model in distiller.networks]
    for average, values in zip(averages, trained, strict=True):
        for one, other in zip(average, values, strict=True):
            np.testing.assert_array_equal(one, other)
    end_of_second, begin_of_third = seen[3], seen[4]
    assert np.abs(end_of_second[0] - begin_of_third[0]).max() > 1e-4
    np.testing.assert_array_equal(begin_of_third[0], trained[0][0])


def test_train_on_batch_is_refused():
    with pytest.raises(ValueError, match=r"^train_on_batch: .* use fit\(\)"):
        Supervised([network("one")]).train_on_batch(np.zeros((1, 2)), np.zeros(1))
