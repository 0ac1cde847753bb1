"""Networks on one trunk: which layer is on which side, and that each whole is a network like any other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.helpers.shared_trunk import share_trunk

# Name, image size, where the default cut is, and which taps but the stages lie before it.
ARCHITECTURES = [
    ("resnet8", 8, "stage2", {"stem", "stage1_preactivation", "stage2_preactivation"}),
    ("wide_resnet_10_1_dropout", 8, "stage2", {"stem", "stage1_preactivation"}),
    ("resnet11_preactivation", 8, "stage2", {"stem", "stage1_preactivation"}),
    ("mobilenet", 4, "stage2", {"stem", "stage1_preactivation", "stage2_preactivation"}),
    ("densenet_10_4", 8, "stage2", {"stem", "transition1", "stage1_preactivation"}),
    ("vgg11_bn", 32, "stage4", {f"stage{stage}_preactivation" for stage in (1, 2, 3, 4)}),
    ("tiny", 8, "stage1", set()),
]


def ids(model):
    return {id(variable) for variable in model.variables}


def described(network):
    return [(variable.name, tuple(variable.shape)) for variable in network.variables]


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda one: one[0])
def shared(request, tiny_network):
    """Two networks of an architecture that share a trunk; the networks given; images; where they are to be cut."""
    name, size, tap, before = request.param

    def make(seed):
        if name == "tiny":
            return tiny_network(f"peer{seed}", seed=10 * seed)
        return networks.build(name, classes=4, image_shape=(size, size, 3), seed=seed, model_name=f"peer{seed}")

    given = [make(seed) for seed in (0, 1)]
    first = [[variable.numpy() for variable in network.variables] for network in given]
    images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype("float32")
    return share_trunk(given), given, first, images, make, (tap, before)


def test_the_default_cut_is_behind_the_last_but_one_stage(shared):
    made, given, *_, (tap, before) = shared
    stages = {f"stage{number}" for number in range(1, int(tap.removeprefix("stage")) + 1)}
    assert made.tap == tap
    assert set(made.trunk.output) == stages | before
    for branch in made.branches:
        assert set(branch.output) == set(given[0].output) - stages - before


def test_no_layer_is_lost_and_none_is_on_both_sides(shared):
    made = shared[0]
    branches = [ids(branch) for branch in made.branches]
    assert not branches[0] & branches[1]
    for network, branch in zip(made.networks, branches, strict=True):
        assert not ids(made.trunk) & branch
        assert ids(made.trunk) | branch == ids(network)


def test_the_trunk_is_the_first_networks_and_the_branches_are_their_own(shared):
    made, given, first, *_ = shared
    assert ids(made.trunk) <= ids(given[0]) and ids(made.branches[1]) <= ids(given[1])
    for own, network, before in zip((0, 1), made.networks, first, strict=True):
        for place, variable in enumerate(network.variables):
            expected = first[0][place] if id(variable) in ids(made.trunk) else before[place]
            np.testing.assert_array_equal(variable, expected, err_msg=f"{own} {variable.path}")


def test_a_whole_network_is_as_a_bare_one(shared):
    """The same layers, variables and taps in the same order, so that a checkpoint of one is one of the other."""
    made, given, _, images, make, _ = shared
    for network, own in zip(made.networks, given, strict=True):
        bare = make(2)
        assert network.name == own.name
        assert getattr(network, "architecture", None) == getattr(own, "architecture", None)
        assert described(network) == described(bare)
        assert [layer.name for layer in network.layers] == [layer.name for layer in bare.layers]
        assert list(network.output) == list(bare.output)
        assert network.input.name == "images"
        bare.set_weights(network.get_weights())
        taps, expected = network(images, training=False), bare(images, training=False)
        for tap, value in expected.items():
            np.testing.assert_allclose(taps[tap], value, rtol=1e-5, atol=1e-5, err_msg=tap)


def test_the_parts_compute_what_the_wholes_do(shared):
    made, _, _, images, *_ = shared
    taps = made.call_networks(images, lambda model, inputs: model(inputs, training=False))
    assert list(taps) == ["peer0", "peer1"]
    for network in made.networks:
        expected = network(images, training=False)
        assert list(taps[network.name]) == list(network.output)
        for tap, value in expected.items():
            np.testing.assert_allclose(taps[network.name][tap], value, rtol=1e-5, atol=1e-5, err_msg=tap)
    first, second = (taps[name]["logits"] for name in ("peer0", "peer1"))
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


def test_the_trunk_runs_once_and_the_branches_read_what_comes_between(tiny_network):
    made = share_trunk([tiny_network("one", seed=1), tiny_network("other", seed=2), tiny_network("third", seed=3)])
    called = []

    def call(model, inputs):
        called.append(model.name)
        return model(inputs, training=True)

    images = np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype("float32")
    taps = made.call_networks(images, call, before_branches=tf.zeros_like)
    assert called == ["trunk", "one_branch", "other_branch", "third_branch"]
    assert np.any(taps["one"]["stage1"])
    assert not np.any(taps["one"]["stage2"])


def test_another_tap_cuts_elsewhere(tiny_network):
    made = share_trunk([tiny_network("one", seed=1), tiny_network("other", seed=2)], "features")
    assert set(made.trunk.output) == {"stage1", "stage2", "features"}
    assert [layer.name for layer in made.branches[1].layers if layer.weights] == ["logits"]


def residual(name):
    """Its second stage also reads the stem, past the first stage."""
    images = keras.Input((4, 4, 2), name="images")
    stem = keras.layers.Conv2D(2, 1, name="stem")(images)
    stage1 = keras.layers.Conv2D(2, 1, name="stage1")(stem)
    stage2 = keras.layers.Add(name="stage2")([stem, stage1])
    logits = keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D(name="pool")(stage2))
    return keras.Model(images, {"stage1": stage1, "stage2": stage2, "logits": logits}, name=name)


def test_what_cannot_be_cut_is_refused_in_one_line(tiny_network):
    def refused(given, tap=""):
        with pytest.raises(ValueError) as error:
            share_trunk(given, tap)
        return str(error.value)

    one, wider = tiny_network("one", seed=0), tiny_network("wider", seed=1, channels=6)
    bare = tiny_network("bare", seed=1, batch_norm=False)
    assert refused([residual("skip")]) == (
        "networks: skip cannot be cut at 'stage1': what comes after it reads other layers too"
    )
    assert refused([one], "logits") == (
        "networks: one cannot be cut at 'logits': no layer of the classifier comes after it"
    )
    assert refused([one, wider]) == (
        "networks: wider cannot share one's trunk up to 'stage1': its layer conv0 is another one; give one "
        "architecture several times"
    )
    assert "it has 3 layers, not 4" in refused([one, bare])
    assert refused([one], "stage3") == (
        "tap: one has no tap 'stage3' to be cut at; it has stage1, stage2, features, embedding, logits"
    )
    headless = keras.Model(
        one.input, {"features": one.output["features"], "logits": one.output["logits"]}, name="plain"
    )
    assert refused([headless]) == (
        "networks: plain has no two stages to be cut between; name a tap of features, logits"
    )
    no_dict = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="dense")
    assert refused([no_dict]) == "networks: dense must be a functional model that returns a dict of taps"
    assert refused([]) == "networks: at least one is needed"
