"""Decoupled knowledge distillation: two parts of the source's predictions, weighed apart."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, RampEpochs, Temperature, TermWeight, checked
from tfdistill.engine.updates import Weight
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer
from tfdistill.transfers.transfer import grown


class DKD(LogitTransfer):
    """The learner imitates how sure the source is of the label, and, weighed apart, how it sees the other classes.

    `weight · min((e + 1) / R, 1) · T² · (α · target + β · non-target)` of the epoch e, from 0, where R is
    `ramp_epochs`. Target is the divergence of the two-way distributions (labelled class, rest), non-target that of the
    softmaxes over the other K − 1 classes. Their sum is `KD` where β is 1 minus the source's probability of the label:
    what the source is sure of teaches little there, and as much as anything else here.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.DKD(beta=2.0)])

    Args:
        alpha: α, weight of the target part.
        beta: β, weight of the non-target part.
        temperature: T of both distributions; the term is multiplied by T².
        ramp_epochs: epochs over which the weight grows, by equal steps; at 0 it is whole from the start. It does not
            stretch with the length of the run.
        weight: weight of the term; in Python also a function of the epoch.
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: a temperature that is not positive, or a negative weight.

    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022. Numbers and the ramp are the authors'
    code's: it counts epochs from 1, trains with the labels at weight 1, and takes β = 8, but 2 for ResNet-20 from
    ResNet-56. The labelled class of a mixed label is its largest. With two classes the non-target part is 0.
    """

    paper = "Zhao et al., Decoupled Knowledge Distillation (CVPR 2022)"
    reads_labels = True

    @checked
    def __init__(
        self,
        *,
        alpha: TermWeight = 1.0,
        beta: TermWeight = 8.0,
        temperature: Temperature = 4.0,
        ramp_epochs: RampEpochs = 20.0,
        weight: RampedWeight = 1.0,
        standardized: bool = False,
        name: str = "dkd",
    ) -> None:
        super().__init__(name, weight, standardized)
        self.alpha, self.beta, self.temperature, self.ramp_epochs = alpha, beta, temperature, ramp_epochs

    def factor(self) -> float:
        return self.temperature**2

    def whole_weight(self) -> Weight:
        return grown(super().whole_weight(), self.ramp_epochs)

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        target, non_target = losses.decoupled_divergences(batch["labels"], source, learner, self.temperature)
        return self.alpha * target + self.beta * non_target
