"""PKT: probabilistic knowledge transfer."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.transfers.tap_transfer import TapTransfer


class PKT(TapTransfer):
    """Every example has the neighbours in the learner's features that it has in the source's.

    `weight · mean_bj q_bj log(q_bj / p_bj)` for the examples b and j of a batch. p is how likely b is to pick j as its
    neighbour by the learner's features: `(1 + cos) / 2`, divided by the sum over j. q is the same by the source's.

    It is a statistic of the batch, and its value depends on the batch size. With several replicas each relates the
    examples of its own share. It builds nothing, and the networks may differ in all but the number of examples. It
    keeps at most six matrices `[batch, batch]` for each tap, 256 KiB each at a batch of 256.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.PKT()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight, or a tap that one of two networks does not have.

    Source: Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018. The
    mean over all pairs is the authors' code's, the weight is RepDistiller's.
    """

    paper = "Passalis and Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer (ECCV 2018)"

    @checked
    def __init__(self, *, taps: TapNames = "embedding", weight: RampedWeight = 30000.0, name: str = "pkt") -> None:
        super().__init__(name, weight, taps)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.neighbour_divergence(learner, source)
