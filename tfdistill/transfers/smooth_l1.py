"""The source's logits, by an error that large differences do not rule."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, checked
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer


class SmoothL1(LogitTransfer):
    """The learner's logits become the source's, by an error that is squared only where it is small.

    `weight · mean_k h(z_l,k − z_s,k)` with `h(d) = d² / 2` for |d| < 1 and `|d| − ½` elsewhere.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.SmoothL1()], label_weight=0.0)

    Args:
        weight: weight of the term; in Python also a function of the epoch.
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: a negative weight.

    Source: the code of Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge
    Distillation", IJCAI 2021; the paper reports nothing of it.
    """

    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), their code"

    @checked
    def __init__(self, *, weight: RampedWeight = 1.0, standardized: bool = False, name: str = "smooth_l1") -> None:
        super().__init__(name, weight, standardized)

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        return losses.smooth_l1(source, learner)
