"""What every method must keep, held for every entry of METHODS: a new method gets it for its line in the dict."""

from __future__ import annotations

import contextlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export.saved_model import ServingModule, write_saved_model
from tfdistill.methods import METHODS
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import checkpoints

BATCH, CLASSES = 8, 4
# What a method cannot find by itself for a network that is no architecture of ours.
ARGUMENTS: dict[str, dict] = {"dcm": {"heads": "C2", "head_kind": "pooled"}}
SETTINGS = OptimizerSettings(learning_rate=0.05, nesterov=True, weight_decay=1e-3)


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

    def __init__(self, method, tiny_network, *, scope=None, batch_norm=True, xla="off"):
        with scope or contextlib.nullcontext():
            peers = [tiny_network(f"peer{index}", seed=11 * index, batch_norm=batch_norm) for index in range(2)]
            arguments = dict(ARGUMENTS.get(method, {}))
            if "teachers" in inspect.signature(METHODS[method]).parameters:
                arguments["teachers"] = tiny_network("teacher", seed=99, batch_norm=batch_norm)
            self.distiller = METHODS[method](peers, **arguments)
            self.distiller.compile(dict.fromkeys(self.distiller.recipe(), SETTINGS), xla=xla)
            self.distiller.prepare(steps_per_epoch=4, epochs=1)
        self.first = self.snapshot()

    def snapshot(self):
        return {name: np.array(variable.numpy()) for name, variable in self.distiller.state().items()}

    def restore(self, arrays):
        checkpoints.assign(self.distiller.state(), arrays)

    def train(self, examples):
        history = self.distiller.fit(
            dataset(examples), epochs=1, steps_per_epoch=len(examples), verbose=0, shuffle=False
        )
        return {name: values[0] for name, values in history.history.items()}

    def train_afresh(self, examples):
        self.restore(self.first)
        return self.train(examples)


@pytest.fixture(scope="module", params=sorted(METHODS))
def method(request):
    return request.param


@pytest.fixture(scope="module")
def trained(method, tiny_network):
    return Trained(method, tiny_network)


def weights(state):
    return {name: value for name, value in state.items() if not name.startswith("metrics/")}


def assert_close(one, other, tolerance):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_one_step_moves_what_its_updates_own_and_nothing_else(trained):
    trained.restore(trained.first)
    distiller = trained.distiller
    owned = {id(variable) for update in distiller.phase.updates() for variable in update.variables()}
    models = [*distiller.networks, *distiller.helpers.values()]
    before = {id(v): np.array(v.numpy()) for model in models for v in model.trainable_variables}
    # Without decay nothing but a gradient moves a weight.
    trained.train(batches(1))
    for model in models:
        for variable in model.trainable_variables:
            moved = not np.array_equal(before[id(variable)], variable.numpy())
            assert moved == (id(variable) in owned), f"{model.name}/{variable.path}"


def test_evaluation_moves_nothing(trained):
    trained.train_afresh(batches(1))
    before = weights(trained.snapshot())
    trained.distiller.evaluate(dataset(batches(2)), verbose=0)
    after = weights(trained.snapshot())
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_training_two_and_two_steps_is_training_four_bit_for_bit(trained):
    examples = batches(4)
    trained.train_afresh(examples)
    whole = weights(trained.snapshot())
    trained.train_afresh(examples[:2])
    half = trained.snapshot()
    trained.restore({name: value + np.ones_like(value) for name, value in half.items()})
    trained.restore(half)
    trained.train(examples[2:])
    resumed = weights(trained.snapshot())
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_every_term_is_there_finite_and_not_zero(trained):
    logs = trained.train_afresh(batches(2))
    for update in trained.distiller.phase.updates():
        for term in update.terms:
            value = logs[f"{update.name}/{term}"]
            assert np.isfinite(value) and value != 0, f"{update.name}/{term} is {value}"


def test_every_term_has_a_gradient_for_its_update(trained):
    trained.restore(trained.first)
    distiller, batch = trained.distiller, {name: tf.constant(value) for name, value in batches(1)[0].items()}
    for this_round in distiller.phase.rounds:
        with tf.GradientTape(persistent=True) as tape:
            taps = distiller.call_all(batch["images"], distiller.call_model)
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


def test_xla_gives_what_no_xla_gives(method, trained, tiny_network):
    compiled = Trained(method, tiny_network, xla="on")
    compiled.train(batches(2))
    trained.train_afresh(batches(2))
    assert_close(weights(trained.snapshot()), weights(compiled.snapshot()), 2e-4)


def test_two_replicas_with_xla_give_what_one_gives_without(method, trained, tiny_network, two_replicas):
    # BatchNorm's statistics belong to a replica; those of twin halves are the whole's, but for the unbiased variance.
    two = Trained(method, tiny_network, scope=two_replicas.scope(), xla="on")
    two.restore(trained.first)
    logs, logs_of_two = trained.train_afresh(batches(3, twins=True)), two.train(batches(3, twins=True))
    first, second = (
        {name: value for name, value in weights(each.snapshot()).items() if not name.endswith("moving_variance")}
        for each in (trained, two)
    )
    assert_close(first, second, 1e-4)
    assert_close(logs, logs_of_two, 1e-4)


@pytest.mark.usefixtures("plain_decoding")
def test_the_export_is_a_bare_network(trained, tiny_network, tmp_path):
    network, bare = trained.distiller.networks[0], tiny_network("bare", seed=0)
    assert [v.shape for v in network.variables] == [v.shape for v in bare.variables]
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    module = ServingModule(network, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), labels_file=labels)
    write_saved_model(module, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    stored = tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))
    assert sorted(shape for name, shape in stored if "VARIABLE_VALUE" in name) == sorted(
        list(variable.shape) for variable in bare.variables
    )
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    served = loaded.signatures["serving_default"](images=tf.constant(images))["logits"]
    live = network(images / 255, training=False)["logits"]
    np.testing.assert_allclose(served, live, rtol=1e-5, atol=1e-5)


def test_its_protocol_and_source_are_stated(method):
    made = METHODS[method]
    assert made.protocol and made.source and made.__doc__
    assert issubclass(made, keras.Model)
