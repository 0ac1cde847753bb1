"""Distillation with the reused teacher classifier (SimKD)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.network_checks import check_teachers, require_networks
from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.updates import Part, Phase, Update, joint
from tfdistill.helpers.factors import pooled
from tfdistill.helpers.reused_classifier import ReusedClassifier, projector_seeds, with_classifier
from tfdistill.methods.arguments import ArgumentError, TermWeight, checked
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Classification, Task


class SimKD(Distiller):
    """A student's projected map becomes its teacher's, and the student answers by the teacher's classifier.

    `L = mean((P(f_s) − f_t)²) + label_weight · CE(y, z)`, with the last maps f_s of the student and f_t of the teacher.
    The projector P is a 1×1, a 3×3 and a 1×1 convolution without biases, each with BatchNorm and ReLU; it is trained
    along and stays. The prediction z is the teacher's classifier on the average of P(f_s). It is frozen, and evaluated
    and exported with the student and the projector; the student's own classifier is left out. Of two maps of different
    sizes the larger is averaged down to the smaller, the student's before the projector.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.SimKD(student, teacher)
    >>> list(distiller.deliverables()["student"].output)[-3:]
    ['features', 'embedding', 'logits']

    Args:
        networks: a student, or several, each with a projector of its own.
        teachers: one teacher, whose logits are the average of its last map and layers behind that.
        label_weight: weight of the labels' loss; at 0 there is none, as in the paper.
        factor: the projector's inner maps have so many times fewer channels than the teacher's map.
        task: the supervised loss and metrics.
        seed: of the projectors' weights.

    Raises:
        ValueError: no teacher or several, one whose classifier cannot be reused, or last maps of which one is no
            multiple of the other.

    Source: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022; the mean over a map's
    elements, the order of averaging and projecting, and first weights are the authors' code's.
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's, as of other transfers from a trained teacher. The paper trains as RepDistiller does, by the "
        "numbers of configs/sim_kd.flags."
    )
    source = "Chen et al., Knowledge Distillation with the Reused Teacher Classifier (CVPR 2022)"
    rebuilds_networks = True
    learns_from_teachers = True

    @checked
    def __init__(
        self,
        networks: keras.Model | Sequence[keras.Model],
        teachers: keras.Model | Sequence[keras.Model] | Mapping[str, str],
        *,
        label_weight: TermWeight = 0.0,
        factor: Annotated[int, Number(1, 4_096)] = 2,
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        students = [networks] if isinstance(networks, keras.Model) else networks
        sources = [teachers] if isinstance(teachers, keras.Model) else teachers
        require_networks(students, task)
        reused = _reused(sources, students, task or Classification())
        seeds = projector_seeds(seed)
        made = [with_classifier(student, reused, factor=factor, seeds=seeds) for student in students]
        super().__init__(made, teachers=() if isinstance(sources, Mapping) else sources, task=task)
        self.label_weight = label_weight
        # In functions, where Keras does not find models.
        self._given, self._reused = lambda: list(students), lambda: reused

    @property
    def given_networks(self) -> list[keras.Model]:
        return self._given()

    def reused_of_teachers(self) -> dict[str, Any]:
        return self._reused().kept()

    def phases(self) -> tuple[Phase, ...]:
        if not self.teachers:
            raise ArgumentError("networks", "were built without their teacher, to be scored and exported; give it")
        return (Phase(joint([self._part(network) for network in self.networks])),)

    def _part(self, network: keras.Model) -> Part:
        weights = {"alignment": 1.0, **({self.task.loss_name: self.label_weight} if self.label_weight else {})}
        return Update(network.name, (network,), weights), functools.partial(self._terms, network.name)

    def _terms(self, student: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own, (teacher,) = taps[student], self.teachers
        maps = own["features"], pooled(taps[teacher.name]["features"], own["features"].shape[1:3])
        terms = {"alignment": losses.distance(*maps, order=2)}
        return {**terms, **({self.task.loss_name: self.task.loss(batch, own)} if self.label_weight else {})}


def _reused(
    teachers: Sequence[keras.Model] | Mapping[str, str], students: Sequence[keras.Model], task: Task
) -> ReusedClassifier:
    """The classifier of the one teacher, or of what a run has kept of it."""
    if isinstance(teachers, Mapping):
        return ReusedClassifier.from_kept(teachers)
    if len(teachers) != 1:
        raise ArgumentError(
            "teachers", f"a student answers by the classifier of one teacher; give one, not {len(teachers) or 'none'}"
        )
    check_teachers(teachers, students, task, tf.distribute.get_strategy())
    return ReusedClassifier.of(teachers[0], fingerprint(teachers[0]))
