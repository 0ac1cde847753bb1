"""The methods that are labels and transfers, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import keras

from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Part, Phase, Update, rounds_in_order
from tfdistill.methods.arguments import Order
from tfdistill.methods.transferring import with_courses
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.transfers import Course, Transfer, courses
from tfdistill.transfers.course import Prefix


class LabelsAndTransfers(Distiller):
    """A method whose networks learn from the labels and, by transfers, from others.

    A subclass says in its constructor, by `take`, which transfers and between whom. Each network has an update of its
    own name.
    """

    courses: tuple[Course, ...] = ()
    order: Order = "joint"
    label_weight = 1.0

    def take(
        self,
        transfers: Sequence[Transfer],
        groups: Iterable[tuple[keras.Model, Sequence[keras.Model]]],
        *,
        seed: int = 0,
        prefix: Prefix | None = None,
    ) -> None:
        """Sets transfers up between learners and their sources, see `transfers.courses`."""
        self.courses = courses(transfers, groups, seed=seed, prefix=prefix)
        self.helpers |= {model.name: model for course in self.courses for model in course.models()}

    def phases(self) -> tuple[Phase, ...]:
        rounds = rounds_in_order(self.order, [self.part(network) for network in self.networks])
        return with_courses((Phase(rounds),), self.courses, self.call_model)

    def part(self, learner: keras.Model) -> Part:
        """The update of a network by the labels, and its terms."""
        weight = self.label_weight_of(learner)
        update = Update(learner.name, (learner,), {self.task.loss_name: weight} if weight else {})
        return update, functools.partial(self._terms, learner.name, tuple(update.terms))

    def label_weight_of(self, learner: keras.Model) -> float:
        """The weight of a network's labels; at 0 there is no such term."""
        return self.label_weight

    def _terms(self, learner: str, names: tuple[str, ...], batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        return {name: self.task.loss(batch, taps[learner]) for name in names}
