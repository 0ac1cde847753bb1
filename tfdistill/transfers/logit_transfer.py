"""The transfers that compare the source's logits with the learner's."""

from __future__ import annotations

from abc import abstractmethod

import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.updates import Weight
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer, times


class LogitTransfer(Transfer):
    """One term, a loss on the logits of both, and nothing that has to be built.

    A subclass says the loss, and what the weight is multiplied by.

    Args:
        name: of the term.
        weight: of the term: a number, or a function of the epoch.
        standardized: whether the logits of both are standardized before, see `losses.standardized`.
    """

    def __init__(self, name: str, weight: Weight, standardized: bool) -> None:
        super().__init__(name, weight)
        self.standardized = standardized

    @abstractmethod
    def loss(self, batch: Batch, source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
        """The loss of the learner's logits against the source's, both `[batch, classes]`, as `[batch]`."""

    def factor(self) -> float:
        """What the weight is multiplied by, such as T²."""
        return 1.0

    def whole_weight(self) -> Weight:
        """The weight times the factor."""
        return times(self.weight, self.factor())

    def lesson(self, pairing: Pairing) -> Lesson:
        return Lesson({self.name: self.whole_weight()}, self.terms)

    def terms(self, batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
        """The loss by the term's name, `[batch]`, without the factor."""
        sides = source["logits"], own["logits"]
        if self.standardized:
            sides = losses.standardized(sides[0]), losses.standardized(sides[1])
        return {self.name: self.loss(batch, *sides)}
