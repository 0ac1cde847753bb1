"""VID: variational information distillation."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.helpers.connectors import gaussian_regressor
from tfdistill.helpers.tap_pairs import TapPair
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Pairing


class VID(TapTransfer):
    """The learner's maps tell as much as possible of the source's: these are likely, given what is predicted from them.

    `weight · Σ mean ½ [(μ(f_l) − f_s)² / σ² + log σ²]`, summed over the stages, in the mean over height, width and
    channels. μ is three 1×1 convolutions with ReLU between them, σ² a number for each channel, 5 at first; the
    learner's update moves both. Of two sizes the larger map is averaged down to the smaller before. The term falls
    below 0 where the source's map is well known.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.VID()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the names of the regressors.

    Raises:
        ValueError: a negative weight, a tap that one of two networks does not have, or maps whose sizes do not divide.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019; regressors, stages and
    weight are RepDistiller's.
    """

    paper = "Ahn et al., Variational Information Distillation for Knowledge Transfer (CVPR 2019)"
    by_position = True

    @checked
    def __init__(self, *, taps: TapNames = "stages", weight: RampedWeight = 1.0, name: str = "vid") -> None:
        super().__init__(name, weight, taps)

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        name = f"{pairing.prefix}_{pair.own}_regressor"
        return (gaussian_regressor(pair.own_shape, pair.source_shape[-1], name=name, seeds=pairing.seeds),)

    def loss(self, learner: Mapping[str, tf.Tensor], source: tf.Tensor) -> tf.Tensor:
        return losses.gaussian_negative_log_likelihood(learner["mean"], learner["variance"], source)
