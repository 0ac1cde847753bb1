"""Before the first step: does every term of a method do something?"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Round, Update, Weight
from tfdistill.taps import Batch, without_labels

EXAMPLES, TRIES, EPOCHS_LOOKED_AT = 8, 3, 33


class SilentTermError(ValueError):
    """A term, or what should train a model, silently does nothing."""


def check_terms(distiller: Distiller, batches: Iterable[Any], *, epochs: int = 300) -> None:
    """Refuses a method of which some part silently does nothing on the first batches of a run.

    Every round of every phase is run once, eagerly and at the present weights, on a few examples of a batch; what is
    still without effect is tried again on a second and a third batch. There the labels are what a first network
    predicts, then what a second does: at the start of a training right answers are rare, and a term may be about them
    alone; or it may be zero for the network that does best. Of a batch with unlabelled examples as many of these are
    looked at as of the others, and some term has to have a value there.
    Later phases start from these weights here: what their models still have to learn decides the size of a term, but
    not whether it has a value and a gradient.

    Nothing is left behind: the passes read and move copies of the variables (one replica's, where there are several).

    Args:
        distiller: the method with its networks.
        batches: the first batches of its training; no more than three are taken.
        epochs: length of the run, over which weights that depend on the epoch are looked at.

    Raises:
        SilentTermError: in one line, a term whose weight is not zero throughout the run that is zero for every example,
            or has no gradient for anything that its update moves; a model of an update without a gradient; or
            unlabelled examples that no term learns from.
        ValueError: no batch, or terms that do not fit the method's table.
    """
    start = _values(distiller)
    looked = [
        _Findings(distiller, index, this_round, epochs)
        for index, phase in enumerate(distiller.plan)
        for this_round in phase.rounds
    ]
    found, phase_index, tried = looked, distiller.phase_index, 0
    try:
        for data in itertools.islice(batches, TRIES):
            batch = _some(distiller.batch_of(data))
            for one in found:
                one.look(batch, start, tried)
            tried += 1
            found = [one for one in found if one.complaint(tried)]
            if not found:
                _require_use_of_unlabelled(batch, looked)
                return
    finally:
        distiller.phase_index = phase_index
    if not tried:
        raise ValueError("batches: the terms are checked on the first batches of a training, and there are none")
    raise SilentTermError(f"{found[0].complaint(tried)}; --nocheck_terms trains all the same")


def _some(batch: Batch) -> dict[str, tf.Tensor]:
    """The first examples of a batch; with unlabelled ones as many of these as of the others."""
    places = list(range(min(EXAMPLES, len(batch["images"]))))
    if "labelled" in batch:
        labelled = np.asarray(batch["labelled"]) != 0
        places = [place for kind in (labelled, ~labelled) for place in np.flatnonzero(kind)[: EXAMPLES // 2]]
    return {name: tf.gather(tf.convert_to_tensor(value), places) for name, value in batch.items()}


def _require_use_of_unlabelled(batch: Batch, looked: Iterable[_Findings]) -> None:
    if "labelled" not in batch or _all(batch["labelled"]) or any(one.unlabelled_taught for one in looked):
        return
    terms = dict.fromkeys(term for one in looked for named in one.weighted.values() for term in named)
    raise SilentTermError(
        f"unlabelled examples teach nothing: every term needs labels ({', '.join(terms)}); leave them out, or "
        "add a term that needs none, such as --also=kd; --nocheck_terms trains all the same"
    )


class _Findings:
    """What has been seen of the terms of one round."""

    def __init__(self, distiller: Distiller, phase_index: int, this_round: Round, epochs: int) -> None:
        self.distiller, self.phase_index, self.round = distiller, phase_index, this_round
        self.weighted = {
            update.name: [name for name, weight in update.terms.items() if _ever_weighs(weight, epochs)]
            for update in this_round.updates
        }
        self.valued: set[tuple[str, str]] = set()
        self.effective: set[tuple[str, str]] = set()
        self.reached: set[tuple[str, int]] = set()
        self.unlabelled_taught = False

    def look(self, batch: Mapping[str, tf.Tensor], start: Mapping, tried: int) -> None:
        """One forward pass, and a backward pass for every term that has not been seen to do something."""
        self.distiller.phase_index = self.phase_index
        updates = self.round.updates
        with keras.StatelessScope(start.values()) as scope, contextlib.ExitStack() as stack:
            tapes = [
                stack.enter_context(tf.GradientTape(persistent=True, watch_accessed_variables=False)) for _ in updates
            ]
            owned = [{id(one): scope.get_current_value(one) for one in update.variables()} for update in updates]
            for tape, values in zip(tapes, owned, strict=True):
                tape.watch(list(values.values()))
            taps = self.distiller.call_all(batch, self.distiller.call_model)
            if tried:
                network = self.distiller.networks[(tried - 1) % len(self.distiller.networks)]
                batch = {**self.distiller.task.as_predicted(batch, taps[network.name])}
            terms = self.round.terms(without_labels(batch), taps)
            for update in updates:
                update.total(terms.get(update.name, {}), tf.constant(0.0))
        if "labelled" in batch:
            self._look_at_unlabelled(terms, batch["labelled"] == 0)
        for update, tape, values in zip(updates, tapes, owned, strict=True):
            self._look_at(update, terms[update.name], tape, values)

    def _look_at_unlabelled(self, terms: Mapping[str, Mapping], unlabelled: tf.Tensor) -> None:
        """Whether some term has a value for an example without a label."""
        values = [terms[update][term] for update, weighted in self.weighted.items() for term in weighted]
        self.unlabelled_taught |= any(_any(tf.boolean_mask(value, unlabelled)) for value in values)

    def _look_at(self, update: Update, terms: Mapping, tape: tf.GradientTape, owned: Mapping[int, tf.Tensor]) -> None:
        weighted = self.weighted[update.name]
        # Terms of weight zero come last: a model that only they would move was left out on purpose.
        for term in [*weighted, *(name for name in terms if name not in weighted)]:
            key = update.name, term
            if term in weighted and _any(terms[term]):
                self.valued.add(key)
            if (term not in weighted or key in self.effective) and not self._unreached(update):
                continue
            gradients = dict(zip(owned, tape.gradient(terms[term], list(owned.values())), strict=True))
            if any(map(_any, gradients.values())):
                self.effective.add(key)
            for model in self._unreached(update):
                if any(_any(gradients[id(one)]) for one in model.trainable_variables):
                    self.reached.add((update.name, id(model)))

    def _unreached(self, update: Update) -> list[keras.Model]:
        models = [model for model in update.models if model.trainable_variables]
        return [model for model in models if (update.name, id(model)) not in self.reached]

    def complaint(self, tried: int) -> str:
        """One line on the first thing without effect; empty if there is none."""
        seen = "in the first batch" if tried == 1 else f"in each of the first {tried} batches"
        for update in self.round.updates:
            for term in self.weighted[update.name]:
                if (update.name, term) not in self.valued:
                    return f"term {update.name}/{term} is exactly zero {seen}, though its weight is not"
                if (update.name, term) not in self.effective:
                    moved = ", ".join(model.name for model in update.models)
                    return f"term {update.name}/{term} has no gradient {seen} for what its update moves: {moved}"
            for model in self._unreached(update):
                terms = ", ".join(update.terms)
                return f"update {update.name}: none of its terms ({terms}) has a gradient {seen} for {model.name}"
        return ""


def _values(distiller: Distiller) -> dict[int, tuple[keras.Variable, tf.Tensor]]:
    """Every variable with its value, of the first replica where there are several."""
    updated = [model for phase in distiller.plan for update in phase.updates() for model in update.models]
    found: dict[int, tuple[keras.Variable, tf.Tensor]] = {}
    for model in (*distiller.networks, *distiller.helpers.values(), *distiller.deliverables().values(), *updated):
        for variable in model.variables:
            if id(variable) not in found:
                copies = distiller.distribute_strategy.experimental_local_results(variable.value)
                found[id(variable)] = variable, tf.identity(copies[0])
    return found


def _ever_weighs(weight: Weight, epochs: int) -> bool:
    if not callable(weight):
        return weight != 0
    looked_at = np.unique(np.linspace(0, max(0, epochs - 1), EPOCHS_LOOKED_AT).round())
    return any(_any(weight(tf.constant(epoch, tf.float32))) for epoch in looked_at)


def _any(values: tf.Tensor | None) -> bool:
    """Whether there is something in it; what is not finite is something, and training says so."""
    return values is not None and bool(tf.reduce_any(tf.convert_to_tensor(values) != 0))


def _all(values: tf.Tensor) -> bool:
    return bool(tf.reduce_all(values != 0))
