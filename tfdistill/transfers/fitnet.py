"""FitNet: hints from the middle of the source."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.helpers.matching import transfer_layer
from tfdistill.helpers.tap_pairs import TapPair
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Pairing


class FitNet(TapTransfer):
    """The learner's map in the middle of the network, through a regressor, becomes the source's.

    `weight · mean (r(f_l) − f_s)²` over height, width and channels. The regressor r is a 1×1 convolution, normalization
    and ReLU; the learner's update moves it, and it is there also where both maps have as many channels. Of two sizes
    the larger is averaged down to the smaller before.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.FitNet()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the name of the regressor.

    Raises:
        ValueError: a negative weight, a tap that one of two networks does not have, or maps whose sizes do not divide.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015. There a first phase trains the student up to
    the hint, and a second the whole of it by KD. Here, as in RepDistiller, whose weight this is, one phase does both.
    """

    paper = "Romero et al., FitNets: Hints for Thin Deep Nets (ICLR 2015)"
    by_position = True

    @checked
    def __init__(self, *, taps: TapNames = "middle", weight: RampedWeight = 100.0, name: str = "fitnet") -> None:
        super().__init__(name, weight, taps)

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        name = f"{pairing.prefix}_{pair.own}_regressor"
        return (transfer_layer(pair.own_shape, pair.source_shape[-1], name=name, seeds=pairing.seeds),)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.distance(learner, source, order=2)
