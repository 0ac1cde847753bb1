"""What a learner takes from all of its sources by one transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.engine.updates import Weight
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.taps import Batch, CallModel, Taps, Terms, on_labelled, with_labels
from tfdistill.transfers.transfer import Lesson, LessonTerms, Pairing, Preparation, Transfer

Prefix = Callable[[Transfer, keras.Model, keras.Model], str]


@dataclass(frozen=True)
class Course:
    """One learner's lessons by one transfer, one from each source; the mean over the sources counts.

    Attributes:
        transfer: what is taken.
        learner: the network that learns.
        sources: the models that it learns from.
        lessons: by the name of the source.
    """

    transfer: Transfer
    learner: keras.Model
    sources: tuple[keras.Model, ...]
    lessons: Mapping[str, Lesson]

    @property
    def weights(self) -> Mapping[str, Weight]:
        """Term to weight; the same for all sources."""
        return next(iter(self.lessons.values())).weights

    @property
    def preparations(self) -> Mapping[str, Preparation]:
        """By the name of the source; empty where the transfer needs none."""
        return {source: one.preparation for source, one in self.lessons.items() if one.preparation}

    def helpers(self) -> tuple[keras.Model, ...]:
        """What the learner's update moves along."""
        return tuple(helper for lesson in self.lessons.values() for helper in lesson.helpers)

    def models(self) -> tuple[keras.Model, ...]:
        """Everything that was built for the lessons."""
        return tuple(model for lesson in self.lessons.values() for model in (*lesson.helpers, *lesson.kept))

    def terms(self, batch: Batch, taps: Mapping[str, Taps], call: CallModel) -> Terms:
        """The terms of the training, each `[batch]`."""
        return self._means({source: lesson.terms for source, lesson in self.lessons.items()}, batch, taps, call)

    def preparation_terms(self, batch: Batch, taps: Mapping[str, Taps], call: CallModel) -> Terms:
        """The terms of the preparation, each `[batch]`."""
        return self._means({source: one.terms for source, one in self.preparations.items()}, batch, taps, call)

    def _means(
        self, of_sources: Mapping[str, LessonTerms], batch: Batch, taps: Mapping[str, Taps], call: CallModel
    ) -> Terms:
        own = taps[self.learner.name]
        if self.transfer.reads_labels:
            batch = with_labels(batch)
        each = [terms(batch, own, taps[source], call) for source, terms in of_sources.items()]
        means = {name: tf.add_n([terms[name] for terms in each]) / len(each) for name in each[0]}
        if self.transfer.reads_labels:
            return {name: on_labelled(batch, mean) for name, mean in means.items()}
        return means


def courses(
    transfers: Sequence[Transfer],
    groups: Iterable[tuple[keras.Model, Sequence[keras.Model]]],
    *,
    seed: int = 0,
    prefix: Prefix | None = None,
) -> tuple[Course, ...]:
    """A course for every transfer and learner.

    Args:
        transfers: with names of their own.
        groups: each learner with the sources that it learns from, as `topology` makes them; a transfer that needs no
            source has the learner in their place.
        seed: of the helpers' weights and whatever else is drawn.
        prefix: how the names of helpers begin; learner, source and transfer are named if it is not given.

    Raises:
        ValueError: two transfers of one name, or one that does not fit two networks.
    """
    names = [transfer.name for transfer in transfers]
    if double := [name for name in names if names.count(name) > 1]:
        raise ArgumentError("transfers", f"{len(double)} are called {double[0]!r}; name them apart, as in name='other'")
    groups, made = list(groups), []
    for place, transfer in enumerate(transfers):
        seeds = LayerSeeds(_seed(seed, place))
        for index, (learner, sources) in enumerate(groups):
            lessons = {}
            sources = sources if transfer.needs_source else (learner,)
            for source in sources:
                begin = (prefix or _prefix)(transfer, learner, source)
                pairing = Pairing(learner, source, begin, seeds, _seed(seed, place) + index)
                lesson = transfer.lesson(pairing)
                if not isinstance(lesson, Lesson):
                    raise ArgumentError("transfers", f"lesson() of {transfer.name!r} gave {lesson!r:.80}, no Lesson")
                lessons[source.name] = lesson
            made.append(Course(transfer, learner, tuple(sources), lessons))
    return tuple(made)


def _prefix(transfer: Transfer, learner: keras.Model, source: keras.Model) -> str:
    return f"{learner.name}_from_{source.name}_{transfer.name}"


def _seed(seed: int, place: int) -> int:
    """Another for every transfer; that of the first is the one given."""
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0]) if place else seed
