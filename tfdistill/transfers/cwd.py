"""CWD: channel-wise distillation."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import ArgumentError, RampedWeight, TapNames, Temperature, checked
from tfdistill.helpers.connectors import projections
from tfdistill.helpers.tap_pairs import TapPair, map_pairs
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Lesson, Pairing


class CWD(TapTransfer):
    """Each channel of the learner is large where the source's same channel is large.

    `weight · T² mean_c Σ_p q_pc log(q_pc / p_pc)`, where p is the softmax over the positions of an image of each
    channel of the learner's last map divided by T, and q the source's. Places where the source's channel is large
    weigh most. Where the maps differ in channels a 1×1 convolution, which the learner's update moves, gives the
    learner's the source's. Of two sizes the larger map is averaged down to the smaller before.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.CWD()])

    Args:
        temperature: T of both softmaxes; the authors have 1 for detection, 4 for segmentation.
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the names of the convolutions.

    Raises:
        ValueError: a temperature out of range, a negative weight, a tap that one of two networks does not have, maps
            whose sizes do not divide, or maps that all meet at one position.

    Source: Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021; the convolution is
    theirs, without its bias, which changes nothing. Temperature and weight are MMRazor's for detection; the authors'
    own code has the weight 5 there.
    """

    paper = "Shu et al., Channel-wise Knowledge Distillation for Dense Prediction (ICCV 2021)"
    by_position = True

    @checked
    def __init__(
        self,
        *,
        temperature: Temperature = 1.0,
        taps: TapNames = "features",
        weight: RampedWeight = 10.0,
        name: str = "cwd",
    ) -> None:
        super().__init__(name, weight, taps)
        self.temperature = temperature

    def lesson(self, pairing: Pairing) -> Lesson:
        pairs = map_pairs(self.taps, pairing.learner, pairing.source)
        if all(pair.size == (1, 1) for pair in pairs):
            raise ArgumentError(
                "networks",
                f"the maps of {self.taps} of {pairing.learner.name} and {pairing.source.name} meet at one position, "
                "whose softmax is always 1; take larger images, or earlier taps",
            )
        return super().lesson(pairing)

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        return projections(pair, prefix=pairing.prefix, seeds=pairing.seeds)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.channel_divergence(learner, source, self.temperature)
