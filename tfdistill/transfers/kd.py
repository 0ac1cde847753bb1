"""Knowledge distillation: the source's softened predictions."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, Temperature, checked
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer


class KD(LogitTransfer):
    """The learner imitates the source's predictions, softened by a temperature.

    `weight · T² · KL(p_s(T) ‖ p_l(T))` with `p(T) = softmax(z / T)`, of the source's and the learner's logits. The
    gradient of the divergence shrinks with 1 / T²; the factor T² keeps its scale, whatever the temperature.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KD(temperature=4.0, weight=0.9)])

    Args:
        temperature: T of both distributions; the term is multiplied by T².
        weight: weight of the term; in Python also a function of the epoch.
        rescaled: whether a temperature below 1 keeps the scale of the gradient too: the factor is max(T, T²).
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: a temperature that is not positive, or a negative weight.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2, which matches the
    predictions by their cross-entropy: it has the same gradient, and is not 0 where both agree. Temperature 4 and
    weight 0.9, beside 0.1 for the labels, are what later papers compare with. `rescaled` is Eq. 7 of Kim et al.,
    "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation", IJCAI 2021, whose α
    is the weight here, and 1 − α the `label_weight` of `Distillation`; `KDLimit` is their T → ∞ and T → 0.
    `standardized` is Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024, who take temperature 2
    and weight 9 with it.
    """

    paper = "Hinton et al., Distilling the Knowledge in a Neural Network (2015)"

    @checked
    def __init__(
        self,
        *,
        temperature: Temperature = 4.0,
        weight: RampedWeight = 1.0,
        rescaled: bool = False,
        standardized: bool = False,
        name: str = "kd",
    ) -> None:
        super().__init__(name, weight, standardized)
        self.temperature, self.rescaled = temperature, rescaled

    def factor(self) -> float:
        return max(self.temperature, self.temperature**2) if self.rescaled else self.temperature**2

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        return losses.kl_divergence(source, learner, self.temperature)
