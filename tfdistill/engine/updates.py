"""The table a method is stated in: updates, in rounds, in phases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError, choose
from tfdistill.taps import Batch, Taps, Terms

Weight = float | Callable[[tf.Tensor], tf.Tensor]
"""A term's weight: a number, or a function of the epoch (float32 scalar, from 0) for ramps."""
RoundLosses = Callable[[Batch, Mapping[str, Taps]], Mapping[str, Terms]]


@dataclass(frozen=True)
class Update:
    """One optimizer moves one group of models down one weighted sum of named terms.

    Attributes:
        name: unique in its phase; the optimizer's name, and the prefix of the terms in every log.
        models: the models whose trainable variables may move. Nothing else gets a gradient.
        terms: term name -> weight, a number or a function of the epoch.
        group: which optimizer settings apply, a key of the method's `recipe`.
    """

    name: str
    models: tuple[keras.Model, ...]
    terms: Mapping[str, Weight]
    group: str = "networks"

    def variables(self) -> list[keras.Variable]:
        """The trainable variables of the models, each once, in a fixed order."""
        unique = {id(variable): variable for model in self.models for variable in model.trainable_variables}
        return list(unique.values())

    def total(self, terms: Terms, epoch: tf.Tensor) -> tf.Tensor:
        """The weighted sum of the terms, `[batch]`, as `epoch` (from 0) weighs them.

        Raises:
            ValueError: a term is missing, unknown, or not one value per example.
        """
        if set(terms) != set(self.terms):
            raise ValueError(f"update {self.name!r} weights {sorted(self.terms)}, but its round gives {sorted(terms)}")
        for name, value in terms.items():
            if value.shape.rank != 1:
                raise ValueError(f"term {self.name}/{name}: a loss is one value per example, not shape {value.shape}")
        weights = {name: weight(epoch) if callable(weight) else weight for name, weight in self.terms.items()}
        return tf.add_n([weight * terms[name] for name, weight in weights.items()])

    def require_all(self, gradients: Sequence[tf.Tensor | None]) -> list[tf.Tensor]:
        """The gradients of `variables()`, where each has one.

        Raises:
            ValueError: names a variable that this update owns and that none of its terms depends on.
        """
        found = []
        for gradient, variable in zip(gradients, self.variables(), strict=True):
            if gradient is None:
                raise ValueError(f"update {self.name!r}: none of its terms depends on {variable.path}, which it owns")
            found.append(gradient)
        return found


@dataclass(frozen=True)
class Round:
    """One forward pass of every network, then updates whose gradients are all taken at the same weights.

    The pass gives what every network computes at the round's weights; where a network has not moved since an earlier
    round on the same batch, that may be what it gave there.

    Attributes:
        losses: `(batch, {network name: taps}) -> {update name: {term name: [batch]}}`.
        updates: applied in this order, after every gradient of the round has been taken.
    """

    losses: RoundLosses
    updates: tuple[Update, ...]

    def moves(self, model: keras.Model) -> bool:
        """Whether some update of this round moves a variable of `model`."""
        return _moves(self.updates, model)

    def terms(self, batch: Batch, taps: Mapping[str, Taps]) -> Mapping[str, Terms]:
        """What `losses` gives.

        Raises:
            ArgumentError: a term reads what some network does not answer with, such as the logits of a detector; one
                line names both.
        """
        try:
            return self.losses(batch, taps)
        except KeyError as error:
            read = error.args[0] if error.args else None
            without = next((name for name, own in taps.items() if read not in own), None)
            if not isinstance(read, str) or without is None or read in taps or read in batch:
                raise
            said = f"a term reads {read!r}, which {without} does not give; it has {', '.join(taps[without])}"
            raise ArgumentError("networks", said) from None

    def totals(self, terms: Mapping[str, Terms], epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        """By update the weighted sum of its terms, `[batch]`; see `Update.total`.

        Args:
            terms: what `losses` gave.
            epoch: from 0, a float32 scalar.

        Raises:
            ValueError: terms for what is no update of this round, or as of `Update.total`.
        """
        totals = {update.name: update.total(terms.get(update.name, {}), epoch) for update in self.updates}
        if unknown := sorted(set(terms) - set(totals)):
            raise ValueError(f"the round of {sorted(totals)} gives terms for {unknown}, no updates of it")
        return totals


@dataclass(frozen=True)
class Phase:
    """Rounds that repeat on every batch for some epochs (`None`: for the rest of the run, or of the phase's link).

    A model that no update of the phase moves is frozen in it, and is called with `training=False`.

    Attributes:
        rounds: of a step.
        epochs: how many; see `calendar.Calendar`.
        name: what a run that shows its progress calls it.
        link: which link of a chain it belongs to. Links follow each other, share a run's epochs equally, and each is
            trained as if it were a run: schedules and ramps begin anew.
    """

    rounds: tuple[Round, ...]
    epochs: int | None = None
    name: str = "training"
    link: int = 0

    def updates(self) -> tuple[Update, ...]:
        """Every update of the phase, in order."""
        return tuple(update for one in self.rounds for update in one.updates)

    def moves(self, model: keras.Model) -> bool:
        """Whether some update of this phase moves a variable of `model`."""
        return _moves(self.updates(), model)


@dataclass(frozen=True)
class PreparationPhase(Phase):
    """A phase of a transfer's own, before the training that schedules and ramps belong to.

    Attributes:
        parts: models of the layers that move of networks that do not move as a whole. Their other layers are called as
            those of a frozen network.
    """

    parts: tuple[keras.Model, ...] = ()


def _moves(updates: Sequence[Update], model: keras.Model) -> bool:
    moved = {id(variable) for update in updates for variable in update.variables()}
    return any(id(variable) in moved for variable in model.trainable_variables)


def check_plan(plan: Sequence[Phase]) -> None:
    """Refuses a method's table in which two updates have one name.

    Raises:
        ValueError: names them all.
    """
    names = [update.name for phase in plan for update in phase.updates()]
    if len(set(names)) < len(names):
        raise ValueError(f"phases: the names of updates must differ, not {names}")


def require_terms(plan: Sequence[Phase]) -> None:
    """Refuses an update that minimises nothing.

    Raises:
        ValueError: names it.
    """
    for phase in plan:
        for update in phase.updates():
            if not update.terms:
                raise ValueError(
                    f"phase {phase.name!r}: nothing trains {update.name!r} there; give the labels a weight, or add a "
                    "transfer such as kd"
                )


def owned_by_update(plan: Sequence[Phase]) -> dict[str, list[int]]:
    """By update, the ids of the variables that it may move now."""
    return {update.name: list(map(id, update.variables())) for phase in plan for update in phase.updates()}


def without_idle_updates(plan: Sequence[Phase]) -> tuple[Phase, ...]:
    """The plan without the updates that have no variable to move: those of models that are frozen as a whole.

    A frozen network still takes part: the others learn from it.

    Raises:
        ValueError: a phase in which nothing moves.
    """
    kept = tuple(
        dataclasses.replace(phase, rounds=tuple(filter(None, map(_without_idle, phase.rounds)))) for phase in plan
    )
    for phase in kept:
        if not phase.rounds:
            raise ValueError(f"phase {phase.name!r}: all that its updates could move is frozen; set trainable = True")
    return kept


def _without_idle(one: Round) -> Round | None:
    moving = tuple(update for update in one.updates if update.variables())
    if len(moving) == len(one.updates):
        return one
    names = {update.name for update in moving}
    idle = {update.name for update in one.updates} - names

    def losses(batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Terms]:
        return {name: terms for name, terms in one.losses(batch, taps).items() if name not in idle}

    return Round(losses, moving) if moving else None


Part = tuple[Update, Callable[[Batch, Mapping[str, Taps]], Terms]]
"""A line of a method's table: an update, and what gives its terms from the batch and the taps."""
Shared = Callable[[Batch, Mapping[str, Taps]], Mapping[str, Taps]]
"""What several parts of a round read besides the taps, by names of its own: computed once a round."""


def joint(parts: Sequence[Part], shared: Shared | None = None) -> tuple[Round, ...]:
    """One round: every update's terms, and its gradients, come from the same forward pass."""

    def losses(batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Terms]:
        seen = {**taps, **shared(batch, taps)} if shared else taps
        return {update.name: terms(batch, seen) for update, terms in parts}

    return (Round(losses, tuple(update for update, _ in parts)),)


def alternating(parts: Sequence[Part], shared: Shared | None = None) -> tuple[Round, ...]:
    """A round per update: each sees what the updates before it have changed, as on a fresh forward pass."""
    return tuple(this_round for part in parts for this_round in joint([part], shared))


ORDERS = {"alternating": alternating, "joint": joint}


def rounds_in_order(order: str, parts: Sequence[Part], shared: Shared | None = None) -> tuple[Round, ...]:
    """The rounds of `parts`, updated in turn ("alternating") or together ("joint").

    Raises:
        ValueError: another order.
    """
    return choose("update", order, ORDERS)(parts, shared)
