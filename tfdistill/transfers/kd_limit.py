"""Knowledge distillation at the ends of the scale of temperatures."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, checked, choose
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer

LIMITS = {"infinite": losses.high_temperature_limit, "zero": losses.low_temperature_limit}


class KDLimit(LogitTransfer):
    """The learner imitates the source's predictions as `KD` does at an infinite temperature, or at 0.

    With the logits z of the source and the learner, and `d = z_l − z_s`:

    - "infinite": `weight · ½ · (mean_k d_k² − (mean_k d_k)²)`, the limit of `T² · KL(p_s(T) ‖ p_l(T))`: logits are
      matched, but for a number that is added to all of them;
    - "zero": `weight · (max_k z_l,k − z_l,c)`, c the class of the source's largest logit, the limit of `T · KL(...)`:
      classes are matched.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KDLimit()], label_weight=0.0)

    Args:
        temperature: "infinite" or "zero".
        weight: weight of the term; in Python also a function of the epoch.
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: another temperature, or a negative weight.

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
    IJCAI 2021, Eqs. 5, 6 and 8, without the labels' loss. The gradients are those of Eqs. 5 and 6; where logits tie for
    the largest, which Eq. 6 does not foresee, they share. The division by T that Eq. 6 has is Eq. 7's factor below 1.
    """

    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), Eqs. 5, 6, 8"

    @checked
    def __init__(
        self,
        *,
        temperature: Literal["infinite", "zero"] = "infinite",
        weight: RampedWeight = 1.0,
        standardized: bool = False,
        name: str = "kd_limit",
    ) -> None:
        super().__init__(name, weight, standardized)
        self.temperature = temperature
        self.limit = choose("temperature", temperature, LIMITS)

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        return self.limit(source, learner)
