"""Overhaul distillation: margins of a batch normalization, which one that is, the term, and five steps in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm as normal

from tfdistill import losses, networks
from tfdistill.helpers.margins import last_norm, margins
from tfdistill.methods import Distillation
from tfdistill.networks.layers import BatchNormalization
from tfdistill.transfers import OD

# Of the last stage: the end of the residual branch, or what stands before the ReLU that reads the stage.
LAST = {
    "resnet8": "stage3_block1_conv2_norm",
    "resnet8_a": "stage3_block1_conv2_norm",
    "wide_resnet_10_1": "final_norm",
    "mobilenet": "block13_pointwise_norm",
    "vgg11_bn": "stage5_conv2_norm",
    "densenet_7_4": "final_norm",
    "mobilenet_v2": "group7_block1_project_norm",
}


def norm_of(gamma, beta, **settings):
    layer = BatchNormalization(**settings)
    layer.build((None, 2, 2, len(gamma)))
    for name, value in (("gamma", gamma), ("beta", beta)):
        if getattr(layer, name) is not None:
            getattr(layer, name).assign(value)
    return layer


def expected_margins(gamma, beta):
    """Like the authors' loop, in float64."""
    found = []
    for s, m in zip(np.abs(np.float64(gamma)), np.float64(beta), strict=True):
        below = normal.cdf(-m / s)
        density = np.exp(-((m / s) ** 2) / 2) / np.sqrt(2 * np.pi)
        found.append(m - s * density / below if below > 0.001 else -3 * s)
    return np.array(found)


def shaken(network, seed):
    """Scales and offsets as of a trained network."""
    draw = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(draw.normal(1, 0.3, layer.gamma.shape))
            layer.beta.assign(draw.normal(0, 0.5, layer.beta.shape))
            layer.moving_mean.assign(draw.normal(0, 0.2, layer.gamma.shape))
            layer.moving_variance.assign(draw.uniform(0.5, 2, layer.gamma.shape))
    return network


def test_margins_are_those_of_the_authors_code():
    found = margins(norm_of([1.0, 2.0, 1.0], [0.0, 1.0, 4.0]))
    np.testing.assert_allclose(found, [-0.7978845608, -1.2821555407, -3.0], rtol=1e-5)
    draw = np.random.default_rng(95)
    gamma, beta = draw.normal(size=64), draw.normal(size=64)
    layer = norm_of(gamma, beta)
    found = margins(layer).numpy()
    first = [-1.4668174982070923, -0.8146438002586365, -1.829878807067871, -0.4539492428302765, -0.23521040380001068]
    np.testing.assert_allclose(found[:5], first, rtol=1e-5)
    np.testing.assert_allclose(found, expected_margins(gamma, beta), rtol=2e-4)
    np.testing.assert_allclose([found.sum(), found.min()], [-47.52865945547819, -1.9715412855148315], rtol=1e-5)
    assert np.isclose(found, -3 * np.abs(gamma)).sum() == 6
    maps = (np.random.default_rng(seed).normal(size=(4, 8, 8, 64)) for seed in (60, 61))
    student, teacher = (tf.constant(one, tf.float32) for one in maps)
    with tf.GradientTape() as tape:
        tape.watch(student)
        total = tf.reduce_sum(losses.margin_distance(student, teacher, found))
    gradient = tape.gradient(total, student).numpy()
    np.testing.assert_allclose(total, 24875.275680352548, rtol=1e-5)
    size = [np.linalg.norm(gradient), np.abs(gradient).sum()]
    np.testing.assert_allclose(size, [315.4379538378509, 29562.444881345888], rtol=1e-5)


def test_margins_of_normalizations_without_scale_or_offset_or_with_a_dead_channel():
    np.testing.assert_allclose(margins(norm_of([1.0, 1.0], [0.0, 0.0], scale=False, center=False)), -0.7978845608)
    found = margins(norm_of([0.0, 0.0, 0.0, -2.0], [0.5, 0.0, -0.5, 1.0])).numpy()
    assert np.isfinite(found).all() and (found <= 0).all()
    np.testing.assert_allclose(found, [0, 0, -0.5, -1.2821555407], atol=1e-6)


def test_without_margins_it_is_the_squared_distance_of_rectified_maps():
    learner, source = (np.maximum(np.random.default_rng(k).normal(size=(5, 4, 4, 3)), 0) for k in (1, 2))
    found = losses.margin_distance(learner, source, np.full(3, -np.inf))
    np.testing.assert_allclose(found, 48 * losses.distance(learner, source, order=2), rtol=1e-5)
    raw = np.random.default_rng(3).normal(size=(5, 4, 4, 3))
    assert not np.any(losses.margin_distance(np.maximum(raw, -0.5), raw, np.full(3, -0.5)))
    assert not np.any(losses.margin_distance(-np.abs(raw) - 1, -np.abs(raw), np.full(3, -0.5)))


@pytest.mark.parametrize("name", LAST)
def test_the_normalization_of_a_stage_is_found(name):
    network = networks.build(name, classes=4, image_shape=(32, 32, 3), seed=0)
    taps = [tap for tap in network.output if tap.endswith("_preactivation")]
    found = [last_norm(network, tap) for tap in taps]
    assert found[-1].name == LAST[name]
    assert [one.moving_mean.shape[0] for one in found] == [network.output[tap].shape[-1] for tap in taps]


def test_the_term_is_the_weighted_sum_over_stages_by_the_sources_margins_of_now(tiny_network, lesson_of, call, drawn):
    learner = tiny_network("learner", seed=1, preactivations=True)
    source = networks.resnet8(classes=4, image_shape=(8, 8, 3), name="source", seed=2)
    lesson = lesson_of(OD(weight=3.0), learner, source)
    assert lesson.weights == {"od": 3.0}
    assert [one.name for one in lesson.helpers] == [
        f"learner_from_source_od_stage{stage}_preactivation_connector" for stage in (1, 2)
    ]
    own, taught = drawn(learner, 1), drawn(source, 2)
    for seed in (5, 6):
        shaken(source, seed)
        found, expected = lesson.terms({}, own, taught, call)["od"], 0.0
        for stage, connector in zip((1, 2), lesson.helpers, strict=True):
            norm = source.get_layer(f"stage{stage + 1}_block1_conv2_norm")
            fixed = expected_margins(norm.gamma.numpy(), norm.beta.numpy())
            wanted = taught[f"stage{stage + 1}_preactivation"]
            size = min(8 // stage, 8 // 2**stage)
            maps = [
                keras.ops.average_pool(one, one.shape[1] // size)
                for one in (own[f"stage{stage}_preactivation"], wanted)
            ]
            expected += losses.margin_distance(call(connector, maps[0]), maps[1], fixed) * 2.0 ** (stage - 2)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_folded_teacher_teaches_what_the_teacher_itself_would(tiny_network):
    student = tiny_network("student", seed=1, preactivations=True)
    teacher = shaken(tiny_network("teacher", seed=2, preactivations=True), 7)
    distiller = Distillation(student, teacher, [OD()])
    batch = {"images": tf.constant(np.random.default_rng(0).normal(size=(5, 8, 8, 3)), tf.float32)}
    batch["labels"] = tf.zeros(5, tf.int32)
    own = student(batch["images"], training=True)
    (losses_of,) = (one.losses for one in distiller.phase.rounds)
    expected = losses_of(batch, {"student": own, "teacher": teacher(batch["images"], training=False)})
    distiller.compile(xla="off")
    folded = distiller.teachers.called["teacher"]
    assert folded is not teacher and "norm0" not in [layer.name for layer in folded.layers]
    found = losses_of(batch, {"student": own, "teacher": folded(batch["images"], training=False)})
    np.testing.assert_allclose(found["student"]["od"], expected["student"]["od"], rtol=1e-4)


def test_a_source_without_normalization_before_its_relu_is_refused_in_one_line(tiny_network, lesson_of):
    learner = tiny_network("learner", seed=1)
    bare = tiny_network("bare", seed=2, batch_norm=False, preactivations=True)
    with pytest.raises(
        ValueError, match=r"^networks: bare: 'stage1_preactivation' comes from conv0, which is no batch"
    ):
        lesson_of(OD(), learner, bare)
    with pytest.raises(ValueError, match=r"^networks: learner: 'stage1' comes from relu0.*before its ReLU as a tap$"):
        lesson_of(OD(), bare, learner)
    with pytest.raises(ValueError, match=r"^networks: plain: 'stage4_preactivation' comes from stage4_conv"):
        lesson_of(OD(), learner, networks.vgg11(classes=4, image_shape=(32, 32, 3), name="plain"))


def test_five_steps(tiny):
    """One stage of 4 channels and 4 × 4 pixels, learnt from one of 3 channels and 2 × 2 pixels."""

    def with_stage(network):
        before = keras.layers.AveragePooling2D(4 // network.output["features"].shape[1], name="shrunk")
        maps = network.get_layer("norm").output if network.name == "student" else None
        if maps is None:
            shrunk = before(network.get_layer("conv").output)
            maps = BatchNormalization(name="last")(shrunk)
        return keras.Model(
            network.input, {**network.output, "stage1_preactivation": maps, "stage1": maps}, name=network.name
        )

    student = with_stage(tiny.network("student", seed=1))
    teacher = shaken(with_stage(tiny.network("teacher", channels=3, pooling=2, seed=2)), 3)
    batch, weights, sgd = tiny.batch(), tiny.weights_of(student), tiny.NesterovSGD()
    distiller = Distillation(student, teacher, [OD(weight=0.01)])
    (name,) = distiller.helpers
    connector = tiny.weights_of(distiller.helpers[name])
    taught = tf.cast(teacher(batch["images"], training=False)["stage1_preactivation"], tf.float64)
    last = teacher.get_layer("last")
    wanted = tf.maximum(taught, expected_margins(last.gamma.numpy(), last.beta.numpy()))
    logs, seen = tiny.train(distiller, 5, batch), []
    moved = tiny.trainable(weights, connector)
    for _ in range(5):
        with tf.GradientTape() as tape:
            images = tf.cast(batch["images"], tf.float64)
            before = tiny.batch_norm(weights, "norm", tiny.convolve(weights, "conv", images))
            logits = tf.reduce_mean(tf.nn.relu(before), (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]
            reached = tiny.batch_norm(connector, "norm", tiny.mean_pool(before, 2) @ connector["conv/kernel"][0, 0])
            counts = tf.cast((reached > wanted) | (wanted > 0), tf.float64)
            term = tf.reduce_sum(counts * (reached - wanted) ** 2) / tiny.BATCH
            total = tiny.cross_entropy(batch["labels"], logits) + 0.01 * term
        sgd.step(tape.gradient(total, moved), moved)
        seen.append(float(term))
    tiny.assert_terms(logs, {"od": np.mean(seen)}, "student/")
    tiny.assert_weights(student, weights)
    tiny.assert_weights(distiller.helpers[name], connector)
