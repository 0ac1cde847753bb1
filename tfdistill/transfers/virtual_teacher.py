"""Tf-KD by regularization: a teacher that nobody trained."""

from __future__ import annotations

from tfdistill import losses
from tfdistill.bounds import RampedWeight, Share, Temperature, checked
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class VirtualTeacher(Transfer):
    """The learner imitates a teacher made of the label alone, which is nearly sure of it and knows nothing else.

    `weight · KL(softmax(u / T) ‖ softmax(z / T_l))`, where u is `confidence` for the labelled class and
    `(1 − confidence) / (K − 1)` for each other. No network is needed to learn from, and none is asked: `--also` adds it
    to a network that has neither teacher nor peer.

    >>> distiller = tfdistill.Supervised([tfdistill.networks.resnet8(classes=10)], label_weight=0.9)
    >>> tfdistill.add_transfers(distiller, [tfdistill.VirtualTeacher()])
    >>> dict(distiller.phase.updates()[0].terms)
    {'cross_entropy': 0.9, 'virtual_teacher': 0.1}

    Args:
        confidence: u of the labelled class.
        temperature: T of the virtual teacher.
        learner_temperature: T_l of the learner's prediction; nothing is multiplied by its square.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a confidence outside of 0..1, a temperature that is not positive, or a negative weight.

    Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020
    (Tf-KD_reg): weight α = 0.1 beside 1 − α for the labels, T = 20, confidence 0.99. The paper softens the learner as
    well; the authors' code does not, nor do we by default. That code takes the mean over the classes too and multiplies
    it by 100, which for CIFAR-100 is this term. Its other half, Tf-KD_self, is `KD` from a trained network of the
    student's own kind. The virtual teacher of a mixed label is the mixture.
    """

    paper = "Yuan et al., Revisiting Knowledge Distillation via Label Smoothing Regularization (CVPR 2020)"
    needs_source = False
    reads_labels = True

    @checked
    def __init__(
        self,
        *,
        confidence: Share = 0.99,
        temperature: Temperature = 20.0,
        learner_temperature: Temperature = 1.0,
        weight: RampedWeight = 0.1,
        name: str = "virtual_teacher",
    ) -> None:
        super().__init__(name, weight)
        self.confidence, self.temperature, self.learner_temperature = confidence, temperature, learner_temperature

    def lesson(self, pairing: Pairing) -> Lesson:
        return Lesson({self.name: self.weight}, self.terms)

    def terms(self, batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
        """The divergence by the term's name, `[batch]`; nothing of the source is read."""
        return {
            self.name: losses.virtual_teacher_divergence(
                batch["labels"],
                own["logits"],
                confidence=self.confidence,
                temperature=self.temperature,
                learner_temperature=self.learner_temperature,
            )
        }
