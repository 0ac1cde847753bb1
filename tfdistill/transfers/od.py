"""OD: overhaul distillation, by margins."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, TapNames, checked
from tfdistill.helpers.connectors import linear_connectors
from tfdistill.helpers.margins import last_norm, margins
from tfdistill.helpers.tap_pairs import doubling_sum, map_pairs
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class OD(Transfer):
    """The learner's maps, before their ReLU, become the source's, as far as the ReLU would let it pass.

    `weight · Σ_i 2^(i − L) Σ_pc d(c_i(f_l), f_s)` over the stages i of 1..L, positions p and channels c. Each value of
    the source below the margin of its channel counts as the margin, and where it is at or below 0 the learner only has
    to stay below it. A margin is what the channel is in the mean where it is below 0, by the scale and the offset of
    the source's batch normalization. The connector c_i is a 1×1 convolution with BatchNorm, which the learner's update
    moves, also where both maps have as many channels. Of two sizes the larger is averaged down to the smaller before.

    Maps are taken before their last ReLU, where a network has such taps, as this project's networks do; a learner's
    other maps are taken as they are. A source needs maps that come from a batch normalization.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.OD()])

    Args:
        taps: names of the taps to compare, with commas between them: "stage2", of both networks; "stage2:stage3", the
            learner's and the source's; "stages", all, the last with the last; "middle", the middle stage of each.
        weight: weight of the term, a sum; the authors' code has a thousandth on CIFAR, a ten-thousandth on ImageNet. In
            Python also a function of the epoch.
        name: of the term in the logs, and in the names of the connectors.

    Raises:
        ValueError: a negative weight, a tap that one of two networks does not have, maps whose sizes do not divide, or
            a map of the source that comes from no batch normalization.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019. Their code has the teacher
    normalize by each batch; here, as everywhere, a teacher has its running statistics.
    """

    paper = "Heo et al., A Comprehensive Overhaul of Feature Distillation (ICCV 2019)"

    @checked
    def __init__(self, *, taps: TapNames = "stages", weight: RampedWeight = 0.001, name: str = "od") -> None:
        super().__init__(name, weight)
        self.taps = taps

    def lesson(self, pairing: Pairing) -> Lesson:
        pairs = map_pairs(self.taps, pairing.learner, pairing.source, before_relu=True)
        norms = [last_norm(pairing.source, pair.source) for pair in pairs]
        connectors = linear_connectors(pairs, prefix=pairing.prefix, seeds=pairing.seeds)

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            each = []
            for pair, norm, connector in zip(pairs, norms, connectors, strict=True):
                learner_map, source_map = pair.tensors(own, source)
                # A source may be a peer that the same update moves; its margins are targets as its taps are.
                fixed = tf.stop_gradient(margins(norm))
                each.append(losses.margin_distance(call(connector, learner_map), source_map, fixed))
            return {self.name: doubling_sum(each)}

        return Lesson({self.name: self.weight}, terms, connectors)
