"""The engine, with made-up methods on networks of one matrix, whose steps can be worked by hand."""

import contextlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller, optimizers
from tfdistill.engine.keras_habits import resolved_xla
from tfdistill.engine.updates import Phase, Round, Update, alternating, joint
from tfdistill.methods import DML
from tfdistill.networks.layers import BatchNormalization

RATE = 0.5
PLAIN = {"networks": optimizers.OptimizerSettings(learning_rate=RATE, momentum=0.0)}


def linear(name, seed=0, norm=False):
    """`logits = x W`, for images [1, 1, 2]; with `norm` a BatchNorm comes first."""
    images = keras.Input((1, 1, 2), name="images")
    x = keras.layers.Flatten()(images)
    x = BatchNormalization(name="norm")(x) if norm else x
    draw = keras.initializers.RandomNormal(seed=seed)
    return keras.Model(images, {"logits": keras.layers.Dense(2, use_bias=False, kernel_initializer=draw)(x)}, name=name)


def helper(name, norm=False):
    inputs = keras.Input((2,))
    x = BatchNormalization(name=f"{name}_norm")(inputs) if norm else inputs
    draw = keras.initializers.RandomNormal(seed=7)
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer=draw)(x), name=name)


class Made(Distiller):
    """A method whose table is given."""

    protocol = "ie_cifar"
    source = "made up"

    def __init__(self, networks, table, helpers=()):
        super().__init__(networks)
        self.helpers |= {one.name: one for one in helpers}
        self.table = table

    def phases(self):
        return self.table(self)


def images(seed=0, examples=4):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(examples, 1, 1, 2)).astype("float32")


def batches(count, examples=4):
    """`count` different batches."""
    x = np.concatenate([images(seed, examples) for seed in range(count)])
    y = np.arange(len(x), dtype="int32") % 2
    return tf.data.Dataset.from_tensor_slices({"images": x, "labels": y}).batch(examples)


def weight(model):
    return model.get_layer(index=-1).kernel.numpy().astype("float64")


def train(distiller, data, chosen=PLAIN, **arguments):
    distiller.compile(chosen, xla="off", steps_per_execution=arguments.pop("steps_per_execution", 1))
    return distiller.fit(data, verbose=0, shuffle=False, **arguments).history


def products(learner, source):
    """The term `sum(z_learner * z_source)` per example, whose gradient depends on the source's weights."""
    return Update(learner.name, (learner,), {"product": 2.0}), lambda batch, taps: {
        "product": tf.reduce_sum(taps[learner.name]["logits"] * taps[source.name]["logits"], axis=1)
    }


def product_step(x, own, other):
    """`W - rate * 2 * mean_i x_i (x_i V)^T`."""
    return own - RATE * 2.0 * x.T @ (x @ other) / len(x)


@pytest.mark.parametrize("order", [joint, alternating])
def test_gradients_of_a_round_are_taken_before_any_is_applied(order):
    one, two = linear("one", 1), linear("two", 2)
    before = weight(one), weight(two)
    distiller = Made([one, two], lambda made: (Phase(order([products(one, two), products(two, one)])),))
    train(distiller, batches(1))
    x = images().reshape(4, 2)
    first = product_step(x, *before)
    second = product_step(x, before[1], before[0] if order is joint else first)
    np.testing.assert_allclose(weight(one), first, atol=1e-6)
    np.testing.assert_allclose(weight(two), second, atol=1e-6)
    assert np.abs(first - before[0]).max() > 1e-2


def test_an_update_moves_what_it_owns_and_nothing_else():
    one, two, extra = linear("one", 1, norm=True), linear("two", 2), helper("extra")

    def losses(batch, taps):
        return {"only": {"all": tf.reduce_sum(extra(taps["one"]["logits"]) * taps["two"]["logits"], axis=1)}}

    table = (Phase((Round(losses, (Update("only", (one,), {"all": 1.0}),)),)),)
    distiller = Made([one, two], lambda made: table, [extra])
    before = [model.get_weights() for model in (one, two, extra)]
    train(distiller, batches(2))
    for old, model in zip(before[1:], (two, extra), strict=True):
        np.testing.assert_array_equal(old[0], model.get_weights()[0])
    assert all(np.abs(old - new).max() > 1e-6 for old, new in zip(before[0], one.get_weights(), strict=True))


@pytest.fixture(scope="module")
def phased():
    """Two epochs that move the teacher and its helper, then one that moves the student; five steps each."""
    teacher, student, extra = linear("teacher", 1, norm=True), linear("student", 2, norm=True), helper("extra", True)

    def taught(made):
        def early(batch, taps):
            told = tf.square(made.call_model(extra, taps["teacher"]["logits"])[:, 0] - 1.0)
            return {"teach": {"cross_entropy": made.task.loss(batch, taps["teacher"]), "told": told}}

        def late(batch, taps):
            made.call_model(extra, taps["teacher"]["logits"])
            return {"learn": {"cross_entropy": made.task.loss(batch, taps["student"])}}

        return (
            Phase((Round(early, (Update("teach", (teacher, extra), {"cross_entropy": 1.0, "told": 0.1}),)),), epochs=2),
            Phase((Round(late, (Update("learn", (student,), {"cross_entropy": 1.0}),)),)),
        )

    distiller = Made([teacher, student], taught, [extra])
    models = {"teacher": teacher, "student": student, "extra": extra}
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append({name: model.get_weights() for name, model in models.items()})

    history = train(
        distiller,
        batches(5).repeat(),
        epochs=3,
        steps_per_epoch=5,
        steps_per_execution=4,
        validation_data=batches(3, 8),
        callbacks=[Watch()],
    )
    seen.append({name: model.get_weights() for name, model in models.items()})
    return distiller, seen, history


def test_a_phase_moves_its_models_and_their_statistics_and_no_other(phased):
    _, seen, _ = phased
    moved = []
    for before, after in itertools.pairwise(seen):
        pairs = {name: zip(before[name], after[name], strict=True) for name in before}
        moved.append({name: [bool((old != new).any()) for old, new in pair] for name, pair in pairs.items()})
    for epoch, moving in enumerate((["teacher", "extra"], ["teacher", "extra"], ["student"])):
        for name, changes in moved[epoch].items():
            assert changes == [name in moving] * len(changes), (epoch, name)


def test_steps_that_do_not_divide_by_the_execution_are_exact(phased):
    distiller, _, _ = phased
    steps = {name: int(optimizer.iterations) for name, optimizer in distiller.update_optimizers.items()}
    assert steps == {"teach": 10, "learn": 5}
    assert distiller.steps_trained == 15


def test_history_has_every_update_network_and_the_ensemble(phased):
    _, _, history = phased
    training = {"teach/loss", "teach/cross_entropy", "teach/told", "learn/loss", "learn/cross_entropy"}
    training |= {"teacher/accuracy", "student/accuracy", "loss", "val_loss"}
    scores = {
        f"val_{name}/{metric}"
        for name in ("teacher", "student", "ensemble")
        for metric in ("accuracy", "top5", "cross_entropy")
    }
    assert set(history) == training | scores
    assert all(np.all(np.isfinite(values)) for values in history.values())
    # What a phase does not train has no value in its epochs.
    epochs = {"teach": 2, "teacher": 2, "learn": 1, "student": 1}
    assert all(len(values) == epochs.get(name.split("/")[0], 3) for name, values in history.items())


def test_a_phase_without_a_learner_has_no_loss_that_a_callback_could_take_for_a_good_one():
    network, extra = linear("one"), helper("extra")

    def phases(made):
        def moving(name, model):
            return Update(name, (model,), {"size": 1.0}), lambda batch, taps: {
                "size": tf.reduce_sum(made.call_model(extra, taps["one"]["logits"]) ** 2, axis=1)
            }

        return Phase(joint([moving("before", extra)]), epochs=1), Phase(joint([moving("one", network)]))

    distiller = Made([network], phases, [extra])
    distiller.compile(PLAIN, run_eagerly=True)
    history = distiller.fit(batches(1), epochs=2, verbose=0, shuffle=False).history
    assert {name: len(values) for name, values in history.items()} == {
        **dict.fromkeys(["before/loss", "before/size", "one/loss", "one/size", "one/accuracy", "loss"], 1)
    }


def test_state_has_the_same_keys_in_another_instance_and_covers_the_optimizers():
    def made():
        distiller = DML([linear("one", norm=True), linear("two")])
        distiller.compile()
        distiller.prepare(steps_per_epoch=3, epochs=2)
        return distiller

    keys = list(made().state())
    assert keys == list(made().state())
    momenta = [key for key in keys if key.startswith("optimizers/one/") and "momentum" in key]
    assert len(momenta) == 3
    for start in ("optimizers/two/0000/iteration", "networks/one/", "metrics/one/mutual", "metrics/two/accuracy"):
        assert any(key.startswith(start) for key in keys), start
    of_network = [key.rsplit("/", 1)[1] for key in keys if key.startswith("networks/one/")]
    assert of_network == ["gamma", "beta", "moving_mean", "moving_variance", "kernel"]


def test_every_example_is_scored_once():
    one, two = linear("one", 1), linear("two", 2)
    distiller = DML([one, two])
    distiller.compile(xla="off", steps_per_execution=4)
    x, y = images(3, 17), np.random.default_rng(4).integers(0, 2, 17).astype("int32")
    scores = distiller.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    logits = [x.reshape(17, 2) @ weight(network) for network in (one, two)]
    logits.append(sum(logits) / 2)
    for name, z in zip(("one", "two", "ensemble"), logits, strict=True):
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        assert scores[f"{name}/accuracy"] == pytest.approx((z.argmax(1) == y).mean())
        assert scores[f"{name}/top5"] == 1.0
        assert scores[f"{name}/cross_entropy"] == pytest.approx(-log_p[np.arange(17), y].mean(), rel=1e-5)
    padded = {
        "images": np.concatenate([x, images(5, 7)]),
        "labels": np.concatenate([y, np.zeros(7, "int32")]),
        "weight": np.repeat(np.float32([1, 0]), (17, 7)),
    }
    again = distiller.evaluate(tf.data.Dataset.from_tensor_slices(padded).batch(8), verbose=0, return_dict=True)
    assert again == pytest.approx(scores)


def test_dict_batches_tuples_and_arrays_train_alike():
    x, y = images(0, 8), np.arange(8, dtype="int32") % 2
    slices = tf.data.Dataset.from_tensor_slices
    found = []
    for data, labels in (
        (slices({"images": x, "labels": y}).batch(4), None),
        (slices((x, y)).batch(4), None),
        (x, y),
    ):
        networks = [linear("one", 1), linear("two", 2)]
        distiller = DML(networks)
        distiller.compile(PLAIN, xla="off")
        distiller.fit(data, labels, batch_size=4 if labels is not None else None, shuffle=False, verbose=0)
        assert distiller.steps_trained == 2
        found.append([weight(network) for network in networks])
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=1e-6)
    assert np.abs(found[0][0] - weight(linear("fresh", 1))).max() > 1e-3


def test_a_partial_last_batch_is_averaged_over_its_own_examples():
    network = linear("one", 1)
    before = weight(network)
    distiller = Made([network], lambda made: (Phase(joint([products(network, network)])),))
    x = images(0, 7)
    distiller.compile(PLAIN, xla="off")
    distiller.fit(x, np.zeros(7, "int32"), batch_size=4, shuffle=False, verbose=0)
    for part in (x[:4].reshape(4, 2), x[4:].reshape(3, 2)):
        before = before - RATE * 2.0 * 2.0 * part.T @ part @ before / len(part)
    np.testing.assert_allclose(weight(network), before, atol=1e-5)


def test_what_is_split_off_for_validation_is_not_counted_as_steps():
    distiller = DML([linear("one", 1), linear("two", 2)])
    settings = optimizers.OptimizerSettings(schedule="step", milestones=(2,))
    distiller.compile({"networks": settings}, xla="off", steps_per_execution=4)
    x, y = images(0, 24), np.zeros(24, "int32")
    history = distiller.fit(x, y, batch_size=4, validation_split=0.25, epochs=2, shuffle=False, verbose=0).history
    assert distiller.steps_trained == int(distiller.update_optimizers["two"].iterations) == 10
    # An epoch of the schedule is five steps too: the rate drops right after the second.
    assert float(distiller.update_optimizers["one"].learning_rate) == pytest.approx(0.01)
    assert len(history["val_one/accuracy"]) == 2


@pytest.mark.parametrize("scope", [contextlib.nullcontext, lambda: tf.distribute.MirroredStrategy(["CPU:0"]).scope()])
def test_xla_changes_nothing_but_rounding(scope):
    found = {}
    for xla in ("on", "off"):
        with scope():
            networks = [linear("one", 1, norm=True), linear("two", 2)]
            distiller = DML(networks)
            distiller.compile(PLAIN, xla=xla)
        history = distiller.fit(batches(3), verbose=0, shuffle=False).history
        found[xla] = [value for network in networks for value in network.get_weights()], history
    for on, off in zip(found["on"][0], found["off"][0], strict=True):
        np.testing.assert_allclose(on, off, atol=1e-4)
    for name, values in found["off"][1].items():
        np.testing.assert_allclose(found["on"][1][name], values, atol=1e-4)


def test_a_schedule_brought_to_another_epoch_holds_under_xla_too():
    settings = optimizers.OptimizerSettings(learning_rate=RATE, schedule="step", milestones=(2,), factor=0.01)
    found = {}
    for xla in ("on", "off"):
        distiller = DML([linear("one", 1), linear("two", 2)])
        distiller.compile({"networks": settings}, xla=xla)
        distiller.prepare(steps_per_epoch=3, epochs=4)
        distiller.fit(batches(3), epochs=1, verbose=0, shuffle=False)
        before = weight(distiller.networks[0])
        distiller.fit(batches(3), initial_epoch=2, epochs=3, verbose=0, shuffle=False)
        found[xla] = weight(distiller.networks[0]) - before
    assert np.abs(found["off"]).max() > 1e-4
    np.testing.assert_allclose(found["on"], found["off"], atol=1e-6)


class FromPython(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that XLA cannot compile."""

    def __call__(self, step):
        rate = tf.py_function(lambda step: RATE / (1.0 + float(step)), [step], tf.float32)
        return tf.ensure_shape(rate, ())


def test_an_optimizer_of_ones_own_may_do_what_xla_cannot():
    found = {}
    for xla in ("on", "off"):
        distiller = DML([linear("one", 1), linear("two", 2)])
        distiller.compile({name: keras.optimizers.SGD(FromPython()) for name in ("one", "two")}, xla=xla)
        distiller.fit(batches(3), verbose=0, shuffle=False)
        found[xla] = weight(distiller.networks[0])
    np.testing.assert_allclose(found["on"], found["off"], atol=1e-4)


def test_int32_variables_and_a_gpu_leave_xla_off(monkeypatch):
    class Counting(keras.layers.Flatten):
        def build(self, shape):
            self.count = self.add_weight(shape=(), dtype="int32", trainable=False, name="count")

    images = keras.Input((1, 1, 2))
    counting = keras.Model(images, {"logits": keras.layers.Dense(2)(Counting()(images))}, name="one")
    distiller, sound = DML([counting, linear("two", 2)]), DML([linear("one", 1), linear("two", 2)])
    sound.compile(PLAIN, xla="on")
    distiller.compile(PLAIN, xla="on")  # a processor reads them
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU"] if kind == "GPU" else [])
    said = r"^xla: a compiled step on a GPU cannot read \S*count, an int32 variable"
    with pytest.raises(ValueError, match=said + "; make it int64, or leave xla out$"):
        distiller.compile(PLAIN, xla="on")
    with pytest.warns(UserWarning, match=said + ", so that XLA is off"):
        distiller.compile(PLAIN)
    assert [resolved_xla(xla, False, sound.networks) for xla in ("auto", "on", "off")] == [True, True, False]


def test_optimizers_of_ones_own_by_update_and_settings_by_group():
    distiller = DML([linear("one", 1), linear("two", 2)])
    own = keras.optimizers.Adam(0.25)
    distiller.compile({"two": own, "networks": optimizers.OptimizerSettings(kind="adam", learning_rate=0.125)})
    distiller.prepare(steps_per_epoch=1, epochs=1)
    assert distiller.update_optimizers["two"] is own and own.built
    chosen = distiller.update_optimizers["one"]
    assert isinstance(chosen, optimizers.Adam) and float(chosen.learning_rate) == 0.125


def test_the_papers_recipe_serves_what_is_not_chosen():
    distiller = DML([linear("one", 1), linear("two", 2)])
    distiller.compile()
    distiller.prepare(steps_per_epoch=1, epochs=1)
    settings = optimizers.PROTOCOLS["dml_original"].settings
    for optimizer in distiller.update_optimizers.values():
        assert optimizer.nesterov and optimizer.coupled_decay == settings.weight_decay
        assert float(optimizer.learning_rate) == pytest.approx(settings.learning_rate)


def broken(terms, *, with_helper=False):
    """A method of one network whose round gives `terms(logits)`; its update may own a helper too."""
    network, extra = linear("one"), helper("extra")
    update = Update("one", (network, extra) if with_helper else (network,), {"term": 1.0})
    this_round = Round(lambda batch, taps: terms(taps["one"]["logits"]), (update,))
    return Made([network], lambda made: (Phase((this_round,)),), [extra])


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (lambda z: {"one": {"term": z}}, r"term one/term: a loss is one value per example, not shape \(None, 2\)"),
        (lambda z: {"one": {"term": tf.reduce_mean(z)}}, r"term one/term: .*, not shape \(\)"),
        (lambda z: {"one": {}}, r"update 'one' weights \['term'\], but its round gives \[\]"),
        (lambda z: {}, r"update 'one' weights \['term'\], but its round gives \[\]"),
        (
            lambda z: {"one": {"term": z[:, 0], "more": z[:, 1]}},
            r"update 'one' weights \['term'\], but its round gives \['more', 'term'\]",
        ),
        (lambda z: {"one": {"term": z[:, 0]}, "two": {}}, r"the round of \['one'\] gives terms for \['two'\], .*"),
    ],
)
def test_a_method_that_does_not_add_up_is_refused_in_one_line(terms, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        train(broken(terms), batches(1))


def test_a_variable_that_no_term_depends_on_is_named():
    with pytest.raises(ValueError, match=r"^update 'one': none of its terms depends on \S+/kernel, which it owns$"):
        train(broken(lambda z: {"one": {"term": z[:, 0]}}, with_helper=True), batches(1))


def test_updates_of_one_name_are_refused():
    one, two = linear("one"), linear("two")
    distiller = Made([one, two], lambda made: (Phase(joint([products(one, two)])), Phase(joint([products(one, two)]))))
    with pytest.raises(ValueError, match=r"^phases: the names of updates must differ"):
        distiller.compile()


def test_wrong_arguments_of_compile_are_refused():
    distiller = DML([linear("one"), linear("two")])
    with pytest.raises(ValueError, match=r"^optimizers: no group or update 'three'; there are .*'one', 'two'\]$"):
        distiller.compile({"three": keras.optimizers.SGD()})
    with pytest.raises(ValueError, match=r"^xla: 'maybe' is none of 'auto', 'on', 'off'$"):
        distiller.compile(xla="maybe")


def test_one_optimizer_cannot_serve_two_updates():
    distiller = DML([linear("one"), linear("two")])
    distiller.compile({"networks": keras.optimizers.SGD()})
    with pytest.raises(ValueError, match=r"^optimizers: one cannot serve two updates; give 'two' its own$"):
        distiller.prepare(steps_per_epoch=1, epochs=1)


def test_fit_asks_for_compile_first():
    with pytest.raises(ValueError, match=r"compile\(\)"):
        DML([linear("one"), linear("two")]).fit(images(), np.zeros(4, "int32"), verbose=0)


def test_training_data_of_unknown_length_needs_steps_per_epoch():
    distiller = DML([linear("one"), linear("two")])
    distiller.compile()
    with pytest.raises(ValueError, match=r"^steps_per_epoch: "):
        distiller.fit(batches(1).repeat(), verbose=0)


def test_wrong_networks_are_refused():
    with pytest.raises(ValueError, match=r"^networks: at least one"):
        Made([], lambda made: ())
    one = linear("one")
    with pytest.raises(ValueError, match=r"^networks: one is given twice; build it once more"):
        DML([one, linear("two"), one])
    with pytest.raises(ValueError, match=r"^networks: 'ensemble' is what all networks together are called"):
        DML([linear("one"), linear("ensemble")])
    images = keras.Input((1, 1, 2))
    for outputs in (images, {"features": images}):
        with pytest.raises(ValueError, match=r"^networks: bare must return a dict of taps with 'logits'"):
            DML([linear("one"), keras.Model(images, outputs, name="bare")])


def test_a_batch_of_another_kind_is_refused():
    distiller = DML([linear("one"), linear("two")])
    distiller.compile(PLAIN, xla="off")
    with pytest.raises(ValueError, match=r"^data: a batch must be a dict"):
        distiller.fit(tf.data.Dataset.from_tensors({"x": images()}), verbose=0, shuffle=False)


def test_a_method_must_state_its_phases():
    with pytest.raises(TypeError, match=r"^Distiller must say its phases\(\)$"):
        Distiller([linear("one")]).compile()


def test_what_needs_compile_says_so():
    distiller = DML([linear("one", 1), linear("two", 2)])
    for needs, call in {
        "fit": lambda: distiller.fit(batches(1)),
        "prepare": lambda: distiller.prepare(steps_per_epoch=1, epochs=1),
    }.items():
        with pytest.raises(
            ValueError, match=rf"^{needs}: call compile\(\) first; without arguments it takes the paper"
        ):
            call()
