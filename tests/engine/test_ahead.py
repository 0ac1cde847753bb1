"""Teachers that are asked ahead: to the same bits, where that can be, and refused where it cannot."""

import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill import optimizers
from tfdistill.engine.teachers import fingerprint
from tfdistill.transfers import Lesson

PLAIN = {"networks": optimizers.OptimizerSettings(learning_rate=0.1, momentum=0.9)}
IMAGES = np.random.default_rng(4).normal(size=(11, 8, 8, 3)).astype("float32")
LABELS = np.arange(11) % 4


def batches(form=dict):
    """Three batches, of which the last is a short one."""
    names = ("images", "labels", "weight")
    arrays = (IMAGES, LABELS, np.linspace(0.5, 1.5, 11, dtype="float32"))
    given = arrays if form is tuple else dict(zip(names, arrays, strict=True))
    return tf.data.Dataset.from_tensor_slices(given).batch(4)


class Calling(tfdistill.Transfer):
    """Calls its source itself."""

    paper, calls_source = "made up", True

    def lesson(self, pairing):
        def terms(batch, own, source, call):
            gap = own["logits"] - call(pairing.source, batch["images"])["logits"]
            return {self.name: tf.reduce_sum(gap**2, axis=1)}

        return Lesson({self.name: 1.0}, terms)


def taught(tiny_network, *transfers, **compiled):
    """A student that two teachers teach, the first of which has another width."""
    teachers = [tiny_network("wide", seed=50, channels=16), tiny_network("other", seed=60)]
    student = tiny_network("student", seed=1)
    distiller = tfdistill.Distillation(student, teachers, transfers or [tfdistill.KD(), tfdistill.AT()])
    distiller.compile(PLAIN, **compiled)
    return distiller


def called_in_steps(distiller):
    """The names of the models that steps call, from now on."""
    call, called = distiller.call_model, []
    distiller.call_model = lambda model, inputs: called.append(model.name) or call(model, inputs)
    return called


def weights_after(distiller, data, epochs=2):
    distiller.fit(data, epochs=epochs, verbose=0)
    return [array.tobytes() for array in distiller.networks[0].get_weights()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_learns_the_same_bits_from_teachers_that_are_asked_ahead(tiny_network, precision):
    off = taught(tiny_network, teacher_precision=precision, teacher_ahead="off")
    expected = weights_after(off, batches())
    for form in (dict, tuple):
        distiller = taught(tiny_network, teacher_precision=precision, teacher_ahead="auto", steps_per_execution=2)
        taps = ("logits", "stage1", "stage2")
        assert distiller.ahead.taps(batches(form).element_spec) == {"wide": taps, "other": taps}
        called = called_in_steps(distiller)
        assert weights_after(distiller, batches(form)) == expected
        assert set(called) == {"student"}


def test_a_teacher_whose_weights_are_loaded_between_two_fits_answers_with_these(tiny_network):
    found = []
    for ahead in ("on", "off"):
        distiller = taught(tiny_network, teacher_ahead=ahead)
        weights_after(distiller, batches())
        for teacher in distiller.teachers:
            teacher.set_weights([2.0 * one for one in teacher.get_weights()])
        before = [fingerprint(teacher) for teacher in distiller.teachers]
        found.append(weights_after(distiller, batches()))
        assert [fingerprint(teacher) for teacher in distiller.teachers] == before
    assert found[0] == found[1]


def test_what_cannot_be_asked_ahead_is_asked_in_the_step_or_refused_in_one_line(tiny_network, two_replicas):
    told = batches().map(lambda batch: {**batch, "other/logits": tf.zeros([tf.shape(batch["images"])[0], 4])})
    for transfers, compiled, data, said in (
        ((Calling("calling", 1.0), tfdistill.KD()), {}, batches(), "a loss calls other, wide itself"),
        ((), {"xla": "on"}, batches(), "XLA compiles a teacher together with the step"),
        ((), {"run_eagerly": True}, batches(), "run_eagerly has one operation run after another"),
        ((), {}, told, "batches bring answers along already"),
        ((), {}, IMAGES, r"the data is no tf\.data\.Dataset"),
    ):
        distiller = taught(tiny_network, *transfers, **compiled, teacher_ahead="on")
        with pytest.raises(ValueError, match=rf"^teacher_ahead: teachers cannot be asked ahead: {said}[^\n]*$"):
            distiller.ahead.of(data, {})
        distiller.compile(PLAIN, **compiled, teacher_ahead="auto")
        assert distiller.ahead.of(data, {}) is data
    with pytest.raises(ValueError, match="class_weight"):
        taught(tiny_network, teacher_ahead="on").ahead.of(batches(tuple), {"class_weight": {0: 2.0}})
    with two_replicas.scope():
        several = taught(tiny_network, teacher_ahead="on")
    with pytest.raises(ValueError, match=r"it is for one processor, without a strategy; leave it out$"):
        several.fit(batches(), verbose=0)
    alone = tfdistill.Supervised([tiny_network("alone", seed=1)])
    alone.compile(PLAIN, teacher_ahead="on")
    with pytest.raises(ValueError, match=r"teachers cannot be asked ahead: there is none; leave it out$"):
        alone.fit(batches(), verbose=0)
    with pytest.raises(ValueError, match=r"^teacher_ahead: 'yes' is none of auto, on, off"):
        alone.compile(PLAIN, teacher_ahead="yes")


def test_batches_bring_what_is_read_of_the_teachers_and_nothing_else(tiny_network):
    distiller = taught(tiny_network, tfdistill.KD(), teacher_ahead="auto")
    found = list(distiller.ahead.of(batches(), {}))
    assert [set(batch) for batch in found] == [{"images", "labels", "weight", "wide/logits", "other/logits"}] * 3
    for start, batch in zip((0, 4, 8), found, strict=True):
        images = IMAGES[start : start + 4]
        np.testing.assert_allclose(batch["wide/logits"], distiller.teachers[0](images)["logits"], atol=1e-5)
