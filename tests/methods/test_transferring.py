"""Transfers in a method's table: whose update takes them, with which models, and what a preparation becomes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods import DML, FFL, KDCL, Distillation, Mutual, Supervised, add_transfers
from tfdistill.transfers import KD, Lesson, Preparation, Transfer


class Coded(Transfer):
    """An encoder of the source's logits, trained beforehand, whose code the learner's own encoder has to give."""

    paper = "none"

    def __init__(self, *, name="coded", epochs=1, moves_the_learner=False):
        super().__init__(name, 2.0)
        self.epochs, self.moves_the_learner = epochs, moves_the_learner

    def lesson(self, pairing):
        def coder(part):
            logits = keras.Input((pairing.source.output["logits"].shape[-1],))
            draw = keras.initializers.GlorotUniform(seed=next(pairing.seeds))
            code = keras.layers.Dense(2, kernel_initializer=draw)(logits)
            return keras.Model(logits, code, name=f"{pairing.prefix}_{part}")

        target, own_coder = coder("target"), coder("own")

        def prepared(batch, own, source, call):
            code = call(target, source["logits"])
            wanted = own["logits"][:, :2] if self.moves_the_learner else tf.ones_like(code)
            return {"code": tf.reduce_sum(tf.square(code - wanted), axis=1)}

        def taught(batch, own, source, call):
            gap = call(own_coder, own["logits"]) - call(target, source["logits"])
            return {self.name: tf.reduce_sum(tf.abs(gap), axis=1)}

        moved = (target, pairing.learner) if self.moves_the_learner else (target,)
        preparation = Preparation(self.epochs, moved, {"code": 1.0}, prepared)
        return Lesson({self.name: self.weight}, taught, (own_coder,), (target,), preparation)


def peers(tiny, count=2):
    return [tiny.network(str(k), channels=3 + k, seed=k) for k in range(count)]


def snapshot(*models):
    return [variable.numpy() for model in models for variable in model.variables]


def same(one, other):
    return all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize(("order", "count"), [("alternating", 2), ("joint", 3)])
def test_mutual_with_kd_is_deep_mutual_learning_bit_for_bit(tiny, order, count):
    arguments = {"temperature": 2.0, "weight": 0.7}
    trained, logs = [], []
    for method, own in ((DML, arguments), (Mutual, {"transfers": [KD(name="mutual", **arguments)]})):
        networks = peers(tiny, count)
        logs.append(tiny.train(method(networks, update=order, **own), 3, tiny.batch()))
        trained.append(snapshot(*networks))
    assert same(*trained) and logs[0] == logs[1]


def test_added_to_independent_training_it_is_the_same_once_more(tiny):
    networks, others = peers(tiny), peers(tiny)
    distiller = Supervised(networks)
    add_transfers(distiller, [KD(temperature=2.0)])
    tiny.train(distiller, 2, tiny.batch())
    tiny.train(Mutual(others, [KD(temperature=2.0)]), 2, tiny.batch())
    assert same(snapshot(*networks), snapshot(*others))


def test_a_student_of_a_frozen_teacher_against_numpy(tiny):
    """One step's gradient on the logits is α (p − y) + T (p(T) − t(T)), over the examples."""
    student, teacher = tiny.network("student", seed=1), tiny.network("teacher", seed=2)
    distiller = Distillation(student, teacher, [KD(temperature=4.0, weight=0.9)], label_weight=0.1)
    batch = tiny.batch()
    (update,) = distiller.phase.updates()
    assert update.terms == {"cross_entropy": 0.1, "kd": 0.9 * 16} and update.models == (student,)
    logits = tf.constant(np.random.default_rng(0).normal(size=(6, 3)), tf.float32)
    taught = teacher(batch["images"], training=False)["logits"]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        terms = distiller.phase.rounds[0].losses(batch, {"student": {"logits": logits}, "teacher": {"logits": taught}})
        total = update.total(terms["student"], tf.constant(0.0))
    p, softened, target = (tf.nn.softmax(tf.cast(one, tf.float64)) for one in (logits, logits / 4, taught / 4))
    labels = np.eye(3)[batch["labels"].numpy()]
    expected = 0.1 * (p - labels) + 0.9 * 4.0 * (softened - target)
    np.testing.assert_allclose(tape.gradient(total, logits), expected, rtol=1e-4, atol=1e-6)


def test_two_students_learn_from_the_mean_over_two_teachers(tiny):
    teachers = [tiny.network(f"teacher{k}", seed=10 + k) for k in range(2)]
    distiller = Distillation(peers(tiny), teachers, [KD(temperature=3.0)], label_weight=0.0)
    taps = distiller.call_all(tiny.batch(), distiller.call_model)
    terms = distiller.phase.rounds[0].losses(tiny.batch(), taps)
    for name in ("0", "1"):
        each = [losses.kl_divergence(taps[one.name]["logits"], taps[name]["logits"], 3.0) for one in teachers]
        assert set(terms[name]) == {"kd"}
        np.testing.assert_allclose(terms[name]["kd"], (each[0] + each[1]) / 2, rtol=1e-6)


def test_a_preparation_is_a_phase_before_and_its_models_stay_as_it_leaves_them(tiny):
    student, teacher = tiny.network("student", seed=1), tiny.network("teacher", seed=2)
    distiller = Distillation(student, teacher, [KD(), Coded()])
    first, second = distiller.plan
    assert (first.name, first.epochs, second.name) == ("coded_preparation", 1, "training")
    assert set(distiller.helpers) == {"student_from_teacher_coded_own", "student_from_teacher_coded_target"}
    own, target = (distiller.helpers[f"student_from_teacher_coded_{part}"] for part in ("own", "target"))
    assert [update.models for update in first.updates()] == [(target,)]
    assert [update.models for update in second.updates()] == [(student, own)]
    assert second.updates()[0].terms == {"cross_entropy": 1.0, "kd": 16.0, "coded": 2.0}
    before = snapshot(teacher)
    distiller.compile(xla="off")
    data = tf.data.Dataset.from_tensors(tiny.batch()).repeat(2)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([snapshot(one) for one in (student, own, target)])
    )
    start = [snapshot(one) for one in (student, own, target)]
    distiller.fit(data, epochs=2, verbose=0, callbacks=[note])
    prepared, trained = seen
    assert [same(one, other) for one, other in zip(start, prepared, strict=True)] == [True, True, False]
    assert [same(one, other) for one, other in zip(prepared, trained, strict=True)] == [False, False, True]
    assert same(before, snapshot(teacher))


def test_a_preparation_may_move_the_learner_and_no_transfer_added_later_enters_it(tiny):
    distiller = Distillation(tiny.network("student"), tiny.network("teacher", seed=2), [Coded(moves_the_learner=True)])
    add_transfers(distiller, [KD(name="late")])
    first, second = distiller.plan
    assert [list(update.terms) for update in first.updates()] == [["code"]]
    assert first.moves(distiller.networks[0])
    assert [list(update.terms) for update in second.updates()] == [["cross_entropy", "coded", "late"]]


def test_where_an_update_moves_several_learners_their_terms_are_summed_and_their_targets_are_constants(tiny):
    distiller = FFL(peers(tiny))
    add_transfers(distiller, [KD(temperature=2.0)])
    (this_round,) = distiller.phase.rounds
    networks, fusion = this_round.updates
    assert networks.terms["kd"] == 4.0 and "kd" not in fusion.terms
    logits = [tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[2.0, 0.0, 1.0]])]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        taps = {str(k): {"logits": one} for k, one in enumerate(logits)}
        taps["ensemble"] = {"logits": tf.zeros((1, 3))}
        term = this_round.losses({"labels": tf.constant([2])}, taps)["networks"]["kd"]
    expected = losses.kl_divergence(*logits, 2.0) + losses.kl_divergence(*logits[::-1], 2.0)
    np.testing.assert_allclose(term, expected, rtol=1e-6)
    softened = [tf.nn.softmax(one / 2) for one in logits]
    for gradient, own, other in zip(tape.gradient(term, logits), softened, softened[::-1], strict=True):
        np.testing.assert_allclose(gradient, (own - other) / 2, rtol=1e-5)


class Nothing(Transfer):
    """One that forgets what it has to give."""

    paper = "none"

    def lesson(self, pairing):
        return None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda tiny: Distillation(tiny.network("a"), []), "teachers: at least one is needed to learn from"),
        (
            lambda tiny: Distillation(tiny.network("a"), tiny.network("b"), [KD]),
            "transfers: number 1 must be a transfer",
        ),
        (
            lambda tiny: Mutual(peers(tiny), [Nothing("none", 1.0)]),
            r"transfers: lesson\(\) of 'none' gave None, no Lesson$",
        ),
        (lambda tiny: Mutual(peers(tiny), KD()), r"transfers: must be a list, such as \[KD\(\)\], not "),
        (lambda tiny: Mutual(peers(tiny)[:1]), "networks: learning from each other takes two or more, not 1"),
        (lambda tiny: add_transfers(Supervised(peers(tiny)[:1]), [KD()]), "transfers: 0 has no teacher and no peer"),
        (
            lambda tiny: add_transfers(DML(peers(tiny)), [KD(name="mutual")]),
            "transfers: update '0' has a term 'mutual' already; name the transfer apart, as in name='mutual_2'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tiny, build, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build(tiny)


def test_too_late_is_told_and_helpers_of_one_name_are_refused(tiny):
    distiller = KDCL(peers(tiny))
    add_transfers(distiller, [Coded()])
    with pytest.raises(ValueError, match=r"^helpers: the method has 0_from_1_coded_own, .* already$"):
        add_transfers(distiller, [Coded()])
    distiller.compile()
    with pytest.raises(ValueError, match=r"^compile: was called before; add to a method first"):
        add_transfers(distiller, [KD()])
