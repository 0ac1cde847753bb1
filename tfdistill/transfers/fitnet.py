"""FitNet: hints from the middle of the source."""

from __future__ import annotations

from typing import Annotated

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number, RampedWeight, TapNames, checked
from tfdistill.helpers.matching import transfer_layer
from tfdistill.helpers.tap_pairs import TapPair, map_pairs
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Lesson, Pairing, Preparation


class FitNet(TapTransfer):
    """The learner's map in the middle of the network, through a regressor, becomes the source's.

    `weight · mean (r(f_l) − f_s)²` over height, width and channels. The regressor r is a 1×1 convolution, normalization
    and ReLU; the learner's update moves it, and it is there also where both maps have as many channels. Of two sizes
    the larger is averaged down to the smaller before.

    With `preparation_epochs` there are two stages. In the run's first epochs the hint alone trains the learner up to
    this map, and the regressor; the layers behind stay as they are. From then on neither hint nor regressor takes part,
    and the method's other terms train the whole learner: the labels, and what else is added, as KD.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.FitNet()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        preparation_epochs: epochs of a first stage that trains the learner up to the hint; the run's others follow. 0:
            one stage, hint and labels together.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the name of the regressor.

    Raises:
        ValueError: a value out of its range, a tap that one of two networks does not have, or maps whose sizes do not
            divide.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, Algorithm 1: its two stages, the second of
    which is KD, are `preparation_epochs` and `[FitNet(preparation_epochs=...), KD()]`. The paper's sum of squares is a
    mean here, and its regressor, a convolution as large as it takes to bring the student's map to the hint's size, is a
    1×1 convolution on maps of one size. One stage, and the weight, are RepDistiller's.
    """

    paper = "Romero et al., FitNets: Hints for Thin Deep Nets (ICLR 2015)"
    by_position = True

    @checked
    def __init__(
        self,
        *,
        taps: TapNames = "middle",
        preparation_epochs: Annotated[int, Number(0, 100_000)] = 0,
        weight: RampedWeight = 100.0,
        name: str = "fitnet",
    ) -> None:
        super().__init__(name, weight, taps)
        self.preparation_epochs = preparation_epochs

    def lesson(self, pairing: Pairing) -> Lesson:
        together = super().lesson(pairing)
        if not self.preparation_epochs:
            return together
        body = pairing.learner_up_to([pair.own for pair in map_pairs(self.taps, pairing.learner, pairing.source)])

        def hints(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return {"hint": together.terms(batch, own, source, call)[self.name]}

        def nothing(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return {}

        first = Preparation(self.preparation_epochs, (body, *together.helpers), {"hint": self.weight}, hints)
        return Lesson({}, nothing, kept=together.helpers, preparation=first)

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        name = f"{pairing.prefix}_{pair.own}_regressor"
        return (transfer_layer(pair.own_shape, pair.source_shape[-1], name=name, seeds=pairing.seeds),)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.distance(learner, source, order=2)
