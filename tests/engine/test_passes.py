"""Forward passes that a round takes over from the one before, against a fresh pass in every round."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller
from tfdistill.engine.updates import Phase, Round, Update
from tfdistill.methods import DML
from tfdistill.networks.layers import BatchNormalization, Dropout
from tfdistill.optimizers import OptimizerSettings

SETTINGS = {"networks": OptimizerSettings(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)}
STEPS, BATCH = 3, 8


def block(x, name, seed, norm=BatchNormalization, dropout=0.0):
    draw = keras.initializers.RandomNormal(stddev=0.3, seed=seed)
    x = keras.layers.Conv2D(3, 3, use_bias=False, kernel_initializer=draw, name=f"{name}_conv")(x)
    x = keras.layers.ReLU(name=f"{name}_relu")(norm(name=f"{name}_norm")(x))
    return Dropout(dropout, seed=seed, name=f"{name}_dropout")(x) if dropout else x


def classifier(x, seed):
    draw = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.layers.Dense(3, kernel_initializer=draw, dtype="float32", name="logits")(pooled)


def network(name, seed, nested=False, **settings):
    images = x = keras.Input((6, 6, 2), name="images")
    if nested:
        x = keras.Model(images, block(images, "inner", seed, **settings), name=f"{name}_inner")(images)
    x = block(x, "outer", seed + 1, **settings)
    return keras.Model(images, {"features": x, "logits": classifier(x, seed)}, name=name)


def data():
    draw = np.random.default_rng(1)
    images = draw.normal(size=(STEPS, BATCH, 6, 6, 2)).astype("float32")
    labels = draw.integers(0, 3, (STEPS, BATCH)).astype("int32")
    return tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels})


def train(make, *, afresh=False, xla="off", strategy=None):
    """The state after some steps, the logs, and the names of the models called for the rounds of one step."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        distiller = make()
    if afresh:
        observe = distiller.call_networks
        distiller.call_networks = lambda images, call: observe(images, distiller.call_model)
    forward, called = distiller.call_model, []
    distiller.call_model = lambda model, inputs: called.append(model.name) or forward(model, inputs)
    distiller.compile(SETTINGS, xla=xla)
    logs = distiller.fit(data(), verbose=0, shuffle=False).history
    local = distiller.distribute_strategy.experimental_local_results
    state = {
        name: [copy.numpy() for copy in local(variable.value)]
        for name, variable in distiller.state().items()
        if not name.startswith("metrics/")
    }
    return state, logs, called


def assert_same(make, called, **arguments):
    """What is taken over changes nothing; `called`: the models that one step calls for its rounds."""
    state, logs, calls = train(make, **arguments)
    afresh, logs_afresh, calls_afresh = train(make, afresh=True, **arguments)
    # Replicas are traced side by side.
    assert calls == called if "strategy" not in arguments else sorted(calls) == sorted(called)
    assert len(calls_afresh) >= len(calls)
    assert state.keys() == afresh.keys()
    for name, copies in state.items():
        np.testing.assert_allclose(copies, afresh[name], rtol=1e-6, atol=1e-6, err_msg=name)
    for name, values in logs_afresh.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5, err_msg=name)
    return state


def peers(count, **settings):
    return [network(f"peer{index}", 10 * index, **settings) for index in range(count)]


@pytest.mark.parametrize("norm", [BatchNormalization, keras.layers.BatchNormalization])
def test_three_peers_in_turn_cost_five_passes_and_move_their_statistics_nine_times(norm):
    assert_same(lambda: DML(peers(3, norm=norm, nested=True)), ["peer0", "peer1", "peer2", "peer0", "peer1"])


def test_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert_same(lambda: DML(peers(2)), ["peer0", "peer1", "peer0"])
    finally:
        keras.config.set_dtype_policy("float32")


def test_on_two_replicas_each_with_statistics_of_its_own(two_replicas):
    names = 2 * ["peer0", "peer1", "peer0"]
    state = assert_same(lambda: DML(peers(2)), names, strategy=two_replicas)
    means = next(copies for name, copies in state.items() if name.endswith("moving_mean"))
    assert len(means) == 2 and np.abs(means[0] - means[1]).max() > 1e-4


def test_under_xla_every_round_makes_its_own():
    _, _, called = train(lambda: DML(peers(2)), xla="on")
    assert called == ["peer0", "peer1", "peer0", "peer1"]


def test_a_network_that_draws_is_called_anew_and_draws_as_often():
    state = assert_same(
        lambda: DML([network("plain", 10), network("drawing", 0, dropout=0.4)]),
        ["plain", "drawing", "plain", "drawing"],
    )
    assert any("seed_generator" in name for name in state)


class Made(Distiller):
    """A trunk with two branches and a network that nobody moves; the rounds move the branches, the trunk, and all."""

    protocol = "ie_cifar"
    source = "made up"

    def __init__(self):
        images = keras.Input((6, 6, 2), name="images")
        self.trunk = keras.Model(images, block(images, "trunk", 1), name="trunk")
        maps = keras.Input(self.trunk.output.shape[1:])
        branches = []
        for seed, name in ((2, "left"), (3, "right")):
            x = block(maps, name, seed)
            branches.append(keras.Model(maps, {"logits": classifier(x, seed)}, name=f"{name}_branch"))
        whole = [keras.Model(images, one(self.trunk(images)), name=one.name[:-7]) for one in branches]
        super().__init__([*whole, network("frozen", 5)])
        self.branches = branches

    def call_networks(self, images, call):
        maps = call(self.trunk, images)
        taps = {one.name[:-7]: call(one, maps) for one in self.branches}
        return {**taps, "frozen": call(self.networks[-1], images)}

    def phases(self):
        left, right = self.branches
        owners = {"left": (left,), "trunk": (self.trunk,), "right": (right,), "all": (self.trunk, left, right)}
        return (Phase(tuple(self.moving(name, models) for name, models in owners.items())),)

    def moving(self, name, models):
        update = Update(name, models, {"cross_entropy": 1.0, "apart": 0.1})

        def losses(batch, taps):
            supervised = [self.task.loss(batch, taps[one]) for one in ("left", "right")]
            apart = taps["left"]["logits"] * taps["right"]["logits"] * taps["frozen"]["logits"]
            return {name: {"cross_entropy": tf.add_n(supervised), "apart": tf.reduce_sum(apart, axis=1)}}

        return Round(losses, (update,))


def test_what_is_downstream_of_a_moved_model_is_called_anew():
    everything = ["trunk", "left_branch", "right_branch", "frozen"]
    # Moving a branch leaves the trunk and the other branch as they are; moving the trunk leaves nothing but the frozen.
    assert_same(Made, [*everything, "left_branch", "trunk", "left_branch", "right_branch", "right_branch"])
