"""The transfers that compare taps of the source with taps of the learner."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from tfdistill.engine.updates import Weight
from tfdistill.helpers.tap_pairs import TapPair, feature_pairs, map_pairs
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class TapTransfer(Transfer):
    """One term, a loss on pairs of taps, summed over the pairs.

    A subclass says the loss, whether it compares position by position, and what has to be built for a pair.

    Args:
        name: of the term, and in the names of what is built.
        weight: of the term: a number, or a function of the epoch.
        taps: which, as `helpers.tap_pairs.named_pairs` takes them.
    """

    by_position = False
    """Whether maps are compared position by position, and so are averaged down to one size."""

    def __init__(self, name: str, weight: Weight, taps: str) -> None:
        super().__init__(name, weight)
        self.taps = taps

    @abstractmethod
    def loss(self, learner: Any, source: Any) -> tf.Tensor:
        """The loss of a pair of taps, or of what its models make of them, as `[batch]`."""

    def connect(self, pair: TapPair, pairing: Pairing) -> tuple[keras.Model, ...]:
        """Models that the learner's update moves: one for the learner's tap, perhaps another for the source's."""
        return ()

    def lesson(self, pairing: Pairing) -> Lesson:
        pairs = (map_pairs if self.by_position else feature_pairs)(self.taps, pairing.learner, pairing.source)
        connected = [(pair, self.connect(pair, pairing)) for pair in pairs]

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            each = []
            for pair, models in connected:
                sides = list(pair.tensors(own, source))
                for place, model in enumerate(models):
                    sides[place] = call(model, sides[place])
                each.append(self.loss(*sides))
            return {self.name: tf.add_n(each)}

        return Lesson({self.name: self.weight}, terms, tuple(model for _, models in connected for model in models))
