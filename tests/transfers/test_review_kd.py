"""Knowledge review against float64: what it makes of maps, which taps it reads, its weight, and five steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses, networks
from tfdistill.helpers.review import review
from tfdistill.methods import Distillation
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.transfers import ReviewKD

OWN = [(8, 8, 3), (4, 4, 5), (1, 1, 4)]
SOURCE = [(4, 4, 2), (8, 8, 6), (1, 1, 7)]


def drawn(shapes, seed):
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(5, *shape)) for shape in shapes]


def norm(weights, layer, maps):
    unit = (maps - maps.mean((0, 1, 2))) / np.sqrt(maps.var((0, 1, 2)) + 1e-5)
    return unit * weights[f"{layer}_norm/gamma"].numpy() + weights[f"{layer}_norm/beta"].numpy()


def padded_convolution(maps, kernel):
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = maps.shape[1:3]
    moved = [padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
    return sum(moved)


def nearest(maps, size):
    rows, columns = (np.arange(size) * old // size for old in maps.shape[1:3])
    return maps[:, rows][:, :, columns]


def reviewed(weights, maps, shapes):
    """From the deepest map on; `weights` by layer and name."""
    passed, found = None, []
    for level in (3, 2, 1):
        own = norm(weights, f"level{level}", maps[level - 1] @ weights[f"level{level}_conv/kernel"].numpy()[0, 0])
        if passed is not None:
            passed = nearest(passed, own.shape[1])
            both = np.concatenate([own, passed], axis=-1)
            gate = both @ weights[f"level{level}_gates/kernel"].numpy()[0, 0] + weights[f"level{level}_gates/bias"]
            gate = 1 / (1 + np.exp(-np.asarray(gate)))
            own = own * gate[..., :1] + passed * gate[..., 1:]
        passed = nearest(own, shapes[level - 1][0])
        kernel = weights[f"level{level}_output_conv/kernel"].numpy()
        found.append(norm(weights, f"level{level}_output", padded_convolution(passed, kernel)))
    return found[::-1]


def test_maps_are_made_from_the_deepest_on(tiny, call):
    model, maps = review(OWN, SOURCE, name="review", seeds=LayerSeeds(0)), drawn(OWN, 1)
    weights = tiny.weights_of(model)
    assert weights["level1_conv/kernel"].shape == (1, 1, 3, 4), "the channels of the deepest map"
    found = call(model, [one.astype("float32") for one in maps])
    for one, other in zip(found, reviewed(weights, maps, SOURCE), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-5)
    assert [one.shape[1:] for one in found] == SOURCE
    wide = review([(1, 1, 600)], [(1, 1, 2)], name="wide", seeds=LayerSeeds(0))
    assert wide.get_layer("level1_conv").filters == 512


def test_the_term_is_the_distance_at_all_levels_from_the_sources_maps_before_relu(tiny_network, lesson_of, call):
    learner = tiny_network("learner", seed=1)
    source = networks.resnet8(classes=4, image_shape=(8, 8, 3), name="source", seed=2)
    lesson = lesson_of(ReviewKD(), learner, source)
    (model,) = lesson.helpers
    draw = np.random.default_rng(0)
    own, taught = (
        {tap: tf.constant(draw.normal(size=(5, *one.shape[1:])), tf.float32) for tap, one in network.output.items()}
        for network in (learner, source)
    )
    found = lesson.terms({}, own, taught, call)["review_kd"]
    made = call(model, [own["stage1"], own["stage2"], own["embedding"][:, None, None]])
    read = [taught["stage2_preactivation"], taught["stage3_preactivation"], taught["embedding"][:, None, None]]
    expected = sum(losses.hierarchical_distance(*level) for level in zip(made, read, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert model.name == "learner_from_source_review_kd_review"


def test_of_one_level_nothing_is_fused(tiny, call):
    model, (maps,) = review([(4, 4, 3)], [(4, 4, 2)], name="review", seeds=LayerSeeds(0)), drawn([(4, 4, 3)], 1)
    weights = tiny.weights_of(model)
    own = norm(weights, "level1", maps @ weights["level1_conv/kernel"].numpy()[0, 0])
    expected = norm(weights, "level1_output", padded_convolution(own, weights["level1_output_conv/kernel"].numpy()))
    (found,) = tf.nest.flatten(call(model, [maps.astype("float32")]))
    np.testing.assert_allclose(found, expected, atol=5e-5)


def test_its_weight_grows_over_20_epochs(tiny_network, lesson_of):
    learner, source = tiny_network("learner", seed=1), tiny_network("source", seed=2)
    grown = lesson_of(ReviewKD(weight=5.0), learner, source).weights["review_kd"]
    assert [float(grown(tf.constant(epoch))) for epoch in (0.0, 9.0, 19.0, 100.0)] == [0.25, 2.5, 5.0, 5.0]
    assert lesson_of(ReviewKD(weight=5.0, ramp_epochs=0.0), learner, source).weights["review_kd"] == 5.0


def with_levels(network):
    """A network of `tiny` with the taps that are reviewed: two stages and the embedding."""
    maps = network.output["features"]
    stages = {"stage1_preactivation": network.get_layer("norm").output, "stage1": maps}
    stages["stage2"] = keras.layers.AveragePooling2D(2)(maps)
    embedding = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(network.input, {**network.output, **stages, "embedding": embedding}, name=network.name)


def squared(difference, *sizes, tiny):
    """The mean square of a difference and of its averages, with halving weights that add up to 1."""
    each = [difference, *(tiny.mean_pool(difference, size) for size in sizes)]
    weights = [2.0**-place for place in range(len(each))]
    return sum(weight * tf.reduce_mean(one**2) for weight, one in zip(weights, each, strict=True)) / sum(weights)


def test_five_steps(tiny, five_steps):
    """Maps of 4 × 4, 2 × 2 and one position, the source's of the first before its ReLU; the first epoch of four."""
    student, teacher = with_levels(tiny.network("student", seed=1)), with_levels(tiny.network("teacher", channels=6))
    taps = teacher(tiny.batch()["images"], training=False)
    wanted = [tf.cast(taps[name], tf.float64) for name in ("stage1_preactivation", "stage2")]
    wanted.append(tf.cast(taps["embedding"], tf.float64)[:, None, None])
    name = "student_from_teacher_review_kd_review"

    def terms(features, copies):
        weights, passed, total = copies[name], None, 0.0
        for level, size, smaller in ((3, 1, ()), (2, 2, (1,)), (1, 4, (2, 1))):
            own = tiny.mean_pool(features, size) @ weights[f"level{level}_conv/kernel"][0, 0]
            own = tiny.batch_norm(weights, f"level{level}_norm", own)
            if passed is not None:
                deeper = tf.repeat(tf.repeat(passed, 2, axis=1), 2, axis=2)
                scores = tf.concat([own, deeper], axis=-1) @ weights[f"level{level}_gates/kernel"][0, 0]
                gates = 1 / (1 + tf.exp(-scores - weights[f"level{level}_gates/bias"]))
                own = own * gates[..., :1] + deeper * gates[..., 1:]
            passed = own
            made = tiny.convolve(weights, f"level{level}_output_conv", own)
            made = tiny.batch_norm(weights, f"level{level}_output_norm", made)
            total += squared(made - wanted[level - 1], *smaller, tiny=tiny)
        return {"review_kd": total}

    distiller = Distillation(student, teacher, [ReviewKD(weight=2.0, ramp_epochs=4.0)])
    five_steps(distiller, {"review_kd": 2.0 / 4.0}, [name], terms)


def test_networks_that_do_not_fit_are_refused_in_one_line(tiny_network, lesson_of):
    learner = tiny_network("learner", seed=1)
    taps = {name: one for name, one in learner.output.items() if name != "embedding"}
    bare = keras.Model(learner.input, taps, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no tap 'embedding'; it has stage1, stage2, features"):
        lesson_of(ReviewKD(), bare, learner)
    odd = keras.Model(learner.input, {**taps, "embedding": taps["features"]}, name="odd")
    with pytest.raises(ValueError, match=r"^networks: odd: 'embedding' must be \[batch, channels\], not "):
        lesson_of(ReviewKD(), learner, odd)
