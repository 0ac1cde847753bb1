"""AT: attention transfer."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.transfers.tap_transfer import TapTransfer


class AT(TapTransfer):
    """The learner looks where the source looks: its maps are large at the same places in an image.

    `weight · Σ mean_p (q_p − r_p)²`, summed over the stages, with q the mean of the squared channels at each position
    of the learner's map, divided by its L2 norm over the positions, and r the same of the source's. Maps may differ in
    channels; of two sizes the larger is averaged down to the smaller. It builds nothing.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.AT(taps="stage2,stage3")])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight, or a tap that one of two networks does not have.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional
    Neural Networks via Attention Transfer", ICLR 2017, by activations. Weight and mean are those of the authors' code.
    """

    paper = "Zagoruyko and Komodakis, Paying More Attention to Attention (ICLR 2017)"
    by_position = True

    @checked
    def __init__(self, *, taps: TapNames = "stages", weight: RampedWeight = 1000.0, name: str = "at") -> None:
        super().__init__(name, weight, taps)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.attention_distance(learner, source)
