"""The source's logits, by their squared error."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, checked
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer


class MSE(LogitTransfer):
    """The learner's logits become the source's, by their squared error.

    `weight · mean_k (z_l,k − z_s,k)²`, or the sum over the classes.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.MSE()], label_weight=0.0)

    Args:
        reduction: "mean" or "sum" over the classes; the sum is K times as much.
        weight: weight of the term; in Python also a function of the epoch.
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: another reduction, or a negative weight.

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
    IJCAI 2021, Eq. 9. The equation is the sum; the authors' code takes the mean, and its learning rate of 0.1 is made
    for that. They train with α = 1, which is `label_weight=0.0`. With several teachers the mean of the errors has the
    gradient of the error to the mean of their logits, which they take.
    """

    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), Eq. 9"

    @checked
    def __init__(
        self,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        weight: RampedWeight = 1.0,
        standardized: bool = False,
        name: str = "mse",
    ) -> None:
        super().__init__(name, weight, standardized)
        self.reduction: Literal["mean", "sum"] = reduction

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        return losses.squared_error(source, learner, self.reduction)
