"""What hands that know Keras write: Keras' own callbacks and arguments, each as it comes, or refused in one line."""

import warnings

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.methods import DML, Supervised
from tfdistill.optimizers import SGD, OptimizerSettings

STEPS, BATCH = 3, 4
callbacks, kinds = keras.callbacks, keras.optimizers


def network(name, seed=1):
    images = keras.Input((3,), name="images")
    x = keras.layers.Dense(4, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed))(images)
    draw = keras.initializers.GlorotUniform(seed + 10)
    logits = keras.layers.Dense(3, kernel_initializer=draw, name="logits")(x)
    return keras.Model(images, {"logits": logits}, name=name)


def arrays(seed=1, examples=STEPS * BATCH):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(examples, 3)).astype("float32"), draw.integers(0, 3, examples).astype("int32")


def compiled(optimizer, method=Supervised, **arguments):
    """Two networks, one operation after another: nothing has to be traced."""
    distiller = method([network("one"), network("two", 2)])
    distiller.compile(optimizer=optimizer, run_eagerly=True, **arguments)
    return distiller


def fit(distiller, *called, epochs=1, **arguments):
    arguments = {"validation_data": arrays(2), "batch_size": BATCH, "shuffle": False, "verbose": 0, **arguments}
    return distiller.fit(*arrays(), epochs=epochs, callbacks=list(called), **arguments).history


def weights(distiller):
    return [value for one in distiller.networks for value in one.get_weights()]


def assert_same(found, expected):
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize(
    "one",
    [
        kinds.SGD(0.25, momentum=0.5),
        {"class_name": "SGD", "config": {"learning_rate": 0.25, "momentum": 0.5}},
        keras.optimizers.serialize(kinds.SGD(0.25, momentum=0.5)),
        OptimizerSettings(learning_rate=0.25, momentum=0.5),
    ],
    ids=["instance", "config", "serialized", "settings"],
)
def test_one_optimizer_serves_every_update_with_a_copy_each(one):
    distiller = DML([network("one"), network("two")])
    distiller.compile(optimizer=one)
    distiller.prepare(steps_per_epoch=1, epochs=1)
    first, second = distiller.update_optimizers.values()
    assert type(first) is type(second) and isinstance(first, kinds.SGD | SGD)
    assert first is not second and first is not one and second is not one
    assert float(first.learning_rate) == float(second.learning_rate) == 0.25 and first.momentum == 0.5


def test_an_optimizer_by_its_name_in_the_place_where_keras_has_it():
    distiller = DML([network("one"), network("two")])
    distiller.compile("adam")
    distiller.prepare(steps_per_epoch=1, epochs=1)
    assert [type(one) for one in distiller.update_optimizers.values()] == [kinds.Adam] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizers": {}, "optimizer": "sgd"}, "optimizer: one for all, or optimizers by group and update; not both"),
        ({"optimizer": 3}, "optimizer: must be OptimizerSettings, .* not 3"),
        ({"optimizer": "sdg"}, "optimizer: Keras has no 'sdg'; give a name such as 'adam', or an optimizer$"),
        ({"optimizer": kinds.SGD(lambda: 0.1)}, r"optimizer: <.*SGD.*> cannot be made anew .*; give compile\(\{update"),
        ({"loss": "mse"}, "compile: loss is not taken: the losses are the method's, .*; leave it out"),
        ({"metrics": ["accuracy"]}, "compile: metrics is not taken: what is scored is the task's; .*; leave it out"),
        ({"jit_compile": True}, "compile: jit_compile is not taken: xla='on', 'off' or 'auto' says it; leave it out"),
        ({"run_eagerly": True, "xla": "on"}, "run_eagerly: XLA compiles a graph, .*; leave xla out"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else "",
)
def test_what_compile_cannot_take_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        DML([network("one"), network("two")]).compile(**arguments)
    assert "\n" not in str(error.value)


def test_an_argument_that_keras_does_not_know_either():
    with pytest.raises(TypeError, match=r"^compile: there is no argument 'optimiser'$"):
        DML([network("one"), network("two")]).compile(optimiser="sgd")


def test_eager_steps_are_those_of_the_graph():
    calls = []

    class Counted(DML):
        def _terms(self, *given):
            calls.append(1)
            return super()._terms(*given)

    found = {}
    for eagerly in (True, False):
        distiller = Counted([network("one"), network("two", 2)])
        distiller.compile(optimizer="sgd", run_eagerly=eagerly, steps_per_execution=2)
        history = fit(distiller, epochs=2)
        found[eagerly] = [*weights(distiller), *(value for values in history.values() for value in values)]
        found[eagerly, "calls"] = len(calls)
        calls.clear()
        assert distiller.steps_trained == 2 * STEPS
    for eager, graph in zip(found[True], found[False], strict=True):
        np.testing.assert_allclose(eager, graph, atol=1e-6)
    assert found[True, "calls"] == 2 * 2 * STEPS > found[False, "calls"]


def test_the_loss_is_the_mean_of_the_networks_supervised_losses():
    distiller = compiled("sgd", DML)
    history = fit(distiller, epochs=2)
    for prefix in ("", "val_"):
        both = [history[f"{prefix}{name}/cross_entropy"] for name in ("one", "two")]
        np.testing.assert_allclose(history[f"{prefix}loss"], np.mean(both, axis=0), rtol=1e-6)
    loss, *others = distiller.evaluate(*arrays(2), verbose=0)
    assert loss == pytest.approx(history["val_loss"][-1]) and len(others) == 3 * 3


def test_early_stopping_as_it_comes():
    """A negative rate climbs: every epoch is worse than the first."""
    distiller, seen = compiled(kinds.SGD(-0.5)), []
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(weights(distiller)))
    history = fit(distiller, keep, callbacks.EarlyStopping(restore_best_weights=True), epochs=5)
    assert len(history["loss"]) == 2 and history["val_loss"][1] > history["val_loss"][0]
    assert_same(weights(distiller), seen[0])


@pytest.mark.parametrize(("monitor", "mode"), [("val_ensemble/accuracy", "max"), ("one/cross_entropy", "min")])
def test_the_direction_of_a_score_is_inferred(monitor, mode):
    watch = callbacks.EarlyStopping(monitor=monitor, patience=3)
    fit(compiled("sgd"), watch)
    assert watch.mode == mode and watch.monitor_op is (keras.ops.greater if mode == "max" else keras.ops.less)


@pytest.mark.parametrize("one", [kinds.Adam(0.125), OptimizerSettings(learning_rate=0.125)], ids=["keras", "ours"])
def test_a_plateau_lowers_the_rates_of_all_updates(one):
    distiller = compiled(one)
    history = fit(distiller, callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=100.0), epochs=3)
    for name in ("one", "two"):
        # Noted before the rate is lowered, as Keras does.
        assert history[f"learning_rate_{name}"] == [0.125, 0.125, 0.0625]
        assert float(distiller.update_optimizers[name].learning_rate) == 0.03125


def test_a_scheduler_of_rates_sets_those_of_all_updates():
    distiller = DML([network("one"), network("two", 2)])
    distiller.compile({"one": kinds.SGD(0.5), "two": kinds.SGD(0.25)}, run_eagerly=True)
    history = fit(distiller, callbacks.LearningRateScheduler(lambda epoch, rate: rate / (1 + epoch)), epochs=2)
    assert history["learning_rate_one"] == [0.5, 0.25] and history["learning_rate_two"] == [0.25, 0.125]
    distiller.optimizer.learning_rate = 0.75
    assert {float(one.learning_rate) for one in distiller.update_optimizers.values()} == {0.75}
    assert int(distiller.optimizer.iterations) == 2 * STEPS


class Phased(Supervised):
    """Two phases."""

    def phases(self):
        first, second = (self._round_of(one) for one in self.networks)
        return Phase(first, epochs=1), Phase(second)

    def _round_of(self, moved):
        update = Update(moved.name, (moved,), {"cross_entropy": 1.0})
        return joint([(update, lambda batch, taps: {"cross_entropy": self.task.loss(batch, taps[moved.name])})])


@pytest.mark.parametrize(
    ("method", "optimizer", "callback", "message"),
    [
        (DML, None, callbacks.ReduceLROnPlateau(), "ReduceLROnPlateau: the learning rate of 'one' follows a schedule"),
        (
            DML,
            kinds.SGD(kinds.schedules.ExponentialDecay(0.1, 2, 0.5)),
            callbacks.LearningRateScheduler(lambda epoch, rate: rate),
            "LearningRateScheduler: the learning rate of 'one' follows a schedule of its own; compile.optimizer=...",
        ),
        (DML, "sgd", callbacks.ModelCheckpoint("x.keras"), "ModelCheckpoint: .*; with save_weights_only=True and"),
        (DML, "sgd", callbacks.SwapEMAWeights(), "SwapEMAWeights: no optimizer averages weights; .*use_ema=True"),
        (
            Phased,
            kinds.SGD(0.1, use_ema=True),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            "SwapEMAWeights: swap_on_epoch=True would mix up the averages of several phases; leave it out",
        ),
    ],
    ids=["plateau", "scheduler", "checkpoint", "no averages", "averages of phases"],
)
def test_callbacks_that_would_fail_later_are_refused_before_the_first_step(method, optimizer, callback, message):
    distiller = compiled(optimizer, method)
    with pytest.raises(ValueError, match=f"^{message}") as error:
        fit(distiller, callback, epochs=2)
    assert "\n" not in str(error.value) and distiller.steps_trained == 0


def test_a_rate_that_follows_a_schedule_is_not_set_by_hand():
    distiller = compiled(OptimizerSettings(schedule="step", milestones=(1,)))
    distiller.prepare(steps_per_epoch=1, epochs=2)
    with pytest.raises(ValueError, match=r"^learning_rate: the learning rate of 'one' follows a schedule of its own"):
        distiller.optimizer.learning_rate = 0.1


def test_checkpoints_of_the_best_weights(tmp_path):
    distiller = compiled(kinds.SGD(-0.5))
    path = tmp_path / "best.weights.h5"
    save = callbacks.ModelCheckpoint(path, save_best_only=True, save_weights_only=True)
    fit(distiller, save, epochs=1)
    best = weights(distiller)
    fit(distiller, save, epochs=2)
    assert any((now != then).any() for now, then in zip(weights(distiller), best, strict=True))
    distiller.load_weights(path)
    assert_same(weights(distiller), best)


def test_averages_are_what_is_scored_as_in_keras():
    distiller = compiled(kinds.SGD(0.5, use_ema=True, ema_momentum=0.5))
    history = fit(distiller, callbacks.SwapEMAWeights(), epochs=2)
    of_ours = network("reference")
    model = keras.Model(of_ours.input, of_ours.output["logits"])
    model.compile(
        kinds.SGD(0.5, use_ema=True, ema_momentum=0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    expected = fit(model, callbacks.SwapEMAWeights(), epochs=2)
    np.testing.assert_allclose(history["val_one/cross_entropy"], expected["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(history["one/cross_entropy"], expected["loss"], rtol=1e-5)
    for value, wanted in zip(distiller.networks[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_tensorboard_gets_losses_and_rates(tmp_path):
    distiller = compiled("sgd")
    fit(distiller, callbacks.TensorBoard(tmp_path, write_steps_per_second=True))
    assert list((tmp_path / "train").glob("events.*")) and list((tmp_path / "validation").glob("events.*"))


def test_a_backup_goes_on_where_it_stopped(tmp_path):
    settings = OptimizerSettings(learning_rate=0.2, schedule="step", milestones=(2,))
    whole = compiled(settings, DML)
    history = fit(whole, epochs=3)

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(settings, DML), backup, callbacks.LambdaCallback(on_epoch_begin=stop), epochs=3)
    resumed = compiled(settings, DML)
    later = fit(resumed, backup, epochs=3)
    assert_same(weights(resumed), weights(whole))
    assert later["val_loss"] == history["val_loss"][2:] and resumed.epoch == 2


class WithHelper(Distiller):
    """A network and a helper that reads its logits."""

    protocol, source = "ie_cifar", "made up"

    def __init__(self, networks, *, teachers=()):
        super().__init__(networks, teachers=teachers)
        inputs = keras.Input((3,))
        self.helpers["judge"] = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="judge")

    def phases(self):
        update = Update("one", (self.networks[0], self.helpers["judge"]), {"cross_entropy": 1.0, "judged": 0.5})
        return (Phase(joint([(update, self._terms)])),)

    def _terms(self, batch, taps):
        judged = self.call_model(self.helpers["judge"], taps["one"]["logits"])[:, 0] ** 2
        return {"cross_entropy": self.task.loss(batch, taps["one"]), "judged": judged}


def test_weights_files_hold_networks_helpers_and_optimizers_and_no_teacher(tmp_path):
    def made(prepared=True):
        distiller = WithHelper([network("one", 3)], teachers=[network("teacher", 4)])
        distiller.compile(optimizer=kinds.SGD(0.1, momentum=0.9), run_eagerly=True)
        if prepared:
            distiller.prepare(steps_per_epoch=STEPS, epochs=2)
        return distiller

    first, path = made(), tmp_path / "all.weights.h5"
    fit(first)
    first.save_weights(path)
    second = made()
    for one in second.teachers:
        one.set_weights([value + 1 for value in one.get_weights()])
    kept = second.teachers[0].get_weights()
    second.load_weights(path)
    for name, variable in first.state().items():
        if not name.startswith("metrics/"):
            np.testing.assert_array_equal(second.state()[name].numpy(), variable.numpy(), err_msg=name)
    assert_same(second.teachers[0].get_weights(), kept)
    with h5py.File(path) as file:
        assert "teachers" not in file
    with pytest.warns(UserWarning, match=r"^load_weights: the optimizers are not made yet, .*prepare\("):
        made(prepared=False).load_weights(path)
    fit(first)
    fit(second)
    assert_same(weights(second), weights(first))


def test_a_distiller_is_not_saved_as_a_model(tmp_path):
    with pytest.raises(NotImplementedError, match=r"^save: .*networks\[0\].save\(path\).*save_weights\(path\)$"):
        compiled("sgd").save(tmp_path / "whole.keras")
    with pytest.raises(NotImplementedError, match=r"^export: .*export_network\(distiller\.networks\[0\]"):
        compiled("sgd").export(tmp_path / "whole")


def test_weights_of_other_networks_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "one.weights.h5"
    Supervised([network("one")]).save_weights(path)
    pair = Supervised([network("one", seed=2), network("two")])
    before = weights(pair)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"^load_weights: [^\n]*h5 does not fit [^\n]*$"):
        warnings.simplefilter("error", UserWarning)  # Keras has one for every layer
        pair.load_weights(path)
    assert_same(weights(pair), before)


def test_a_summary_tells_the_roles_and_what_moves():
    distiller = WithHelper([network("one")], teachers=[network("teacher")])
    lines = []
    distiller.summary(print_fn=lines.append)
    assert lines == [
        "WithHelper: made up",
        "learners",
        "  one  3 →  31 weights  31 of them trainable",
        "teachers",
        "  teacher  3 →  31 weights  31 of them trainable",
        "helpers",
        "  judge  3 →  4 weights  4 of them trainable",
        "updates of phase 'training', the rest of the run, 1 round a step",
        "  one  moves 35 weights of one, judge  down cross_entropy + 0.5 · judged",
    ]
    distiller.summary(print_fn=lines.append, expand_nested=True)
    assert any("logits (Dense)" in line for line in lines)


def test_arguments_stand_where_keras_has_them():
    distiller = compiled("sgd")
    history = distiller.fit(*arrays(), BATCH, 2, 0).history
    assert distiller.steps_trained == 2 * STEPS and len(history["loss"]) == 2
    assert distiller.evaluate(*arrays(), BATCH, 0, return_dict=True).keys() == set(distiller.metrics_names)
    logits = distiller.predict(arrays()[0], BATCH, 0)["one"]["logits"]
    np.testing.assert_allclose(logits, distiller.networks[0](arrays()[0])["logits"], atol=1e-6)


def test_callbacks_come_as_keras_takes_them():
    called = []
    one = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: called.append(epoch))
    distiller = compiled("sgd")
    for given in (None, one, [one], keras.callbacks.CallbackList([one])):
        distiller.fit(*arrays(), batch_size=BATCH, verbose=0, callbacks=given)
    assert called == [0, 0, 0]


def test_all_at_once_on_two_replicas_as_on_one_device(two_replicas, tmp_path):
    """Here in a graph."""
    found = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        folder = tmp_path / str(len(found))
        with strategy.scope():
            distiller = Supervised([network("one")])
            distiller.compile(optimizer=kinds.SGD(0.5, use_ema=True, ema_momentum=0.5), xla="off")
        called = [
            callbacks.SwapEMAWeights(),
            callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=9.0),
            callbacks.BackupAndRestore(folder / "backup"),
            callbacks.ModelCheckpoint(folder / "best.weights.h5", save_best_only=True, save_weights_only=True),
            callbacks.EarlyStopping(restore_best_weights=True),
        ]
        history = fit(distiller, *called, epochs=3)
        assert history["learning_rate_one"] == [0.5, 0.5, 0.25] and (folder / "best.weights.h5").is_file()
        found.append([*weights(distiller), *history["loss"], *history["val_loss"]])
    for value, other in zip(*found, strict=True):
        np.testing.assert_allclose(value, other, atol=1e-6)
