"""Dense cross-layer mutual distillation against its equations, written out in float64."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.methods import DCM, DML
from tfdistill.networks.layers import BatchNormalization, Dropout

STEPS, CLASSES, BATCH = 5, 3, 6
POOLED = {"head_kind": "pooled", "heads": "C2,C3"}


def staged(name, *, channels=4, seed=0, architecture=None):
    """Two stages of convolution, BatchNorm and ReLU with a pooling between, and a linear classifier."""
    draw = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    images = keras.Input((4, 4, 2), name="images")
    maps, taps = images, {}
    for stage in (1, 2):
        convolution = keras.layers.Conv2D(
            channels, 3, padding="same", use_bias=False, kernel_initializer=draw, name=f"conv{stage}"
        )
        maps = convolution(maps)
        taps.setdefault("stem", maps)
        maps = taps[f"stage{stage}"] = keras.layers.ReLU()(BatchNormalization(name=f"norm{stage}")(maps))
        if stage == 1:
            maps = taps["transition2"] = keras.layers.AveragePooling2D(2)(maps)
    embedding = keras.layers.GlobalAveragePooling2D()(maps)
    taps["logits"] = keras.layers.Dense(CLASSES, kernel_initializer=draw, name="logits")(embedding)
    network = keras.Model(images, taps, name=name)
    if architecture:
        network.architecture = architecture
    return network


def pair(**settings):
    return [staged(str(k), channels=3 + k, seed=k, **settings) for k in range(2)]


class Peer:
    """A network and its heads in float64."""

    def __init__(self, tiny, distiller, network):
        self.tiny, self.weights = tiny, tiny.weights_of(network)
        self.heads = {place: tiny.weights_of(head.model) for place, head in distiller.heads[network.name].items()}
        self.optimizer = tiny.NesterovSGD()

    def run(self, images, head):
        """Logits of the final classifier and of the heads, all in training mode."""
        tiny, weights = self.tiny, self.weights
        maps = {"stem": tiny.convolve(weights, "conv1", tf.cast(images, tf.float64))}
        maps["stage1"] = tf.nn.relu(tiny.batch_norm(weights, "norm1", maps["stem"]))
        maps["transition2"] = tiny.mean_pool(maps["stage1"], 2)
        last = tf.nn.relu(tiny.batch_norm(weights, "norm2", tiny.convolve(weights, "conv2", maps["transition2"])))
        return [classify(weights, last), *(head(tiny, place, own, maps) for place, own in self.heads.items())]

    def trainable(self):
        return self.tiny.trainable(self.weights, *self.heads.values())


def classify(weights, maps):
    return tf.reduce_mean(maps, (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]


def pooled_head(tiny, place, weights, maps):
    return classify(weights, maps[{"C2": "stage1", "C3": "stem"}[place]])


def dense_head(tiny, place, weights, maps):
    """C2 of densenet_7_4: a dense layer, and the norm and ReLU that end a DenseNet."""
    x = maps["transition2"]
    added = tf.nn.relu(tiny.batch_norm(weights, "stage1_layer1_norm", x))
    x = tf.concat([x, tiny.convolve(weights, "stage1_layer1_conv", added)], -1)
    return classify(weights, tf.nn.relu(tiny.batch_norm(weights, "final_norm", x)))


def divergence(tiny, source, learner, temperature=1.0):
    log_p, log_q = (tiny.log_softmax(logits / temperature) for logits in (tf.stop_gradient(source), learner))
    return tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1))


def transcription(tiny, peers, batch, head, *, order, weights, temperature):
    """Algorithm 1 of the paper, Eqs. 6-9; returns each network's mean loss terms over the steps."""
    logged = {}

    def loss_of(k, logits):
        supervised = [tiny.cross_entropy(batch["labels"], one) for one in logits[k]]
        same, cross, others = 0.0, 0.0, [j for j in range(len(peers)) if j != k]
        for j in others:
            for (i, source), (own, learner) in itertools.product(enumerate(logits[j]), enumerate(logits[k])):
                value = divergence(tiny, source, learner, temperature) / len(others)
                same, cross = (same + value, cross) if i == own else (same, cross + value)
        terms = {"deep_supervision": sum(supervised[1:]), "same_stage": same, "cross_stage": cross}
        for name, value in {"cross_entropy": supervised[0], **terms}.items():
            logged.setdefault(f"{k}/{name}", []).append(float(value))
        scales = (1.0, temperature**2, temperature**2)
        return supervised[0] + sum(
            weight * scale * value for weight, scale, value in zip(weights, scales, terms.values(), strict=True)
        )

    everyone = range(len(peers))
    for _ in range(STEPS):
        for turn in [[k] for k in everyone] if order == "alternating" else [everyone]:
            with tf.GradientTape(persistent=True) as tape:
                logits = [peer.run(batch["images"], head) for peer in peers]
                losses = {k: loss_of(k, logits) for k in turn}
            gradients = {k: tape.gradient(losses[k], peers[k].trainable()) for k in turn}
            for k in turn:
                peers[k].optimizer.step(gradients[k], peers[k].trainable())
    return {name: np.mean(values) for name, values in logged.items()}


@pytest.mark.parametrize(
    ("count", "architecture", "arguments", "head", "order", "weights", "temperature"),
    [
        (2, None, POOLED, pooled_head, "joint", (1.0, 1.0, 1.0), 1.0),
        (2, "densenet_7_4", {"heads": "C2"}, dense_head, "alternating", (0.5, 0.7, 0.3), 2.0),
        (3, None, {"head_kind": "pooled", "heads": ("C2",)}, pooled_head, "joint", (1.0, 2.0, 1.0), 3.0),
    ],
)
def test_five_steps_are_the_equations(tiny, count, architecture, arguments, head, order, weights, temperature):
    models = [staged(str(k), channels=3 + k, seed=k, architecture=architecture) for k in range(count)]
    names = ("deep_supervision_weight", "same_stage_weight", "cross_stage_weight")
    distiller = DCM(
        models, **arguments, **dict(zip(names, weights, strict=True)), temperature=temperature, update=order
    )
    peers = [Peer(tiny, distiller, network) for network in models]
    expected = transcription(tiny, peers, tiny.batch(), head, order=order, weights=weights, temperature=temperature)
    logs = tiny.train(distiller, STEPS, tiny.batch())
    for network, peer in zip(models, peers, strict=True):
        tiny.assert_weights(network, peer.weights)
        for place, own in peer.heads.items():
            tiny.assert_weights(distiller.helpers[f"{network.name}_{place}"], own)
    tiny.assert_terms(logs, expected)


def terms_of(distiller, tiny, learner="0"):
    """The learner's terms on the batch, by evaluation's BatchNorm."""
    batch = tiny.batch()
    distiller.call_model = lambda model, inputs: model(inputs, training=False)
    this_round = next(one for one in distiller.phase.rounds if learner in [update.name for update in one.updates])
    return {
        name: np.array(value) for name, value in this_round.losses(batch, distiller(batch["images"]))[learner].items()
    }


def test_without_heads_it_is_deep_mutual_learning(tiny):
    dcm, dml = DCM(pair(), heads=""), DML(pair(), update="joint")
    assert not dcm.helpers
    logs, expected = tiny.train(dcm, 3, tiny.batch()), tiny.train(dml, 3, tiny.batch())
    assert set(dcm.phase.updates()[0].terms) == {"cross_entropy", "same_stage"}
    np.testing.assert_allclose(logs["1/same_stage"], expected["1/mutual"], rtol=1e-5)
    for network, other in zip(dcm.networks, dml.networks, strict=True):
        tiny.assert_weights(network, tiny.weights_of(other), atol=1e-6)


def test_each_choice_of_pairs_has_its_terms(tiny):
    """DCM-1 and DCM-2 together are DCM and the supervised terms once more; DML + DS compares the last classifiers."""
    terms = {
        pairs: terms_of(DCM(pair(), pairs=pairs, **POOLED), tiny)
        for pairs in ("dense", "same", "cross", "final", "none")
    }
    supervised = {"cross_entropy", "deep_supervision"}
    assert {pairs: set(one) - supervised for pairs, one in terms.items()} == {
        "dense": {"same_stage", "cross_stage"},
        "same": {"same_stage"},
        "cross": {"cross_stage"},
        "final": {"same_stage"},
        "none": set(),
    }
    total = {pairs: sum(one.values()) for pairs, one in terms.items()}
    np.testing.assert_allclose(total["same"] + total["cross"], total["dense"] + total["none"], rtol=1e-5)
    last = terms_of(DCM(pair(), heads=""), tiny)["same_stage"]
    np.testing.assert_allclose(terms["final"]["same_stage"], last, rtol=1e-5)
    assert np.all(terms["same"]["same_stage"] > last)


def test_three_classifiers_of_two_networks_make_18_pairs(tiny):
    """Where all of a network's classifiers say one thing, every pair has the same divergence."""
    models = pair()
    distiller = DCM(models, **POOLED)
    said = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 1.0]], "float32")
    for network, bias in zip(models, said, strict=True):
        for model in (network, *(head.model for head in distiller.heads[network.name].values())):
            kernel, constant = model.get_layer("logits").weights
            kernel.assign(tf.zeros_like(kernel))
            constant.assign(bias)
    first, second = terms_of(distiller, tiny, "0"), terms_of(distiller, tiny, "1")
    forth, back = (float(divergence(tiny, one[None], other[None])) for one, other in (said[::-1], said))
    np.testing.assert_allclose(first["same_stage"], np.full(BATCH, 3 * forth), rtol=1e-5)
    np.testing.assert_allclose(first["cross_stage"], np.full(BATCH, 6 * forth), rtol=1e-5)
    np.testing.assert_allclose(second["same_stage"] + second["cross_stage"], np.full(BATCH, 9 * back), rtol=1e-5)


def test_identical_networks_and_heads_have_nothing_to_teach(tiny):
    models = [staged("0", seed=3), staged("1", seed=3)]
    distiller = DCM(models, **POOLED)
    for place in ("C2", "C3"):
        distiller.helpers[f"1_{place}"].set_weights(distiller.helpers[f"0_{place}"].get_weights())
    terms = terms_of(distiller, tiny)
    np.testing.assert_allclose(terms["same_stage"], np.zeros(BATCH), atol=1e-6)
    assert np.all(terms["cross_stage"] > 1e-3)  # a network's classifiers do not agree with each other
    for model in (*models, *distiller.helpers.values()):
        for variable in model.get_layer("logits").weights:
            variable.assign(tf.zeros_like(variable))
    terms = terms_of(distiller, tiny)
    np.testing.assert_allclose(terms["same_stage"] + terms["cross_stage"], np.zeros(BATCH), atol=1e-6)
    np.testing.assert_allclose(terms["deep_supervision"], np.full(BATCH, 2 * np.log(CLASSES)), rtol=1e-6)


def test_a_frozen_peer_teaches_as_in_knowledge_distillation(tiny):
    learner, teacher = pair()
    teacher.trainable = False
    before = tiny.weights_of(teacher)
    target = tf.cast(teacher(tiny.batch()["images"], training=False)["logits"], tf.float64)
    distiller = DCM([learner, teacher], heads="")
    peer = Peer(tiny, distiller, learner)
    tiny.train(distiller, STEPS, tiny.batch())
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            (logits,) = peer.run(tiny.batch()["images"], None)
            loss = tiny.cross_entropy(tiny.batch()["labels"], logits) + divergence(tiny, target, logits)
        peer.optimizer.step(tape.gradient(loss, peer.trainable()), peer.trainable())
    tiny.assert_weights(learner, peer.weights)
    tiny.assert_weights(teacher, before, atol=0)


def test_deep_supervision_takes_one_network(tiny):
    network = staged("0")
    distiller = DCM([network], pairs="none", **POOLED)
    heads = [head.model for head in distiller.heads["0"].values()]
    (update,) = distiller.phase.updates()
    assert update.models == (network, *heads)
    before = [model.get_layer("logits").kernel.numpy() for model in (network, *heads)]
    logs = tiny.train(distiller, 1, tiny.batch())
    np.testing.assert_allclose(logs["0/loss"], logs["0/cross_entropy"] + logs["0/deep_supervision"], rtol=1e-6)
    after = [model.get_layer("logits").kernel.numpy() for model in (network, *heads)]
    assert all((old != new).any() for old, new in zip(before, after, strict=True))


def test_the_heads_follow_the_seed_and_stay_out_of_evaluation(tiny):
    distillers = [DCM(pair(), **POOLED, seed=seed) for seed in (5, 5, 6)]
    kernels = [one.helpers["0_C2"].get_layer("logits").kernel.numpy() for one in distillers]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).any()
    assert list(distillers[0].helpers) == ["0_C2", "0_C3", "1_C2", "1_C3"]
    assert set(distillers[0](tiny.batch()["images"])) == {"0", "1"}
    assert distillers[0].deliverables() == {network.name: network for network in distillers[0].networks}


def test_wide_resnets_with_dropout_have_heads_with_dropout_and_train(tiny):
    name = "wide_resnet_10_1_dropout"
    models = [
        networks.build(name, classes=CLASSES, image_shape=(8, 8, 3), seed=seed, model_name=f"peer{seed}")
        for seed in (0, 1)
    ]
    distiller = DCM(models, heads="C3")
    assert any(isinstance(layer, Dropout) for layer in distiller.helpers["peer0_C3"].layers)
    before = [variable.numpy() for variable in distiller.phase.updates()[0].variables()]
    draw = np.random.default_rng(0)
    images, labels = draw.normal(size=(4, 8, 8, 3)).astype("float32"), draw.integers(0, CLASSES, 4)
    logs = tiny.train(distiller, 2, {"images": tf.constant(images), "labels": tf.constant(labels, tf.int32)})
    assert all(
        np.isfinite(value) and value > 0
        for name, value in logs.items()
        if name.startswith("peer0/") and "acc" not in name
    )
    after = [variable.numpy() for variable in distiller.phase.updates()[0].variables()]
    assert all((old != new).any() for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"update": "joined"}, "update: 'joined' is none of alternating, joint; nearest: joint"),
        ({"pairs": "all"}, "pairs: 'all' is none of dense, same, cross, final, none; nearest: final"),
        ({"head_kind": "narow"}, "head_kind: 'narow' is none of default, narrow, pooled; nearest: narrow"),
        ({"heads": "C3,2"}, "heads: '2' is none of C2, C3, C4; nearest: C2"),
        ({"heads": "C2,C2"}, "heads: 'C2,C2' has a place twice"),
        (
            {"heads": "", "pairs": "cross"},
            "pairs: 'cross' is between different stages, which takes a head; heads has none",
        ),
        (
            {"head_kind": "default"},
            "network '0' has no attribute 'architecture', which default heads are made by; set it to the name of the "
            "network that it is, such as 'wide_resnet_28_10'; pooled heads are for any network",
        ),
        (
            {"heads": "C4"},
            "network '0' has no stage for a head C4; it has stem, stage1, transition2, stage2, logits",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError) as error:
        DCM(pair(), **{**POOLED, **arguments})
    assert str(error.value) == message


def test_one_network_has_no_peer():
    with pytest.raises(ValueError, match=r"^networks: .* two or more, not 1$"):
        DCM([staged("0")], **POOLED)
