"""Distillation from trained teachers, by any transfers."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdistill.methods.arguments import ArgumentError, TermWeight, checked, require_transfers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task
from tfdistill.transfers import KD, Transfer


class Distillation(LabelsAndTransfers):
    """Students learn from the labels and, by any transfers, from trained teachers that nothing moves.

    `L_k = label_weight · CE(y, z_k) + Σ_t 1/J · Σ_j weight_t · L_t(k, j)` for student k, the transfers t and the J
    teachers j. All students are updated from one forward pass; the teachers run with `training=False`.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KD(temperature=4.0)], label_weight=0.1)
    >>> [update.name for update in distiller.phase.updates()]
    ['student']

    Args:
        networks: a student, or several.
        teachers: a teacher, or several: then each transfer's terms are means over them.
        transfers: what is taken from a teacher; `KD()` if there are none. Losses of `keras.distillation` will do too.
        label_weight: weight of the labels' loss; at 0 it is left out, and the teachers alone teach.
        task: the supervised loss and metrics.
        seed: of the weights of what the transfers build.

    Raises:
        ValueError: no teacher, one that does not fit the students, or a transfer that does not fit two networks.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, for the frame: a student, labels, and a
    trained teacher. What is taken from the teacher is each transfer's own paper's.
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's, by which its paper trains the students of every transfer that it compares. Hinton et al. "
        "train on other data."
    )
    source = "Hinton et al., Distilling the Knowledge in a Neural Network (2015), and each transfer's own paper"
    learns_from_teachers = True

    @checked
    def __init__(
        self,
        networks: keras.Model | Sequence[keras.Model],
        teachers: keras.Model | Sequence[keras.Model],
        transfers: Sequence[Transfer | keras.distillation.DistillationLoss] = (),
        *,
        label_weight: TermWeight = 1.0,
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        students = [networks] if isinstance(networks, keras.Model) else networks
        sources = [teachers] if isinstance(teachers, keras.Model) else teachers
        if not sources:
            raise ArgumentError(
                "teachers", "at least one is needed to learn from: a trained network, a run or a .keras file"
            )
        super().__init__(students, teachers=sources, task=task)
        self.label_weight = label_weight
        self.take(
            require_transfers(transfers) or [KD()], [(student, self.teachers) for student in self.networks], seed=seed
        )
