"""Knowledge distillation: the source's softened predictions."""

from __future__ import annotations

from tfdistill import losses
from tfdistill.bounds import RampedWeight, Temperature, checked
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer, times


class KD(Transfer):
    """The learner imitates the source's predictions, softened by a temperature.

    `weight · T² · KL(p_s(T) ‖ p_l(T))` with `p(T) = softmax(z / T)`, of the source's and the learner's logits. The
    gradient of the divergence shrinks with 1 / T²; the factor T² keeps its scale, whatever the temperature.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KD(temperature=4.0, weight=0.9)])

    Args:
        temperature: T of both distributions; the term is multiplied by T².
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs.

    Raises:
        ValueError: a temperature that is not positive, or a negative weight.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2, which matches the
    predictions by their cross-entropy: it has the same gradient, and is not 0 where both agree. Temperature 4 and
    weight 0.9, beside 0.1 for the labels, are what later papers compare with.
    """

    paper = "Hinton et al., Distilling the Knowledge in a Neural Network (2015)"

    @checked
    def __init__(self, *, temperature: Temperature = 4.0, weight: RampedWeight = 1.0, name: str = "kd") -> None:
        super().__init__(name, weight)
        self.temperature = temperature

    def lesson(self, pairing: Pairing) -> Lesson:
        return Lesson({self.name: times(self.weight, self.temperature**2)}, self.terms)

    def terms(self, batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
        """The divergence by its name, `[batch]`, without T²."""
        return {self.name: losses.kl_divergence(source["logits"], own["logits"], self.temperature)}
