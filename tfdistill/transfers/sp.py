"""SP: similarity-preserving distillation."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.transfers.tap_transfer import TapTransfer


class SP(TapTransfer):
    """Examples that are similar to the source are similar to the learner.

    `weight · |G − H|² / B²` for a batch of B examples. G has the inner products of the learner's last feature map,
    example by example, each row divided by its L2 norm; H has the source's.

    It is a statistic of the batch, and its value depends on the batch size. With several replicas each relates the
    examples of its own share. It builds nothing, and the networks may differ in all but the number of examples. It
    keeps at most six matrices `[batch, batch]` for each tap, 256 KiB each at a batch of 256.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.SP()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight, or a tap that one of two networks does not have.

    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019. The weight is RepDistiller's,
    which takes the last stage; of most networks that is the same map, but of Wide ResNets "stage3", before
    normalization.
    """

    paper = "Tung and Mori, Similarity-Preserving Knowledge Distillation (ICCV 2019)"

    @checked
    def __init__(self, *, taps: TapNames = "features", weight: RampedWeight = 3000.0, name: str = "sp") -> None:
        super().__init__(name, weight, taps)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.similarity_distance(learner, source)
