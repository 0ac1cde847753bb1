"""Jacobian matching: closed forms, what it does not see, five steps by double backpropagation in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.teachers import fingerprint
from tfdistill.methods import Distillation
from tfdistill.networks.own_images import OwnImages
from tfdistill.transfers import AT, KD, Jacobian, courses


def lesson_of(transfer, learner, source):
    (course,) = courses([transfer], [(learner, [source])])
    return course.lessons[source.name]


def inference(model, inputs):
    return model(inputs, training=False)


def terms_of(transfer, learner, source, images, call=inference):
    taps = [call(one, images) for one in (learner, source)]
    return lesson_of(transfer, learner, source).terms({"images": images}, *taps, call)


def linear(name, kernel):
    images = keras.Input((2, 2, 3), name="images")
    layer = keras.layers.Dense(kernel.shape[1], use_bias=False, name="logits")
    network = keras.Model(images, {"logits": layer(keras.layers.Flatten()(images))}, name=name)
    layer.set_weights([kernel])
    return network


def test_of_linear_networks_it_is_the_distance_of_their_weights_directions():
    """And networks that give logits alone will do, without maps."""
    draw = np.random.default_rng(0)
    own, other = draw.normal(size=(2, 12, 4))
    images = draw.normal(size=(6, 2, 2, 3))
    networks = linear("own", own), linear("other", other)
    found = terms_of(Jacobian(activation_weight=0.0), *networks, tf.constant(images, tf.float32))
    with pytest.raises(ValueError, match=r"^networks: own has no stages; .* jacobian the activation_weight 0, which "):
        lesson_of(Jacobian(), *networks)
    chosen = (images.reshape(6, 12) @ other).argmax(1)
    assert len(set(chosen)) > 1
    own, other = (one.T[chosen] / np.linalg.norm(one.T[chosen], axis=1, keepdims=True) for one in (own, other))
    assert list(found) == ["jacobian"]
    np.testing.assert_allclose(found["jacobian"], ((own - other) ** 2).sum(1), rtol=1e-5)


def test_it_is_nothing_for_equal_networks_and_does_not_see_the_scale_of_answers(tiny_network):
    images = tf.constant(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), tf.float32)
    source, learner = (tiny_network(name, seed=1, batch_norm=False) for name in ("source", "learner"))
    kernel, bias = learner.get_layer("logits").get_weights()
    for scale, expected in ((1.0, 0.0), (7.0, 0.0), (-1.0, 4.0)):
        learner.get_layer("logits").set_weights([scale * kernel, scale * bias])
        found = terms_of(Jacobian(), learner, source, images)
        np.testing.assert_allclose(found["jacobian"], expected, atol=1e-6)
        np.testing.assert_array_equal(found["jacobian_activations"], 0)


def test_the_activations_are_attention_maps_and_nothing_teaches_the_source(tiny_network):
    images = tf.constant(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), tf.float32)
    learner, source = tiny_network("learner", seed=1), tiny_network("source", seed=2, channels=6)
    transfer = Jacobian(weight=0.5, activation_weight=3.0, taps="stage1")
    assert lesson_of(transfer, learner, source).weights == {"jacobian": 0.5, "jacobian_activations": 3.0}
    with tf.GradientTape(persistent=True) as tape:
        found = terms_of(transfer, learner, source, images)
    expected = terms_of(AT(taps="stage1"), learner, source, images)["at"]
    np.testing.assert_allclose(found["jacobian_activations"], expected, rtol=1e-6)
    for value in found.values():
        for model, taught in ((learner, True), (source, False)):
            slopes = tape.gradient(value, [one.value for one in model.trainable_variables])
            assert any(slope is not None and np.any(slope) for slope in slopes) == taught


def test_several_teachers_count_in_the_mean_and_it_is_their_copies_that_answer(tiny_network):
    """In bfloat16 too: with gradients that are finite and nearly the same."""
    teachers = [tiny_network(name, seed=k, channels=6) for k, name in enumerate(("near", "far"), 2)]
    student = tiny_network("student", seed=1)
    batch = {"images": tf.constant(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), tf.float32)}
    batch["labels"] = tf.constant([0, 1, 2, 3])

    def as_in_a_round(model, inputs):
        return model(inputs, training=model.name == "student")

    each = [terms_of(Jacobian(), student, one, batch["images"], as_in_a_round) for one in teachers]
    found = []
    for precision in ("float32", "bfloat16"):
        distiller = Distillation(student, teachers, [Jacobian()])
        distiller.compile(teacher_precision=precision, xla="off")
        taps = distiller.call_all(batch, distiller.call_model)
        found.append(distiller.phase.rounds[0].losses(batch, taps)["student"]["jacobian"].numpy())
    np.testing.assert_allclose(found[0], np.mean([one["jacobian"] for one in each], 0), rtol=1e-4)
    np.testing.assert_allclose(found[1], found[0], atol=0.1)
    assert np.isfinite(found[1]).all() and not np.array_equal(*found)


def test_a_step_moves_the_running_statistics_as_one_without_it(tiny_network):
    draw = np.random.default_rng(0)
    batch = {"images": draw.normal(size=(6, 8, 8, 3)).astype("float32"), "labels": draw.integers(0, 4, 6)}
    moved = []
    for more, xla in (([], "off"), ([Jacobian()], "off"), ([Jacobian()], "on")):
        student, teacher = tiny_network("student", seed=1), tiny_network("teacher", seed=2, channels=6)
        distiller, before = Distillation(student, teacher, [KD(), *more]), fingerprint(teacher)
        distiller.compile(xla=xla)
        logs = distiller.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False).history
        assert fingerprint(teacher) == before and len(more) * 2 == sum("/jacobian" in name for name in logs)
        moved.append([one.numpy() for one in student.non_trainable_variables])
    for plain, with_it, compiled in zip(*moved, strict=True):
        np.testing.assert_array_equal(with_it, plain)
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-6)
        assert np.abs(plain - np.round(plain)).max() > 1e-3  # from 0 and 1


def test_a_teacher_that_rounds_pixels_is_refused_in_one_line(tiny_network):
    images = keras.Input((8, 8, 3), name="images")
    whole = OwnImages((1.0,), (0.0,), whole_numbers=True)(images)
    teacher = keras.Model(images, tiny_network("inner", seed=1)(whole), name="rounding")
    with pytest.raises(ValueError, match=r"^networks: the answer of rounding has no gradient for its images") as error:
        Distillation(tiny_network("student", seed=2), teacher, [Jacobian()])
    assert "\n" not in str(error.value)


def unit(values):
    flat = tf.reshape(values, (len(values), -1))
    return flat / tf.norm(flat, axis=1, keepdims=True)


def teacher_in_float64(tiny, teacher, images):
    """Classes, gradients and attention of a network that is called with `training=False`."""
    weights = tiny.weights_of(teacher)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps = tiny.convolve(weights, "conv", images) - weights["norm/moving_mean"]
        maps = tf.nn.relu(maps / tf.sqrt(weights["norm/moving_variance"] + 1e-5) * weights["norm/gamma"])
        logits = tf.reduce_mean(maps, (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]
        largest = tf.reduce_max(logits, 1)
    return tf.argmax(logits, 1), unit(tape.gradient(largest, images)), unit(tf.reduce_mean(maps**2, -1))


def terms_in_float64(tiny, weights, batch, taught):
    """Means of the terms by two tapes, and the student's logits."""
    images, (classes, direction, attention) = tf.cast(batch["images"], tf.float64), taught
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        features, logits = tiny.run_network(weights, images, 4)
        chosen = tf.gather(logits, classes, batch_dims=1)
    gap = unit(tape.gradient(chosen, images)) - direction
    maps = unit(tf.reduce_mean(features**2, -1)) - attention
    return tf.reduce_mean(tf.reduce_sum(gap**2, 1)), tf.reduce_mean(maps**2), logits


def test_five_steps_in_float64_and_finite_differences_of_the_first(tiny):
    batch, student, teacher = tiny.batch(), tiny.network("student"), tiny.network("teacher", channels=6, seed=2)
    transfer = Jacobian(weight=0.5, activation_weight=10.0, taps="features")
    distiller = Distillation(student, teacher, [transfer])
    weights, sgd, seen = tiny.weights_of(student), tiny.NesterovSGD(), []
    taught = teacher_in_float64(tiny, teacher, tf.cast(batch["images"], tf.float64))
    assert len(set(taught[0].numpy())) > 1
    start = {name: tf.Variable(one, trainable=one.trainable) for name, one in weights.items()}
    logs, moved = tiny.train(distiller, 5, batch), tiny.trainable(weights)
    for step in range(5):
        with tf.GradientTape(persistent=True) as tape:
            jacobian, activations, logits = terms_in_float64(tiny, weights, batch, taught)
            total = tiny.cross_entropy(batch["labels"], logits) + 0.5 * jacobian + 10.0 * activations
        if not step:
            assert_finite_differences(tiny, start, batch, taught, tape.gradient(jacobian, moved))
        sgd.step(tape.gradient(total, moved), moved)
        seen.append((float(jacobian), float(activations)))
    tiny.assert_terms(logs, dict(zip(("jacobian", "jacobian_activations"), np.mean(seen, 0), strict=True)), "student/")
    tiny.assert_weights(student, weights)


def assert_finite_differences(tiny, weights, batch, taught, gradients):
    draw, size = np.random.default_rng(0), 1e-6
    for one, gradient in zip(tiny.trainable(weights), gradients, strict=True):
        start, direction = one.numpy(), draw.normal(size=one.shape)
        ends = []
        for sign in (1, -1):
            one.assign(start + sign * size * direction)
            ends.append(float(terms_in_float64(tiny, weights, batch, taught)[0]))
        one.assign(start)
        slope = 0.0 if gradient is None else np.sum(gradient * direction)
        assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(slope, rel=1e-5, abs=1e-8)
