"""The distance between two networks' last feature maps."""

from __future__ import annotations

from typing import Literal

from tfdistill import losses
from tfdistill.bounds import RampedWeight, checked, choose
from tfdistill.helpers.matching import match
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer

ORDERS_OF_DISTANCE = {"l1": 1, "l2": 2}


class MapDistance(Transfer):
    """The learner's last feature map becomes the source's, example by example.

    `weight · mean |f_l − f_s|` over height, width and channels, or the mean of the squares. The larger map is averaged
    down to the smaller. Where the maps differ in channels a transfer layer, which the learner's update moves, gives the
    learner's the source's.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.MapDistance(distance="l2", weight=10.0)])

    Args:
        distance: "l1": the mean of the absolute differences; "l2": of their squares.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the name of the transfer layer.

    Raises:
        ValueError: another distance, a negative weight, or maps whose sizes do not divide.

    Source: "L1" in Table 1 of Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", ICML 2020,
    which does not give its weight. The transfer layer is theirs for AFD.
    """

    paper = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020), L1 of Table 1"

    @checked
    def __init__(
        self, *, distance: Literal["l1", "l2"] = "l1", weight: RampedWeight = 1.0, name: str = "map_distance"
    ) -> None:
        super().__init__(name, weight)
        self.order = choose("distance", distance, ORDERS_OF_DISTANCE)

    def lesson(self, pairing: Pairing) -> Lesson:
        matching = match(pairing.learner, pairing.source, seeds=pairing.seeds, prefix=pairing.prefix)

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return {self.name: losses.distance(*matching.maps(own, source, call), self.order)}

        return Lesson({self.name: self.weight}, terms, matching.helpers())
