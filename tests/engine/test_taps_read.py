"""Which taps of its teachers a method reads."""

import pytest
import tensorflow as tf

import tfdistill
from tfdistill.engine.taps_read import reading, taps_read
from tfdistill.transfers import Lesson, Preparation


class Later(tfdistill.Transfer):
    """Reads a tap in a phase before the training, and another in the training."""

    paper = "made up"

    def lesson(self, pairing):
        def reading(tap):
            return lambda batch, own, source, call: {
                self.name: tf.reduce_sum(own["logits"], axis=1) * tf.reduce_mean(source[tap])
            }

        weights = {self.name: 1.0}
        return Lesson(
            weights, reading("logits"), preparation=Preparation(1, (pairing.learner,), weights, reading("features"))
        )


@pytest.mark.parametrize("replicas", [1, 2])
def test_every_tap_that_a_loss_reads_is_found_and_nothing_moves(tiny, two_replicas, replicas):
    scope = two_replicas if replicas == 2 else tf.distribute.get_strategy()
    with scope.scope():
        student, *teachers = (tiny.network(name, seed=seed) for seed, name in enumerate(("student", "a", "b")))
        distiller = tfdistill.Distillation(student, teachers, [tfdistill.KD(), Later("later", 1.0)])
        plain = tfdistill.Distillation(tiny.network("other"), tiny.network("c"), [tfdistill.KD()])
    batch = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in tiny.batch().items()}
    before = student.get_weights()
    assert taps_read(distiller, batch) == {"a": ("features", "logits"), "b": ("features", "logits")}
    assert taps_read(plain, batch) == {"c": ("logits",)}
    assert distiller.phase_index == 0
    assert all((one == other).all() for one, other in zip(before, student.get_weights(), strict=True))


def test_teachers_of_whom_the_phases_read_different_taps_are_not_asked_ahead(tiny):
    distiller = tfdistill.Distillation(tiny.network("one"), tiny.network("a", seed=1), [Later("later", 1.0)])
    distiller.compile(teacher_ahead="on")
    batch = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in tiny.batch().items()}
    assert reading(distiller, batch).by_phase == ({"a": ("features",)}, {"a": ("logits",)})
    with pytest.raises(ValueError, match="the phases of the training do not all read the same of the teachers;"):
        distiller.ahead.taps(batch)
