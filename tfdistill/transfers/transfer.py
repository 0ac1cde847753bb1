"""The noun: what one learner takes from one source."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.engine.updates import Weight
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.networks.taps import tap_of
from tfdistill.taps import Batch, CallModel, Taps, Terms

LessonTerms = Callable[[Batch, Taps, Taps, CallModel], Terms]
"""`(batch, the learner's taps, the source's taps, call) -> {term: [batch]}`; `call` calls helpers."""


@dataclass(frozen=True)
class Pairing:
    """Whom a lesson is for, and what it needs to build helpers.

    Attributes:
        learner: the network that learns.
        source: the model that it learns from: a frozen teacher or a peer, which a transfer cannot tell apart. Read
            shapes off `source.output`, the symbolic taps.
        prefix: how the names of this lesson's helpers begin.
        seeds: one seed per layer.
        learner_seed: of what is drawn once for the learner, whoever its sources are.
    """

    learner: keras.Model
    source: keras.Model
    prefix: str
    seeds: LayerSeeds
    learner_seed: int

    def learner_up_to(self, taps: Sequence[str]) -> keras.Model:
        """The learner's layers up to some of its taps, as a model of these layers."""
        outputs = [tap_of(self.learner, tap) for tap in taps]
        return keras.Model(self.learner.input, outputs, name=f"{self.prefix}_body")


@dataclass(frozen=True)
class Preparation:
    """What a lesson trains in a phase of its own, before the learner's training.

    Attributes:
        epochs: length of the phase.
        models: what moves in it; helpers that the lesson does not move later stay as the phase leaves them. Of the
            learner it may be a part, see `Pairing.learner_up_to`; its other layers then keep every bit.
        weights: term to weight, a number or a function of the epoch.
        terms: gives these terms.
    """

    epochs: int
    models: tuple[keras.Model, ...]
    weights: Mapping[str, Weight]
    terms: LessonTerms


@dataclass(frozen=True)
class Lesson:
    """A transfer that is set up between one learner and one source.

    Attributes:
        weights: term to weight, a number or a function of the epoch.
        terms: gives these terms. It stops no gradient of the source's taps: the update owns the learner alone.
        helpers: models that the learner's update moves along.
        kept: other models of the lesson: what its preparation alone moves, or state such as a memory bank.
        preparation: a phase of its own before the training, where the paper has one.
    """

    weights: Mapping[str, Weight]
    terms: LessonTerms
    helpers: tuple[keras.Model, ...] = ()
    kept: tuple[keras.Model, ...] = ()
    preparation: Preparation | None = None


class Transfer(ABC):
    """What one learner takes from one source: a loss on their taps, what it builds for that, and its weight.

    A transfer is a description. `lesson` sets it up between two networks, as often as there are pairs, and two
    transfers of one kind can stand side by side under two names.

    >>> warm, cold = (tfdistill.KD(temperature=one, name=f"kd_{one:g}") for one in (4.0, 1.0))
    >>> isinstance(warm, tfdistill.Transfer), warm.name
    (True, 'kd_4')

    Args:
        name: of the term in the logs, and in the names of helpers: a word of letters, digits and _ . -
        weight: of the term: a number, or a function of the epoch (float32 scalar, from 0).

    Raises:
        ValueError: a name of other signs, or none.
    """

    paper: ClassVar[str]
    """Where it comes from."""
    needs_source: ClassVar[bool] = True
    """Whether there has to be somebody to learn from; if not, the learner stands in the source's place."""
    reads_labels: ClassVar[bool] = False
    """Whether a term reads `batch["labels"]`. Where some examples have no label, the terms of such a transfer are 0 for
    these and count in the mean over the others; a transfer that does not say so finds no labels in such a batch."""
    calls_source: ClassVar[bool] = False
    """Whether a term calls the source itself, as the taps of the round are not enough for it. So answers that were kept
    of a teacher (`--teacher_views`) cannot stand in for it. `call` of a teacher calls the copy that answers for it."""

    def __init__(self, name: str, weight: Weight) -> None:
        if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)):
            raise ArgumentError("name", f"must be a word of letters, digits and _ . -, not {name!r:.80}")
        self.name, self.weight = name, weight

    @abstractmethod
    def lesson(self, pairing: Pairing) -> Lesson:
        """Sets the transfer up between two networks.

        Raises:
            ValueError: in one line, why the two do not fit; it begins with "networks:".
        """


def times(weight: Weight, factor: float) -> Weight:
    """A weight, a number or a function of the epoch, times a number."""
    if callable(weight):
        return lambda epoch: weight(epoch) * factor
    return weight * factor


def grown(weight: Weight, epochs: float) -> Weight:
    """A weight that grows to itself by equal steps: times `min((e + 1) / epochs, 1)` of the epoch e, from 0.

    As it is where `epochs` is 0.
    """
    if not epochs:
        return weight

    def at(epoch: tf.Tensor) -> tf.Tensor:
        return (weight(epoch) if callable(weight) else weight) * tf.minimum((epoch + 1.0) / epochs, 1.0)

    return at
