"""SimKD against its equations in float64; whose classifier answers, what is kept of a teacher, and what is refused."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.state import network_state
from tfdistill.engine.teachers import fingerprint
from tfdistill.helpers.reused_classifier import ReusedClassifier
from tfdistill.methods import SimKD

STEPS, SIZE = 5, 4


def projected(tiny, weights, maps):
    for place in (1, 2, 3):
        maps = tiny.convolve(weights, f"projector_conv{place}", maps)
        maps = tf.nn.relu(tiny.batch_norm(weights, f"projector_{place}_norm", maps))
    return maps


def transcription(tiny, weights, teachers_map, batch, *, own_size, size, label_weight):
    """Down the maps' squared error and perhaps the labels' loss go convolution, BatchNorm and projector."""
    optimizer, seen = tiny.NesterovSGD(), {"alignment": [], "cross_entropy": []}
    moved = [one for name, one in weights.items() if one.trainable and not name.startswith("teacher_")]
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            maps = tiny.convolve(weights, "conv", tf.cast(batch["images"], tf.float64))
            maps = tiny.mean_pool(tf.nn.relu(tiny.batch_norm(weights, "norm", maps)), own_size)
            maps = projected(tiny, weights, tiny.mean_pool(maps, size))
            logits = tf.reduce_mean(maps, (1, 2)) @ weights["teacher_logits/kernel"] + weights["teacher_logits/bias"]
            terms = {
                "alignment": tf.reduce_mean((maps - tiny.mean_pool(teachers_map, size)) ** 2),
                "cross_entropy": tiny.cross_entropy(batch["labels"], logits),
            }
            loss = terms["alignment"] + label_weight * terms["cross_entropy"]
        optimizer.step(tape.gradient(loss, moved), moved)
        for name, value in terms.items():
            seen[name].append(float(value))
    return {name: np.mean(values) for name, values in seen.items()}


@pytest.mark.parametrize(
    ("own_pooling", "teachers_pooling", "label_weight"), [(1, 2, 0.0), (2, 1, 0.5)], ids=["larger", "smaller"]
)
def test_five_steps_are_the_equations(tiny, own_pooling, teachers_pooling, label_weight):
    """A student's map that is larger than its teacher's, and one that is smaller."""
    teacher = tiny.network("teacher", channels=6, pooling=teachers_pooling, seed=9)
    student = tiny.network("student", pooling=own_pooling, seed=1)
    distiller = SimKD(student, teacher, label_weight=label_weight, seed=4)
    (network,) = distiller.networks
    assert network.get_layer("projector_conv2").kernel.shape == (3, 3, 3, 3)
    weights, batch, bits = tiny.weights_of(network), tiny.batch(), fingerprint(teacher)
    teachers_map = tf.cast(teacher(batch["images"], training=False)["features"], tf.float64)
    size = SIZE // max(own_pooling, teachers_pooling)
    expected = transcription(
        tiny, weights, teachers_map, batch, own_size=SIZE // own_pooling, size=size, label_weight=label_weight
    )
    logs = tiny.train(distiller, STEPS, batch)
    tiny.assert_weights(network, weights)
    expected = {name: expected[name] for name in distiller.phase.updates()[0].terms}
    assert len(expected) == (2 if label_weight else 1)
    tiny.assert_terms(logs, expected, prefix="student/")
    assert fingerprint(teacher) == bits


def test_who_has_the_teachers_map_gives_its_answers_and_has_nothing_to_learn(tiny_network):
    teacher = tiny_network("teacher", seed=3, channels=6)
    # Dropout is for training, and a second layer on the average belongs to the classifier.
    maps = teacher.output["features"]
    average = keras.layers.Dropout(0.9, name="drop")(keras.layers.GlobalAveragePooling2D(name="mean")(maps))
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")(average)
    logits = keras.layers.Dense(4, name="logits")(hidden)
    teacher = keras.Model(teacher.input, {"features": maps, "logits": logits}, name="teacher")
    distiller = SimKD([tiny_network("one", seed=1), tiny_network("other", seed=2)], teacher)
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    taps = {"teacher": teacher(images, training=False)}
    classifier = ReusedClassifier.of(teacher, "").model
    np.testing.assert_array_equal(classifier(taps["teacher"]["features"], training=True), taps["teacher"]["logits"])

    same = {**taps, **{name: {"features": taps["teacher"]["features"]} for name in ("one", "other")}}
    (only,) = distiller.phase.rounds
    for terms in only.losses({}, same).values():
        np.testing.assert_array_equal(terms["alignment"], np.zeros(3))
    # What answers is the teacher's classifier on the average of the projected map, in both modes.
    for network in distiller.deliverables().values():
        assert not any(variable.path.startswith("teacher_") for variable in network.trainable_variables)
        for training in (False, True):
            own = network(images, training=training)
            assert own["features"].shape == (3, 4, 4, 6)
            np.testing.assert_allclose(own["logits"], classifier(own["features"]), rtol=1e-6)


def test_what_is_kept_of_a_teacher_builds_the_same_network(tiny_network):
    teacher = tiny_network("teacher", seed=3, channels=6)
    trained = teacher.get_layer("logits").kernel
    trained.assign(trained + 1)
    taught = SimKD(tiny_network("student", seed=1), teacher, seed=4)
    kept = json.loads(json.dumps(taught.reused_of_teachers()))
    alone = SimKD(tiny_network("student", seed=1), kept, seed=4)
    assert not alone.teachers and alone.reused_of_teachers() == kept
    assert alone.networks[0].made_of == taught.networks[0].made_of
    assert taught.networks[0].made_of["teacher_fingerprint"] == fingerprint(teacher)
    own, other = (network_state(one.networks) for one in (taught, alone))
    assert own.keys() == other.keys()
    differing = [name for name in own if not np.array_equal(own[name].numpy(), other[name].numpy())]
    # Weights are the checkpoint's. A classifier's bias starts at zero, as the teacher's does.
    assert len(differing) == 1 and own[differing[0]].path == "teacher_logits/kernel"
    with pytest.raises(ValueError, match=r"^networks: were built without their teacher"):
        _ = alone.phase


def test_weights_are_given_to_the_student_that_was_given(tiny_network):
    student = tiny_network("student", seed=1)
    distiller = SimKD(student, tiny_network("teacher", seed=3, channels=6))
    assert distiller.given_networks == [student]
    student.get_layer("conv0").kernel.assign(student.get_layer("conv0").kernel + 1)
    own = distiller.networks[0].get_layer("conv0").kernel
    np.testing.assert_array_equal(own, student.get_layer("conv0").kernel)
    assert "logits/kernel" not in [variable.path for variable in distiller.variables]


def headed(tiny_network, head, *, tap="features", size=8):
    """A network whose answers `head` makes of its last map and its images."""
    body = tiny_network("teacher", seed=3, size=size)
    maps = body.output["features"]
    return keras.Model(body.input, {tap: maps, "logits": head(maps, body.input)}, name="teacher")


def average(maps):
    return keras.layers.GlobalAveragePooling2D()(maps)


def dense(inputs):
    return keras.layers.Dense(4)(inputs)


class Nameless(keras.layers.Layer):
    """A layer that no configuration tells of."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def call(self, inputs):
        return inputs


REFUSED = {
    "gives no last map, only stage9, logits": ("stage9", lambda maps, images: dense(average(maps))),
    r"reads its last map by flat \(Flatten\)": (
        "features",
        lambda maps, images: dense(keras.layers.Flatten(name="flat")(maps)),
    ),
    r"reads its last map by .*GlobalAveragePooling2D\), .*GlobalMaxPooling2D\)": (
        "features",
        lambda maps, images: dense(
            keras.layers.Concatenate()([average(maps), keras.layers.GlobalMaxPooling2D()(maps)])
        ),
    ),
    "computes its logits of more than its last map": (
        "features",
        lambda maps, images: dense(keras.layers.Concatenate()([average(maps), average(images)])),
    ),
    "has a layer there that cannot be built anew": (
        "features",
        lambda maps, images: dense(Nameless(3)(average(maps))),
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_teacher_whose_classifier_is_another_is_refused(said, tiny_network):
    tap, head = REFUSED[said]
    with pytest.raises(ValueError, match=f"^teachers: teacher {said}.*; a classifier that can be reused is"):
        SimKD(tiny_network("student", seed=1), headed(tiny_network, head, tap=tap))


def test_one_teacher_is_needed_whose_map_divides(tiny_network):
    student, teachers = tiny_network("student", seed=1), [tiny_network(name, seed=3) for name in ("one", "other")]
    for given, count in (((), "none"), (teachers, "2")):
        with pytest.raises(ValueError, match=f"^teachers: .* one teacher; give one, not {count}$"):
            SimKD(student, given)
    odd = headed(tiny_network, lambda maps, images: dense(average(maps)), size=6)
    larger = tiny_network("student", seed=1, size=6)
    maps = keras.layers.AveragePooling2D(2, 1)(larger.output["features"])
    smaller = keras.Model(larger.input, {"features": maps, "logits": dense(average(maps))}, name="student")
    with pytest.raises(ValueError, match=r"^networks: feature maps .* do not divide"):
        SimKD(smaller, odd)
