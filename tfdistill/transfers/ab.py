"""AB: distillation of activation boundaries."""

from __future__ import annotations

from typing import Annotated

from tfdistill import losses
from tfdistill.bounds import Number, RampedWeight, TapNames, Temperature, checked
from tfdistill.helpers.connectors import linear_connectors
from tfdistill.helpers.tap_pairs import doubling_sum, map_pairs
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Preparation, Transfer


class AB(Transfer):
    """The learner first learns which neurons of the source are active, and then its softened predictions.

    In the run's first `preparation_epochs` epochs, `boundary_weight · Σ_i 2^(i − L) Σ_pc b(c_i(f_l), f_s)` over the
    stages i of 1..L, positions p and channels c. b is `(s + 1)²` where the source's value is at or below 0 and the
    learner's s above −1; `(s − 1)²` where the source's is above 0 and s at or below 1; else 0. It moves the learner up
    to the last of these maps, and the connectors c_i, 1×1 convolutions with BatchNorm, which nothing needs later. Of
    two sizes the larger map is averaged down to the smaller before.

    From then on `weight · KL(p_s(T) ‖ p_l(T))`, without T², beside the method's other terms, as the labels'.

    Maps are taken before their last ReLU, where a network has such taps, as this project's networks do; others as they
    are.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.AB(preparation_epochs=2)], label_weight=0.0)
    >>> [(phase.name, phase.epochs) for phase in distiller.plan][0]
    ('ab_preparation', 2)

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        preparation_epochs: epochs of the first phase; the others of the run follow.
        boundary_weight: weight of its term, a sum; in Python also a function of the epoch.
        temperature: T of both distributions in the second phase.
        weight: weight of its term; in Python also a function of the epoch.
        name: of the term in the logs, and in the names of the connectors.

    Raises:
        ValueError: a value outside of its range, a tap that one of two networks does not have, or maps whose sizes do
            not divide.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI
    2019. Weights, temperature and connectors are those of the authors' code, which then leaves the labels out
    (`label_weight` 0); RepDistiller prepares for 30 epochs.
    """

    paper = (
        "Heo et al., Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons (AAAI 2019)"
    )

    @checked
    def __init__(
        self,
        *,
        taps: TapNames = "stages",
        preparation_epochs: Annotated[int, Number(1, 1_000_000)] = 30,
        boundary_weight: RampedWeight = 0.003,
        temperature: Temperature = 3.0,
        weight: RampedWeight = 1.0,
        name: str = "ab",
    ) -> None:
        super().__init__(name, weight)
        self.taps, self.preparation_epochs, self.boundary_weight = taps, preparation_epochs, boundary_weight
        self.temperature = temperature

    def lesson(self, pairing: Pairing) -> Lesson:
        pairs = map_pairs(self.taps, pairing.learner, pairing.source, before_relu=True)
        connectors = linear_connectors(pairs, prefix=pairing.prefix, seeds=pairing.seeds)
        # What lies behind the last map has no slope.
        body = pairing.learner_up_to([pair.own for pair in pairs])

        def boundaries(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            each = []
            for pair, connector in zip(pairs, connectors, strict=True):
                learner_map, source_map = pair.tensors(own, source)
                each.append(losses.boundary_distance(call(connector, learner_map), source_map))
            return {"boundaries": doubling_sum(each)}

        def predictions(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return {self.name: losses.kl_divergence(source["logits"], own["logits"], self.temperature)}

        preparation = Preparation(
            self.preparation_epochs, (body, *connectors), {"boundaries": self.boundary_weight}, boundaries
        )
        return Lesson({self.name: self.weight}, predictions, kept=connectors, preparation=preparation)
