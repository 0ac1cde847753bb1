"""PKD: distillation by Pearson correlation, channel by channel."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.helpers.connectors import projections
from tfdistill.helpers.tap_pairs import TapPair
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Pairing


class PKD(TapTransfer):
    """The learner's channels rise and fall with the source's, over the images of a batch and the places in them.

    `weight · ½ mean_pc (ŝ − t̂)²` with each channel of the learner's last map s normalized over all examples and
    positions to mean 0 and deviation 1, and t likewise of the source's. In the mean over the batch that is
    `weight · (1 − mean_c r_c)`, r_c Pearson's correlation of a channel. How large a channel is does not count on either
    side, so it suits teachers of other kinds than the student, such as other detectors.

    It is a statistic of the batch, of which an example's term is its share: with several replicas each normalizes by
    the examples of its own share. Where the maps differ in channels a 1×1 convolution, which the learner's update
    moves, gives the learner's the source's. Of two sizes the larger map is averaged down to the smaller before.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.PKD()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; the authors' code has 6 for detectors of two stages, 10 for those of one, such as
            SSD. In Python also a function of the epoch.
        name: of the term in the logs, and in the names of the convolutions.

    Raises:
        ValueError: a negative weight, a tap that one of two networks does not have, or maps whose sizes do not divide.

    Source: Cao et al., "PKD: General Distillation Framework for Object Detectors via Pearson Correlation Coefficient",
    NeurIPS 2022, which compares the maps of a feature pyramid, all of 256 channels; the convolution is ours, and their
    code resizes the student's map to the teacher's.
    """

    paper = "Cao et al., PKD: General Distillation Framework for Object Detectors (NeurIPS 2022)"
    by_position = True

    @checked
    def __init__(self, *, taps: TapNames = "features", weight: RampedWeight = 6.0, name: str = "pkd") -> None:
        super().__init__(name, weight, taps)

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        return projections(pair, prefix=pairing.prefix, seeds=pairing.seeds)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.correlation_distance(learner, source)
