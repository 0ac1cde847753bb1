"""DIST: how the source's predictions relate to each other."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, Temperature, TermWeight, checked
from tfdistill.taps import Batch
from tfdistill.transfers.logit_transfer import LogitTransfer


class DIST(LogitTransfer):
    """The learner's predictions relate as the source's do, by correlation: class to class, and example to example.

    `weight · T² · (β · (1 − r_classes) + γ · (1 − r_batch))`, where r_classes is Pearson's correlation of the two
    softmaxes over the classes of an example, and r_batch that over the examples of a batch, in the mean over the
    classes. Scale and shift of a prediction do not count, so that a much larger source is no harder to follow.

    r_batch is a statistic of the batch. With several replicas each takes it over its own share.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.DIST(temperature=4.0)])

    Args:
        beta: β, weight of the relation between classes.
        gamma: γ, weight of the relation between examples.
        temperature: T of both softmaxes; the term is multiplied by T².
        weight: weight of the term; in Python also a function of the epoch.
        standardized: whether the logits of both get mean 0 and deviation 1 over the classes first.
        name: of the term in the logs.

    Raises:
        ValueError: a temperature that is not positive, or a negative weight.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, with the numbers
    of the authors' code: β = γ = 1, and T = 1, as on ImageNet; on CIFAR-100 they soften by 4.
    """

    paper = "Huang et al., Knowledge Distillation from A Stronger Teacher (NeurIPS 2022)"

    @checked
    def __init__(
        self,
        *,
        beta: TermWeight = 1.0,
        gamma: TermWeight = 1.0,
        temperature: Temperature = 1.0,
        weight: RampedWeight = 1.0,
        standardized: bool = False,
        name: str = "dist",
    ) -> None:
        super().__init__(name, weight, standardized)
        self.beta, self.gamma, self.temperature = beta, gamma, temperature

    def factor(self) -> float:
        return self.temperature**2

    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        between_classes = losses.inter_class_distance(source, learner, self.temperature)
        between_examples = losses.intra_class_distance(source, learner, self.temperature)
        return self.beta * between_classes + self.gamma * between_examples
