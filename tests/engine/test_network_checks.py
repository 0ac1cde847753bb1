"""What a distiller is given: each odd network works, or one line names it and the remedy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import DML, Supervised, optimizers
from tfdistill.methods import METHODS

L = keras.layers
PLAIN = optimizers.OptimizerSettings(learning_rate=0.1, momentum=0.0, schedule="constant", milestones=())


def network(name, *, classes=3, shape=(4, 4, 2), activation=None, seed=1, layers=(), end=None, norm=True):
    """Convolution, perhaps BatchNorm, ReLU and `layers`; `end` makes the outputs of features and logits."""
    images = keras.Input(shape)
    draw = keras.initializers.HeNormal(seed)
    maps = L.Conv2D(4, 3, padding="same", kernel_initializer=draw, name="conv")(images)
    maps = L.ReLU()(L.BatchNormalization(name="norm")(maps) if norm else maps)
    for layer in layers:
        maps = layer(maps)
    draw = keras.initializers.HeNormal(seed + 50)
    logits = L.Dense(classes, activation, kernel_initializer=draw, name="head")(L.GlobalAveragePooling2D()(maps))
    outputs = end(maps, logits) if end else {"features": maps, "logits": logits}
    return keras.Model(images, outputs, name=name)


def data():
    labels = (np.arange(8) % 3).astype("int32")
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 2)).astype("float32")
    return images + labels[:, None, None, None], labels


def fit(networks, method="dml", **arguments):
    """One epoch of two steps; returns the history and which trainable weights each network has moved."""
    distiller = METHODS[method](networks, **arguments)
    distiller.compile(dict.fromkeys(distiller.recipe(), PLAIN), xla="off")
    before = [one.get_weights() for one in networks]
    history = distiller.fit(*data(), batch_size=4, verbose=0, shuffle=False).history
    assert all(np.isfinite(values[0]) for values in history.values())
    return history, [
        [bool((old != new).any()) for old, new in zip(was, one.get_weights(), strict=True)]
        for was, one in zip(before, networks, strict=True)
    ]


def refusal(networks, method=DML, **arguments):
    with pytest.raises(ValueError) as caught:
        method(networks, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class OwnCall(keras.Model):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.head = L.Dense(3)

    def call(self, images):
        return {"logits": self.head(keras.ops.mean(images, axis=(1, 2)))}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: "resnet20",
            "networks: number 2 must be a keras.Model, not 'resnet20'; tfdistill.networks.build(NAME, ...) makes one",
        ),
        (
            lambda: keras.Sequential([L.Flatten(), L.Dense(3)], name="b"),
            "networks: b is a Sequential that is not built; begin it with keras.Input(shape), and name its taps by "
            "network_from()",
        ),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 2)), L.Flatten(), L.Dense(3)], name="b"),
            "networks: b must return a dict of taps with 'logits', not a tensor (None, 3); see network_from()",
        ),
        (
            lambda: network("b", end=lambda maps, logits: [maps, logits]),
            "networks: b must return a dict of taps with 'logits', not a list of 2; see network_from()",
        ),
        (
            lambda: network("b", end=lambda maps, logits: {"features": maps, "scores": logits}),
            "networks: b must return a dict of taps with 'logits', not features, scores; see network_from()",
        ),
        (
            lambda: network("b", end=lambda maps, logits: {"stages": [maps, maps], "logits": logits}),
            "networks: b: tap 'stages' must be one tensor, not a list of 2",
        ),
        (
            lambda: network("b", end=lambda maps, logits: {"logits": maps}),
            "networks: b: logits must be [batch, classes] of 2 classes or more, not (None, 4, 4, 4)",
        ),
        (
            lambda: network("b", classes=1),
            "networks: b: logits must be [batch, classes] of 2 classes or more, not (None, 1)",
        ),
        (
            lambda: OwnCall(name="b"),
            "networks: b is a OwnCall whose call() is code; methods and exports need a graph of layers: build it as a "
            "functional keras.Model(inputs, outputs)",
        ),
        (lambda: network("b", classes=5), "networks: a tells 3 classes apart, b 5; peers need the same"),
        (
            lambda: network("b", shape=(8, 8, 2)),
            "networks: a reads images (4, 4, 2), b (8, 8, 2); peers see the same images",
        ),
        (
            lambda: network("b", shape=(4, 4, 1)),
            "networks: a reads images (4, 4, 2), b (4, 4, 1); peers see the same images",
        ),
        (
            lambda: network("b", activation="softmax"),
            "networks: b: layer 'head' applies a softmax; build it with activation=None",
        ),
        (
            lambda: network("b", end=lambda maps, logits: {"logits": L.Lambda(tf.nn.softmax, name="last")(logits)}),
            "networks: b: layer 'last' applies a softmax; take what it reads as logits, the output of 'head'",
        ),
        (
            lambda: network("b", layers=[L.AveragePooling2D(2, data_format="channels_first", name="pool")]),
            "networks: b: layer 'pool' is channels_first; images here are [batch, height, width, channels], so build "
            "it with data_format='channels_last'",
        ),
        (
            lambda: network("b", layers=[L.Conv2D(4, 1, dtype="bfloat16", name="low")]),
            "networks: b keeps low/kernel in bfloat16, which loses small steps; build it in float32, or under "
            "keras.config.set_dtype_policy('mixed_bfloat16')",
        ),
    ],
)
def test_what_could_not_learn_is_refused_in_one_line(make, message):
    assert refusal([network("a"), make()]) == message


def test_a_network_of_two_inputs_is_refused():
    images, more = keras.Input((4, 4, 2)), keras.Input((3,))
    logits = L.Dense(3)(L.Concatenate()([L.Flatten()(images), more]))
    message = refusal([network("a"), keras.Model([images, more], {"logits": logits}, name="b")])
    assert message == "networks: b must read images alone, one input; it has inputs [(None, 4, 4, 2), (None, 3)]"


@pytest.mark.parametrize("method", [Supervised, METHODS["one"], METHODS["ffl"]])
@pytest.mark.parametrize("networks", [(), None, "resnet20", ["resnet20", "resnet20"]])
def test_no_list_of_networks_is_refused(networks, method):
    assert refusal(networks, method).startswith("networks: ")


@pytest.mark.parametrize("method", ["afd", "ie_dml", "alignment", "ffl"])
def test_methods_that_compare_feature_maps_need_their_size(method):
    message = refusal([network(name, shape=(None, None, 2)) for name in ("a", "b")], METHODS[method])
    assert message == (
        "networks: a: 'features' must be [batch, height, width, channels] of one size, not (None, None, None, 4); "
        "build it for images of one size"
    )


# --- frozen networks


@pytest.mark.parametrize("method", ["dml", "afd"])
def test_a_frozen_network_teaches_and_stays_as_it_is(method):
    frozen, learner = network("frozen"), network("learner", seed=2)
    frozen.trainable = False
    history, (kept, moved) = fit([frozen, learner], method)
    assert not any(kept) and all(moved)
    assert "learner/accuracy" in history and "frozen/accuracy" not in history


def test_a_frozen_network_on_a_shared_trunk_keeps_its_branch():
    networks = [network(name, seed=seed, layers=[L.Conv2D(4, 1, name="last")]) for seed, name in enumerate("ab")]
    networks = [
        keras.Model(one.input, {"stage1": one.layers[3].output, **one.output}, name=one.name) for one in networks
    ]
    networks[1].trainable = False
    _, (moved, kept) = fit(networks, "one", tap="stage1")
    assert all(moved) and not any(kept)


def test_a_partly_frozen_network_moves_in_part():
    one, other = network("one"), network("other", seed=2)
    for name in ("conv", "norm"):
        one.get_layer(name).trainable = False
    _, (moved, all_moved) = fit([one, other])
    assert moved == [False] * 6 + [True, True] and all(all_moved)


def test_networks_of_which_none_may_move_are_refused():
    networks = [network("a"), network("b")]
    for one in networks:
        one.trainable = False
    message = "networks: nothing in a, b may move; set trainable = True on one of them at least"
    assert refusal(networks) == message


def test_what_is_frozen_counts_at_compile():
    one, other = network("one"), network("other", seed=2)
    one.trainable = False
    distiller = DML([one, other])
    distiller.compile({"networks": PLAIN}, xla="off")
    assert [update.name for update in distiller.phase.updates()] == ["other"]
    one.trainable = True
    with pytest.raises(ValueError) as caught:
        distiller.fit(*data(), batch_size=4, verbose=0)
    assert str(caught.value) == (
        "fit: what update 'one' may move has changed since compile(), as by setting trainable; call compile() again"
    )
    distiller.compile({"networks": PLAIN}, xla="off")
    assert [update.name for update in distiller.phase.updates()] == ["one", "other"]
    before = one.get_weights()
    history = distiller.fit(*data(), batch_size=4, verbose=0).history
    assert all((old != new).any() for old, new in zip(before, one.get_weights(), strict=True))
    assert "one/loss" in history and "one/accuracy" in history


# --- shared layers


def sharing(trainable=True):
    backbone = network("backbone", end=lambda maps, logits: maps)
    backbone.trainable = trainable
    peers = []
    for name in ("a", "b"):
        images = keras.Input((4, 4, 2))
        maps = backbone(images)
        logits = L.Dense(3, name="head")(L.GlobalAveragePooling2D()(maps))
        peers.append(keras.Model(images, {"stage1": maps, "features": maps, "logits": logits}, name=name))
    return peers


@pytest.mark.parametrize("method", [DML, Supervised])
def test_layers_that_two_updates_would_move_are_refused(method):
    with pytest.raises(ValueError) as caught:
        method(sharing()).compile()
    assert str(caught.value) == (
        "networks: a and b share conv/kernel, which the updates a, b would each move; "
        "give each layers of its own, or freeze the shared ones"
    )


def test_frozen_layers_may_be_shared_and_a_shared_trunk_is_one_methods_way():
    _, moved = fit(sharing(trainable=False))
    assert moved == [[False] * 6 + [True, True]] * 2
    _, moved = fit(sharing(), "one", tap="stage1")
    assert all(map(all, moved))


# --- strategies


def test_networks_and_distiller_of_different_scopes_are_refused(two_replicas):
    outside = [network(name, norm=False) for name in ("a", "b")]
    with two_replicas.scope():
        inside = [network(name, norm=False) for name in ("a", "b")]
        assert refusal(outside) == (
            "networks: a was created outside of any strategy's scope, and the distiller under a MirroredStrategy; "
            "create networks and distiller in one strategy.scope()"
        )
    assert refusal([outside[0], inside[1]]) == (
        "networks: b was created in the scope of a MirroredStrategy, and the distiller under a "
        "DefaultDistributionStrategy; create networks and distiller in one strategy.scope()"
    )
    distiller = DML(outside)
    distiller.compile()
    with two_replicas.scope(), pytest.raises(ValueError, match=r"^fit: in the scope of a MirroredStrategy, but the"):
        distiller.fit(*data(), verbose=0)


def test_probabilities_are_seen_under_a_strategy_too(two_replicas):
    def mean(maps, logits):
        shares = [L.Softmax()(logits), L.Softmax()(L.Dense(3)(L.Flatten()(maps)))]
        return {"logits": L.Average(name="mean")(shares)}

    with two_replicas.scope():
        message = refusal([network(name, end=mean) for name in ("a", "b")])
        assert message == "networks: a: layer 'mean' gives probabilities, rows that sum to 1; give logits"
        networks = [network(name, activation="softmax", norm=False) for name in ("a", "b")]
        assert refusal(networks) == "networks: a: layer 'head' applies a softmax; build it with activation=None"


# --- odd ones that work


def compiled(name):
    one = network(name)
    one.compile(optimizer="adam", loss="mse")
    return one


def of_a_dict(name):
    images = keras.Input((4, 4, 2), name="pictures")
    return keras.Model({"pictures": images}, network(name)(images), name=name)


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
@pytest.mark.parametrize(
    ("make", "make_other"),
    [
        (compiled, lambda name: network(name, layers=[L.Dropout(0.5, seed=1)])),
        (of_a_dict, lambda name: network(name, shape=(None, None, 2))),
    ],
)
def test_odd_networks_learn(make, make_other):
    _, moved = fit([make("a"), make_other("b")])
    assert all(map(all, moved))


def test_penalties_that_no_method_has_are_said():
    layers = [L.Conv2D(4, 1, kernel_regularizer="l2", name="held"), L.ReLU(activity_regularizer="l1")]
    with pytest.warns(UserWarning, match=r"^networks: b: the penalties of 2 regularizers \(held/kernel, \.\.\.\) are"):
        DML([network("a"), network("b", layers=layers)])
