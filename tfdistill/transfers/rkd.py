"""RKD: relational knowledge distillation."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import ArgumentError, RampedWeight, TapNames, TermWeight, checked
from tfdistill.transfers.tap_transfer import TapTransfer


class RKD(TapTransfer):
    """The examples of a batch lie to each other as the source has them, by their distances and by their angles.

    `weight · (δ · distances + α · angles)`. Distances are compared in units of the batch's mean distance, of all pairs;
    angles by their cosines, of all triples; both by an error that is squared where it is below 1 and grows evenly
    above. How large the features are does not count. Of the angles about six tensors of 16 MiB at most are kept at a
    time, whatever the batch; the distances take a few matrices `[batch, batch]`, 256 KiB each at a batch of 256.

    It is a statistic of the batch, and its value depends on the batch size. With several replicas each relates the
    examples of its own share. It builds nothing, and the networks may differ in all but the number of examples.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.RKD(angle_weight=0.0)])

    Args:
        distance_weight: δ, weight of the distances; at 0 they are left out.
        angle_weight: α, weight of the angles; at 0 they are left out.
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight, both parts at 0, or a tap that one of two networks does not have.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019. The weights are the authors' code's.
    """

    paper = "Park et al., Relational Knowledge Distillation (CVPR 2019)"

    @checked
    def __init__(
        self,
        *,
        distance_weight: TermWeight = 25.0,
        angle_weight: TermWeight = 50.0,
        taps: TapNames = "embedding",
        weight: RampedWeight = 1.0,
        name: str = "rkd",
    ) -> None:
        super().__init__(name, weight, taps)
        if not distance_weight and not angle_weight:
            raise ArgumentError("angle_weight", "is 0 and so is distance_weight: nothing is left; give one a weight")
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        parts = []
        if self.distance_weight:
            parts.append(self.distance_weight * losses.distance_potential(learner, source))
        if self.angle_weight:
            parts.append(self.angle_weight * losses.angle_potential(learner, source))
        return tf.add_n(parts)
