"""What every method must keep, held for every entry of METHODS: a new method gets it for its line in the dict.

Every method is held twice: with its default arguments; and with others, taught by a frozen teacher besides, as by
`--also`. Every phase of its table is held, and everything that it delivers. XLA on two replicas, whose graphs take
longest to make, is held for the defaults. A replica compiles what a single device compiles, so XLA alone is held for
one method: there batches are no twins, and BatchNorm's variances are compared too.
"""

from __future__ import annotations

import contextlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.teachers import fingerprint
from tfdistill.export.saved_model import ServingModule, write_saved_model
from tfdistill.methods import METHODS, add_transfers
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import checkpoints
from tfdistill.transfers import KD, MSE

BATCH, CLASSES = 8, 4
# What a method cannot find by itself for a network that is no architecture of ours.
NEEDED: dict[str, dict] = {"dcm": {"heads": "C2", "head_kind": "pooled"}}
# Arguments that are not the defaults: a line per method that has some.
OTHERS: dict[str, dict] = {
    "dml": {"update": "joint", "temperature": 2.0, "weight": 0.5},
    "afd": {"adversarial": "off", "temperature": 2.0},
    "alignment": {"distance": "l2", "logit_weight": 0.5},
    "dcm": {"pairs": "cross", "update": "alternating", "temperature": 2.0},
    "ie_dml": {"split": "natural", "metric": "cosine", "reconstruction": "l2", "update": "joint"},
    "ensemble_kd": {"temperature": 2.0, "weight": 0.5},
    "kdcl": {"target": "linear", "temperature": 3.0},
    "one": {"ramp_epochs": 0.0, "temperature": 2.0},
    "cl_ilr": {"temperature": 3.0, "weight": 0.5},
    "ffl": {"shared_trunk": True, "temperature": 2.0},
    "distillation": {"label_weight": 0.0},
    "mutual": {"update": "alternating", "label_weight": 0.5},
    "chain": {"links": [[MSE()], [KD(temperature=2.0)]], "label_weight": (0.5, 0.0)},
    "sim_kd": {"label_weight": 0.5, "factor": 4},
}
# A projector of three convolutions with their normalizations stands where the network's own classifier would; the two
# weights of another's come last.
PUT_TOGETHER = {"sim_kd": (3 * 5, 2)}
# XLA alone is held for this one. Its steps have several rounds, each of which is compiled by itself.
XLA_ALONE = ("dml", "default")
DEFAULT_CASES = [XLA_ALONE, *((method, "default") for method in sorted(METHODS) if method != XLA_ALONE[0])]
OTHER_CASES = [(method, "other") for method in sorted(METHODS)]
# Without decay nothing but a gradient moves a weight.
SETTINGS = OptimizerSettings(learning_rate=0.05, nesterov=True)


def batches(steps: int, *, twins: bool = False) -> list[dict[str, np.ndarray]]:
    """Fixed batches; with `twins` the second half repeats the first, so that halves have the whole's statistics."""
    random = np.random.default_rng(5)
    made = []
    for _ in range(steps):
        images = random.standard_normal((BATCH, 8, 8, 3)).astype("float32")
        labels = random.integers(0, CLASSES, BATCH).astype("int32")
        if twins:
            images[BATCH // 2 :], labels[BATCH // 2 :] = images[: BATCH // 2], labels[: BATCH // 2]
        made.append({"images": images, "labels": labels})
    return made


def dataset(examples: list[dict[str, np.ndarray]]) -> tf.data.Dataset:
    whole = {name: np.stack([batch[name] for batch in examples]) for name in examples[0]}
    return tf.data.Dataset.from_tensor_slices(whole)


class Trained:
    """A distiller with its first state kept, so that one traced graph serves many tests."""

    def __init__(self, method, arguments, tiny_network, *, scope=None, xla="off"):
        with scope or contextlib.nullcontext():
            peers = [tiny_network(f"peer{index}", seed=11 * index) for index in range(2)]
            given = {**NEEDED.get(method, {}), **(OTHERS.get(method, {}) if arguments == "other" else {})}
            teacher = tiny_network("teacher", seed=99)
            takes_one = "teachers" in inspect.signature(METHODS[method]).parameters and arguments == "other"
            if METHODS[method].learns_from_teachers or takes_one:
                self.distiller = METHODS[method](peers, teacher, **given)
            else:
                self.distiller = METHODS[method](peers, **given)
            if arguments == "other":
                if not self.distiller.teachers:
                    self.distiller.add_teachers(teacher)
                add_transfers(self.distiller, [KD(temperature=2.0, name="also")])
            self.distiller.compile(dict.fromkeys(self.distiller.recipe(), SETTINGS), xla=xla)
            self.phases = range(len(self.distiller.plan))
            # An epoch of whatever has no epochs of its own.
            self.distiller.prepare(steps_per_epoch=4, epochs=sum(one.epochs or 1 for one in self.distiller.plan))
        self.first = self.snapshot()

    def begins(self, phase):
        """The epoch that a phase begins with."""
        return self.distiller.calendar.begins[phase]

    def snapshot(self):
        return {name: np.array(variable.numpy()) for name, variable in self.distiller.state().items()}

    def restore(self, arrays):
        checkpoints.assign(self.distiller.state(), arrays)

    def train(self, examples, phase=0):
        epoch = self.begins(phase)
        history = self.distiller.fit(
            dataset(examples),
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=len(examples),
            verbose=0,
            shuffle=False,
        )
        return {name: values[0] for name, values in history.history.items()}

    def train_afresh(self, examples, phase=0):
        self.restore(self.first)
        return self.train(examples, phase)


def pytest_generate_tests(metafunc):
    if "trained" in metafunc.fixturenames:
        # The same cases at the same places, so that pytest makes one distiller for all tests of a case.
        cases = {
            test_xla_gives_what_no_xla_gives: [XLA_ALONE],
            test_two_replicas_with_xla_give_what_one_gives_without: DEFAULT_CASES,
        }.get(metafunc.function, [*DEFAULT_CASES, *OTHER_CASES])
        metafunc.parametrize("trained", cases, ids="-".join, indirect=True, scope="module")


@pytest.fixture(scope="module")
def trained(request, tiny_network):
    one = Trained(*request.param, tiny_network)
    one.method = request.param[0]
    taught = [fingerprint(teacher) for teacher in one.distiller.teachers]
    yield one
    assert taught == [fingerprint(teacher) for teacher in one.distiller.teachers], "something has moved a teacher"


def weights(state):
    return {name: value for name, value in state.items() if not name.startswith("metrics/")}


def assert_close(one, other, tolerance):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_its_state_can_lie_in_the_memory_of_a_gpu(trained):
    # TensorFlow keeps int32 variables of a GPU in the host's memory, where a step under XLA cannot read them.
    assert [name for name, one in trained.distiller.state().items() if one.dtype == "int32"] == []


def test_one_step_moves_what_its_updates_own_and_no_bit_of_anything_else(trained):
    distiller = trained.distiller
    models = [*distiller.networks, *distiller.helpers.values()]
    taught = [fingerprint(teacher) for teacher in distiller.teachers]
    for phase in trained.phases:
        trained.restore(trained.first)
        owned = {id(variable) for update in distiller.plan[phase].updates() for variable in update.variables()}
        before = {id(v): np.array(v.numpy()) for model in models for v in model.trainable_variables}
        trained.train(batches(1), phase)
        for model in models:
            for variable in model.trainable_variables:
                moved = not np.array_equal(before[id(variable)], variable.numpy())
                assert moved == (id(variable) in owned), f"phase {phase}: {model.name}/{variable.path}"
    assert taught == [fingerprint(teacher) for teacher in distiller.teachers]


def test_evaluation_moves_nothing(trained):
    trained.train_afresh(batches(1))
    before = weights(trained.snapshot())
    trained.distiller.evaluate(dataset(batches(2)), verbose=0)
    after = weights(trained.snapshot())
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_going_on_within_a_phase_and_across_its_border_is_exact(trained):
    examples = batches(4)
    trained.restore(trained.first)
    for phase in trained.phases:
        trained.train(examples, phase)
    whole = weights(trained.snapshot())
    trained.restore(trained.first)
    for phase in trained.phases:
        for part in (examples[:2], examples[2:]):
            trained.train(part, phase)
            saved = trained.snapshot()
            trained.restore({name: value + np.ones_like(value) for name, value in saved.items()})
            trained.restore(saved)
    resumed = weights(trained.snapshot())
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_every_term_is_there_finite_and_not_zero(trained):
    for phase in trained.phases:
        logs = trained.train_afresh(batches(2), phase)
        for update in trained.distiller.plan[phase].updates():
            for term in update.terms:
                value = logs[f"{update.name}/{term}"]
                assert np.isfinite(value) and value != 0, f"{update.name}/{term} is {value}"


def test_every_term_has_a_gradient_for_its_update(trained):
    trained.restore(trained.first)
    distiller, batch = trained.distiller, {name: tf.constant(value) for name, value in batches(1)[0].items()}
    for this_round in (one for phase in trained.phases for one in distiller.plan[phase].rounds):
        with tf.GradientTape(persistent=True) as tape:
            taps = distiller.call_all(batch, distiller.call_model)
            terms = this_round.losses(batch, taps)
            means = {
                (update.name, name): tf.reduce_mean(terms[update.name][name])
                for update in this_round.updates
                for name in update.terms
            }
        for update in this_round.updates:
            owned = [variable.value for variable in update.variables()]
            for name in update.terms:
                gradients = tape.gradient(means[update.name, name], owned)
                largest = max((float(tf.reduce_max(tf.abs(one))) for one in gradients if one is not None), default=0)
                assert largest > 0, f"{update.name}/{name} moves nothing"


def test_xla_gives_what_no_xla_gives(trained, tiny_network):
    compiled = Trained(trained.method, "default", tiny_network, xla="on")
    compiled.train(batches(2))
    trained.train_afresh(batches(2))
    assert_close(weights(trained.snapshot()), weights(compiled.snapshot()), 2e-4)


def test_two_replicas_with_xla_give_what_one_gives_without(trained, tiny_network, two_replicas):
    # BatchNorm's statistics belong to a replica; those of twin halves are the whole's, but for the unbiased variance.
    two = Trained(trained.method, "default", tiny_network, scope=two_replicas.scope(), xla="on")
    two.restore(trained.first)
    logs, logs_of_two = trained.train_afresh(batches(3, twins=True)), two.train(batches(3, twins=True))
    assert [fingerprint(one) for one in two.distiller.teachers] == [
        fingerprint(one) for one in trained.distiller.teachers
    ]
    first, second = (
        {name: value for name, value in weights(each.snapshot()).items() if not name.endswith("moving_variance")}
        for each in (trained, two)
    )
    assert_close(first, second, 1e-4)
    assert_close(logs, logs_of_two, 1e-4)


def test_it_delivers_bare_networks_and_no_teacher(trained, tiny_network):
    distiller, bare = trained.distiller, tiny_network("bare", seed=0)
    delivered, names = distiller.deliverables(), [network.name for network in distiller.networks]
    assert list(delivered)[: len(names)] == names and set(delivered) - set(names) <= {distiller.task.ensemble_name}
    for name in names:
        shapes, own = ([v.shape for v in one.variables] for one in (delivered[name], bare))
        if trained.method in PUT_TOGETHER:
            projector, classifier = PUT_TOGETHER[trained.method]
            trunk = len(own) - len(bare.get_layer("logits").variables)
            assert len(shapes) == trunk + projector + classifier
            assert shapes[:trunk] == own[:trunk] and shapes[-classifier:] == own[-classifier:]
            assert delivered[name].made_of
        else:
            assert shapes == own
    kept = {id(variable) for variable in distiller.state().values()}
    for name, model in delivered.items():
        assert all(id(variable) in kept for variable in model.variables), name
    assert not [v for teacher in distiller.teachers for v in teacher.variables if id(v) in kept]


@pytest.mark.usefixtures("plain_decoding")
def test_what_it_delivers_is_exported_as_it_is(trained, tmp_path):
    distiller = trained.distiller
    delivered = distiller.deliverables()
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    # One of the networks, which are alike, and an ensemble where there is one.
    for name in (distiller.networks[0].name, *(one for one in delivered if one == distiller.task.ensemble_name)):
        module = ServingModule(delivered[name], mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), labels_file=labels)
        write_saved_model(module, tmp_path / name)
        loaded = tf.saved_model.load(str(tmp_path / name))
        stored = tf.train.list_variables(str(tmp_path / name / "variables" / "variables"))
        assert sorted(shape for key, shape in stored if "VARIABLE_VALUE" in key) == sorted(
            list(variable.shape) for variable in delivered[name].variables
        )
        served = loaded.signatures["serving_default"](images=tf.constant(images))["logits"]
        live = delivered[name](images / 255, training=False)["logits"]
        np.testing.assert_allclose(served, live, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_its_protocol_and_source_are_stated(method):
    made = METHODS[method]
    assert made.protocol and made.source and made.__doc__
    assert issubclass(made, keras.Model)
