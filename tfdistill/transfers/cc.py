"""CC: correlation congruence."""

from __future__ import annotations

from typing import Annotated

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number, RampedWeight, TapNames, checked
from tfdistill.helpers.connectors import linear_embedding
from tfdistill.helpers.tap_pairs import TapPair
from tfdistill.transfers.tap_transfer import TapTransfer
from tfdistill.transfers.transfer import Pairing


class CC(TapTransfer):
    """What the learner gets wrong about one example and about its neighbour in the batch has nothing in common.

    `weight · mean_b |e_b − f_b| · |e_(b+1) − f_(b+1)|`, where e is a linear layer of the learner's embedding, and f
    another of the source's. The learner's update moves both layers, whose weights the optimizer's decay alone bounds
    from below and above: two layers that give the same for all images would be a solution too.

    It is a statistic of the batch. With several replicas each relates the examples of its own share. It keeps a few
    tensors `[batch, units]`, 128 KiB each at a batch of 256.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.CC()])

    Args:
        units: size of both linear layers.
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the names of the layers.

    Raises:
        ValueError: a negative weight, or a tap that one of two networks does not have.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019, in the form and with the
    numbers of RepDistiller, by which later papers compare it. The paper's own loss compares two matrices of a Gaussian
    kernel.
    """

    paper = "Peng et al., Correlation Congruence for Knowledge Distillation (ICCV 2019)"

    @checked
    def __init__(
        self,
        *,
        units: Annotated[int, Number(1, 65_536)] = 128,
        taps: TapNames = "embedding",
        weight: RampedWeight = 0.02,
        name: str = "cc",
    ) -> None:
        super().__init__(name, weight, taps)
        self.units = units

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        return tuple(
            linear_embedding(shape, self.units, name=f"{pairing.prefix}_{tap}_of_{side}", seeds=pairing.seeds)
            for side, tap, shape in (
                ("learner", pair.own, pair.own_shape),
                ("source", pair.source, pair.source_shape),
            )
        )

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        return losses.congruence_loss(learner, source)
