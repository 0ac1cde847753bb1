"""Teachers: what the networks learn from, and what nothing moves, counts or saves."""

from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import Distiller, optimizers
from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.updates import Phase, Update, alternating
from tfdistill.networks.folding import FoldedNetwork
from tfdistill.networks.layers import BatchNormalization

RATE = 0.5
PLAIN = {"networks": optimizers.OptimizerSettings(learning_rate=RATE, momentum=0.0)}


def linear(name, seed=0, *, norm=False, classes=2, size=1):
    """`logits = x W`, for images [1, size, 2]; with `norm` a BatchNorm that has seen some images comes first."""
    images = keras.Input((1, size, 2), name="images")
    x = keras.layers.Flatten()(images)
    x = BatchNormalization(name="norm")(x) if norm else x
    draw = keras.initializers.RandomNormal(seed=seed)
    dense = keras.layers.Dense(classes, use_bias=False, kernel_initializer=draw)
    model = keras.Model(images, {"logits": dense(x)}, name=name)
    if norm:
        model.get_layer("norm").set_weights(np.float32([[2.0, 0.5], [0.1, 0.2], [0.3, -0.7], [1.5, 0.25]]))
    return model


class Taught(Distiller):
    """Each network in turn steps down `sum(z_network * z_teacher)`."""

    protocol = "ie_cifar"
    source = "made up"

    def phases(self):
        def part(network):
            return Update(network.name, (network,), {"product": 1.0}), lambda batch, taps: {
                "product": tf.reduce_sum(taps[network.name]["logits"] * taps["teacher"]["logits"], axis=1)
            }

        return (Phase(alternating([part(network) for network in self.networks])),)


def data(steps=3, examples=4):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(steps * examples, 1, 1, 2)).astype("float32")
    return tf.data.Dataset.from_tensor_slices({"images": x, "labels": np.arange(len(x)) % 2}).batch(examples)


def train(distiller, xla="off"):
    distiller.compile(PLAIN, xla=xla)
    return distiller.fit(data(), validation_data=data(), verbose=0, shuffle=False).history


@pytest.fixture(scope="module")
def trained():
    """Two networks that a teacher has taught for three steps; what was before, and what the engine called."""
    networks, teacher = [linear("one", 1, norm=True), linear("two", 2)], linear("teacher", 3, norm=True)
    distiller = Taught(networks, teachers=[teacher])
    before = {model.name: model.get_weights() for model in (*networks, teacher)}
    call, called = distiller.call_model, []
    distiller.call_model = lambda model, inputs: called.append(model.name) or call(model, inputs)
    history = train(distiller)
    return distiller, before, called, history


def test_a_network_learns_from_what_the_teacher_says_in_inference_mode(trained):
    distiller, before, _, _ = trained
    gamma, beta, mean, variance = (np.asarray(one, "float64") for one in before["teacher"][:4])
    expected = before["two"][0].astype("float64")
    for batch in data():
        x = batch["images"].numpy().reshape(4, 2).astype("float64")
        said = ((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta) @ before["teacher"][4]
        expected -= RATE * x.T @ said / 4
    np.testing.assert_allclose(distiller.networks[1].get_weights()[0], expected, atol=1e-5)


def test_no_bit_of_a_teacher_moves(trained):
    distiller, before, _, _ = trained
    for old, new in zip(before["teacher"], distiller.teachers[0].get_weights(), strict=True):
        assert old.tobytes() == new.tobytes()
    assert not np.array_equal(before["one"][2], distiller.networks[0].get_weights()[2])


def test_a_step_calls_a_teacher_once_however_many_rounds_it_has_and_evaluation_never(trained):
    assert trained[2].count("teacher") == 1
    assert trained[2].count("one") + trained[2].count("two") == 3


def test_a_teacher_is_nowhere_but_in_the_losses(trained):
    distiller, _, _, history = trained
    teachers = {id(variable) for variable in distiller.teachers[0].variables}
    assert not teachers & {id(variable) for variable in distiller.variables}
    assert not teachers & {id(variable) for variable in distiller.state().values()}
    assert list(distiller.deliverables()) == ["one", "two"]
    assert not [name for name in history if "teacher" in name]
    assert [name for name in history if "val_ensemble" in name]
    images = next(iter(data()))["images"]
    taps = distiller(images)
    assert list(taps) == ["one", "two"]
    mean = (taps["one"]["logits"] + taps["two"]["logits"]) / 2
    np.testing.assert_allclose(distiller.ensemble(taps)["logits"], mean, atol=1e-6)


def test_fit_scores_teachers_once_as_evaluation_scores_networks(trained):
    distiller = trained[0]
    teacher = distiller.teachers[0]
    labels = np.concatenate([batch["labels"] for batch in data()])
    logits = np.concatenate([teacher(batch["images"], training=False)["logits"] for batch in data()])
    assert list(distiller.teacher_scores) == ["teacher/accuracy", "teacher/top5", "teacher/cross_entropy"]
    hits = (logits.argmax(1) == labels).mean()
    assert distiller.teacher_scores["teacher/accuracy"] == pytest.approx(hits)
    first = distiller.teacher_scores
    assert distiller.evaluate(data(), return_dict=True, verbose=0).keys() == {"loss"} | {
        f"{owner}/{metric}" for owner in ("one", "two", "ensemble") for metric in distiller.task.metric_names
    }
    after = [network.get_weights() for network in distiller.networks]
    distiller.fit(data(1), validation_data=data(1), verbose=0, shuffle=False)
    assert distiller.teacher_scores is first
    for network, weights in zip(distiller.networks, after, strict=True):
        network.set_weights(weights)


def bringing(told, key="teacher/logits"):
    """`data()` with `told`, float16 [batch, 2], for the taps of the teacher."""
    return data().map(lambda batch: {**batch, key: told(batch["images"])})


def test_a_teacher_whose_taps_come_with_the_batch_is_not_called():
    network, teacher = linear("two", 2), linear("teacher", 3)
    distiller = Taught([network], teachers=[teacher])
    call, called = distiller.call_model, []
    distiller.call_model = lambda model, inputs: called.append(model.name) or call(model, inputs)
    distiller.compile(PLAIN)
    expected = network.get_weights()[0].astype("float64")
    told = bringing(lambda images: tf.cast(3 * images[:, 0, 0], tf.float16))
    distiller.fit(told, verbose=0, shuffle=False)
    for batch in told:
        x = batch["images"].numpy().reshape(4, 2).astype("float64")
        expected -= RATE * x.T @ batch["teacher/logits"].numpy().astype("float64") / 4
    np.testing.assert_allclose(network.get_weights()[0], expected, atol=1e-5)
    assert called == ["two"]


def test_taps_of_a_teacher_that_do_not_fit_are_refused_in_one_line():
    for key, classes, said in (
        ("teacher/logit", 2, r"data: teacher/logit \[2\] is no tap of teacher teacher, which has logits \[2\]"),
        ("teacher/logits", 1, r"data: teacher/logits \[1\] is no tap of teacher teacher, .*"),
        ("teacher/embedding", 2, "data: a loss reads teacher/logits, and batches bring teacher/embedding only"),
    ):
        teacher = linear("teacher", 3)
        if "embedding" in key:
            teacher = keras.Model(teacher.input, {**teacher.output, "embedding": teacher.output["logits"] * 1.0})
            teacher.name = "teacher"
        distiller = Taught([linear("two", 2)], teachers=[teacher])
        distiller.compile(PLAIN, run_eagerly=True)
        with pytest.raises(ValueError, match=f"^{said}$"):
            distiller.fit(bringing(lambda x, k=classes: x[:, 0, 0, :k], key), verbose=0, shuffle=False)


def test_a_teacher_that_is_no_number_is_refused_before_the_first_step():
    teacher = linear("teacher", 3)
    teacher.layers[-1].kernel.assign(np.full((2, 2), np.nan, "float32"))
    distiller = Taught([linear("one", 1)], teachers=[teacher])
    distiller.compile(PLAIN)
    with pytest.raises(FloatingPointError, match=r"^teacher teacher: variable dense.*/kernel is not finite as given$"):
        distiller.fit(data(), verbose=0)


def test_a_teacher_whose_answers_are_no_numbers_is_refused_before_the_first_step():
    teacher = linear("teacher", 3, norm=True)
    teacher.get_layer("norm").moving_variance.assign([1.0, -1.0])
    distiller = Taught([linear("one", 1)], teachers=[teacher])
    distiller.compile(PLAIN)
    with pytest.raises(FloatingPointError, match=r"^teacher teacher: its answers to held-out images are not finite, "):
        distiller.fit(data(), validation_data=data(), verbose=0)


def test_under_xla_and_two_replicas_a_teacher_teaches_the_same(trained, two_replicas):
    with two_replicas.scope():
        networks, teacher = [linear("one", 1), linear("two", 2)], linear("teacher", 3, norm=True)
        distiller = Taught(networks, teachers=[teacher])
    before = fingerprint(teacher)
    train(distiller, xla="on")
    np.testing.assert_allclose(networks[1].get_weights()[0], trained[0].networks[1].get_weights()[0], atol=1e-5)
    assert fingerprint(teacher) == before


def test_teachers_that_do_not_fit_are_refused_in_one_line():
    one = linear("one", 1)
    shared = keras.Model(one.input, {"logits": one.output["logits"] * 2.0}, name="shared")
    for teachers, said in {
        (one,): "teachers: one is given twice",
        (linear("ensemble"),): "teachers: 'ensemble' is what all networks together are called",
        (linear("t", classes=3),): "teachers: one tells 2 classes apart, t 3; a teacher and the networks need the same",
        (linear("t", size=2),): r"teachers: one reads images \(1, 1, 2\), t \(1, 2, 2\)",
        (shared,): "teachers: shared shares dense.*/kernel with the network one, and a teacher is never moved",
        ("runs/big",): "teachers: number 1 must be a keras.Model, not 'runs/big'; .*teacher.PATH. loads one",
    }.items():
        with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
            Taught([one], teachers=teachers)
    for teachers in (1, "runs/big"):
        with pytest.raises(ValueError, match=rf"^teachers: must be models in a list, not {teachers!r}"):
            Taught([one], teachers=teachers)
    assert [model.name for model in Taught([one], teachers=linear("t")).teachers] == ["t"]


def test_teachers_of_another_models_name_are_renamed_with_a_warning():
    networks, teachers = [linear("one", 1)], [linear("one", 2), linear("t", 3), linear("t", 4)]
    with pytest.warns(
        UserWarning, match=r"^teachers: one is another model's name; they are one_teacher, t_1, t_2 now$"
    ):
        distiller = Taught(networks, teachers=teachers)
    assert [one.name for one in (*networks, *distiller.teachers)] == ["one", "one_teacher", "t_1", "t_2"]


def test_teachers_that_come_later_leave_the_others_their_names_and_none_comes_after_compile():
    distiller = Taught([linear("one", 1)], teachers=linear("teacher", 3))
    with pytest.warns(UserWarning, match=r"^teachers: teacher is another model's name; they are teacher_teacher now$"):
        distiller.add_teachers(linear("teacher", 4))
    assert [one.name for one in distiller.teachers] == ["teacher", "teacher_teacher"]
    distiller.compile(PLAIN)
    with pytest.raises(ValueError, match=r"^compile: was called before; add to a method first"):
        distiller.add_teachers(linear("late", 5))


def test_an_update_that_would_move_a_teacher_is_refused():
    teacher = linear("teacher", 3)

    class Wrong(Taught):
        def phases(self):
            (phase,) = super().phases()
            (this_round,) = phase.rounds
            moved = keras.Model(teacher.input, teacher.output, name="helper")
            update = Update("one", (self.networks[0], moved), this_round.updates[0].terms)
            return (Phase((type(this_round)(this_round.losses, (update,)),)),)

    with pytest.raises(ValueError, match=r"^phases: update 'one' would move dense.*/kernel of the teacher teacher; .*"):
        Wrong([linear("one", 1)], teachers=[teacher]).compile()


def test_a_fingerprint_tells_weights_apart():
    teacher = linear("teacher", 3, norm=True)
    first = fingerprint(teacher)
    assert len(first) == 64 and fingerprint(teacher) == first
    teacher.get_layer("norm").moving_mean.assign([0.3, np.nextafter(np.float32(-0.7), np.float32(0))])
    assert fingerprint(teacher) != first


class Watched(Taught):
    """Taught by a teacher of maps; notes of what type the logits are that the losses read."""

    read: ClassVar[set] = set()

    def phases(self):
        student, teacher = self.networks[0].name, self.teachers[0].name

        def losses(batch, taps):
            self.read.add(taps[teacher]["logits"].dtype)
            return {"gap": tf.reduce_sum((taps[student]["logits"] - taps[teacher]["logits"]) ** 2, axis=1)}

        update = Update(student, (self.networks[0],), {"gap": 1.0})
        return (Phase(alternating([(update, losses)])),)


MAPS = np.random.default_rng(4).normal(size=(9, 8, 8, 3)).astype("float32")


def maps(batch=4):
    """Nine images of 8×8×3, so that the last batch is a short one."""
    return tf.data.Dataset.from_tensor_slices({"images": MAPS, "labels": np.arange(9) % 4}).batch(batch)


def watched(tiny_network, **compiled):
    teacher = tiny_network("teacher", seed=99)
    distiller = Watched([tiny_network("one", seed=1)], teachers=teacher)
    distiller.compile(PLAIN, **compiled)
    return distiller, teacher


def test_a_teacher_in_bfloat16_teaches_nearly_the_same_and_says_how_nearly(tiny_network):
    distiller, teacher = watched(tiny_network, teacher_precision="bfloat16")
    before = fingerprint(teacher)
    distiller.fit(maps(), validation_data=maps(), verbose=0, shuffle=False)
    assert distiller.read == {tf.float32} and fingerprint(teacher) == before
    called = distiller.teachers.called["teacher"]
    lowered, own = (np.asarray(model(MAPS, training=False)["logits"]) for model in (called, teacher))
    agreement = distiller.teacher_agreement["teacher"]
    assert agreement["same_answers"] == pytest.approx(np.mean(lowered.argmax(1) == own.argmax(1)))
    difference = np.abs(lowered - own).max() / np.abs(own).max()
    assert agreement["largest_difference"] == pytest.approx(difference, rel=0.1)
    # Two convolutions that round images or maps, kernel and result, by 2^-9 each.
    assert 0 < difference < 2 * 3 * 2**-9


def test_under_two_replicas_and_xla_every_example_is_compared_once(tiny_network, two_replicas):
    with two_replicas.scope():
        distiller, teacher = watched(tiny_network, teacher_precision="bfloat16", xla="on")
    before = fingerprint(teacher)
    distiller.fit(maps(), validation_data=maps(), verbose=0, shuffle=False)
    assert fingerprint(teacher) == before
    called = distiller.teachers.called["teacher"]
    lowered, own = (np.asarray(model(MAPS, training=False)["logits"]) for model in (called, teacher))
    same = np.mean(lowered.argmax(1) == own.argmax(1))
    assert distiller.teacher_agreement["teacher"]["same_answers"] == pytest.approx(same)
    assert 0 < distiller.teacher_agreement["teacher"]["largest_difference"] < 2 * 3 * 2**-9


def test_a_teacher_that_bfloat16_cannot_serve_stays_and_an_unknown_precision_is_refused(tiny_network):
    distiller = Taught([linear("one", 1)], teachers=linear("teacher", 3))
    with pytest.warns(UserWarning, match=r"^teacher_precision: teacher stays in its own precision; it has no layer "):
        distiller.compile(PLAIN, teacher_precision="bfloat16")
    assert not distiller.teachers.lowered
    with pytest.raises(ValueError, match=r"teacher_precision[^\n]*float16[^\n]*$"):
        distiller.compile(PLAIN, teacher_precision="float16")


def test_a_teacher_is_folded_again_only_where_its_weights_have_moved(tiny_network, monkeypatch):
    refreshed, refresh = [], FoldedNetwork.refresh
    monkeypatch.setattr(FoldedNetwork, "refresh", lambda folded: refreshed.append(folded) or refresh(folded))
    distiller, teacher = watched(tiny_network, run_eagerly=True)
    distiller.fit(maps(), validation_data=maps(), verbose=0, shuffle=False)
    distiller.score_teachers(maps(), verbose=0)
    assert len(refreshed) == 1
    teacher.layers[1].kernel.assign(teacher.layers[1].kernel * 2.0)
    distiller.score_teachers(maps(), verbose=0)
    assert len(refreshed) == 2
    called = distiller.teachers.called["teacher"]
    assert called is not teacher
    np.testing.assert_allclose(called(MAPS)["logits"], teacher(MAPS, training=False)["logits"], atol=1e-5)
