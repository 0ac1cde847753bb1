"""NST: neuron selectivity transfer."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.transfers.tap_transfer import TapTransfer


class NST(TapTransfer):
    """The learner's channels are active at places in an image where, taken together, the source's channels are.

    `weight · Σ MMD²`, summed over the stages: the squared maximum mean discrepancy of the two sets of channels, each
    flattened and divided by its L2 norm, with the kernel `(a · b)²`. Maps may differ in channels; of two sizes the
    larger is averaged down to the smaller. It builds nothing. At a batch of 256 it keeps
    8 MiB of products for 8×8 maps of 64 channels; `losses.selectivity_distance` says how many for others.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.NST(taps="features")])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight, or a tap that one of two networks does not have.

    Source: Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017. Stages and
    weight are RepDistiller's.
    """

    paper = "Huang and Wang, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer (2017)"
    by_position = True

    @checked
    def __init__(self, *, taps: TapNames = "stages", weight: RampedWeight = 50.0, name: str = "nst") -> None:
        super().__init__(name, weight, taps)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.selectivity_distance(learner, source)
