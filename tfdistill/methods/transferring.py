"""Transfers in a method's table of updates: the update that moves a learner takes their terms and helpers along."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, PreparationPhase, Round, Update, joint
from tfdistill.methods.arguments import require_transfers
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers import Course, Transfer, courses


def add_transfers(
    distiller: Distiller, transfers: Sequence[Transfer | keras.distillation.DistillationLoss], *, seed: int = 0
) -> None:
    """Adds transfers to any method, before `compile`: from its teachers, or between its networks where it has none.

    >>> distiller = tfdistill.Supervised([tfdistill.networks.resnet8(classes=10) for _ in range(2)])
    >>> tfdistill.add_transfers(distiller, [tfdistill.KD(weight=0.5)])
    >>> [list(update.terms) for update in distiller.phase.updates()]
    [['cross_entropy', 'kd'], ['cross_entropy', 'kd']]

    Args:
        distiller: the method.
        transfers: with names of their own; losses of `keras.distillation` will do too. Every network takes them from
            every teacher, or from every other network; the mean over the sources counts.
        seed: of the helpers' weights and whatever else is drawn.

    Raises:
        ValueError: there is nobody to learn from, a transfer that does not fit two networks, or a name that is taken.
    """
    added = require_transfers(transfers)
    needed = any(transfer.needs_source for transfer in added)
    groups = distiller.taught_by() if needed else [(network, ()) for network in distiller.networks]
    given = courses(added, groups, seed=seed)
    models = [model for course in given for model in course.models()]
    distiller.amend(lambda table: with_courses(table, given, distiller.call_model), models)


def with_courses(table: Sequence[Phase], given: Sequence[Course], call: CallModel) -> tuple[Phase, ...]:
    """The table of a method whose learners also take what their courses give.

    In every phase the first update that moves a learner as a whole, else the first that moves a part of it, gets the
    course's terms, with their weights, and moves the course's helpers. Where an update moves several learners their
    terms are summed. What an update moves is no target for it: of a source that it moves too, the taps are constants.
    The preparations of a transfer become one phase before the first that moves their learners; those that the table has
    already are left alone.

    Args:
        table: the method's phases.
        given: the courses.
        call: calls helpers in the mode of the present phase: `Distiller.call_model`.

    Raises:
        ValueError: a learner that no update moves, or a term whose name is taken.
    """
    for course in given:
        if not any(_place(phase, course.learner) for phase in table if not isinstance(phase, PreparationPhase)):
            raise ArgumentError(
                "transfers", f"no update moves {course.learner.name}, so that it cannot learn from others"
            )
    changed: list[Phase] = []
    before: list[Phase] = []
    waiting = list(given)
    for phase in table:
        if isinstance(phase, PreparationPhase):
            before.append(phase)
            continue
        now = [course for course in waiting if _place(phase, course.learner)]
        waiting = [course for course in waiting if course not in now]
        changed += [*_preparations(now, phase.link, call), *before, _taught(phase, given, call)]
        before = []
    return (*changed, *before)


def _preparations(given: Sequence[Course], link: int, call: CallModel) -> list[Phase]:
    """A phase for every transfer that has to be prepared."""
    names = dict.fromkeys(course.transfer.name for course in given)
    of_name = {name: [course for course in given if course.transfer.name == name] for name in names}
    return [_preparation(name, own, link, call) for name, own in of_name.items() if own[0].preparations]


def _preparation(name: str, given: Sequence[Course], link: int, call: CallModel) -> Phase:
    parts, epochs = [], 0
    in_part: list[keras.Model] = []
    for course in given:
        models = [model for one in course.preparations.values() for model in one.models]
        one = next(iter(course.preparations.values()))
        epochs = max(epochs, one.epochs)
        own = _variables([course.learner])
        in_part += [model for model in models if own & _variables([model])]
        update = Update(f"{course.learner.name}_{name}_preparation", tuple(dict.fromkeys(models)), one.weights)
        parts.append((update, functools.partial(_terms, [course], update, Course.preparation_terms, call)))
    return PreparationPhase(joint(parts), epochs, f"{name}_preparation", link, tuple(in_part))


def _taught(phase: Phase, given: Sequence[Course], call: CallModel) -> Phase:
    """The phase with the courses of the learners that it moves."""
    of_update: dict[str, list[Course]] = {}
    for course in given:
        if update := _place(phase, course.learner):
            of_update.setdefault(update.name, []).append(course)
    return dataclasses.replace(phase, rounds=tuple(_round(one, of_update, call) for one in phase.rounds))


def _round(one: Round, of_update: Mapping[str, Sequence[Course]], call: CallModel) -> Round:
    taught = {update.name: of_update[update.name] for update in one.updates if update.name in of_update}
    if not taught:
        return one
    updates = tuple(_extended(update, taught.get(update.name, ())) for update in one.updates)
    added = {
        update.name: functools.partial(_terms, taught[update.name], update, Course.terms, call)
        for update in updates
        if update.name in taught
    }

    def losses(batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Terms]:
        terms = one.losses(batch, taps)
        return {name: {**own, **added[name](batch, taps)} if name in added else own for name, own in terms.items()}

    return Round(losses, updates)


def _extended(update: Update, given: Sequence[Course]) -> Update:
    terms, models = dict(update.terms), update.models
    for course in given:
        models += tuple(helper for helper in course.helpers() if helper not in models)
        for name, weight in course.weights.items():
            if name in update.terms:
                raise ArgumentError(
                    "transfers",
                    f"update {update.name!r} has a term {name!r} already; name the transfer apart, as in "
                    f"name='{name}_2'",
                )
            terms[name] = weight
    return dataclasses.replace(update, models=models, terms=terms)


def _terms(
    given: Sequence[Course],
    update: Update,
    terms_of: Callable[[Course, Batch, Mapping[str, Taps], CallModel], Terms],
    call: CallModel,
    batch: Batch,
    taps: Mapping[str, Taps],
) -> Terms:
    """The terms of an update's courses; those of one name, which are several learners', summed."""
    moved = _variables(update.models)
    found: dict[str, list[tf.Tensor]] = {}
    for course in given:
        constant = {one.name: _constants(taps[one.name]) for one in course.sources if moved & _variables([one])}
        own = {course.learner.name: taps[course.learner.name]}
        for name, value in terms_of(course, batch, {**taps, **constant, **own}, call).items():
            found.setdefault(name, []).append(value)
    return {name: tf.add_n(values) if len(values) > 1 else values[0] for name, values in found.items()}


def _place(phase: Phase, learner: keras.Model) -> Update | None:
    """The update of a phase that a learner's terms belong to; what is frozen now may be free at `compile`."""
    wanted = _variables([learner])
    held = [(update, wanted & _variables(update.models)) for update in phase.updates()]
    whole = [update for update, own in held if own == wanted]
    return next(iter([*whole, *(update for update, own in held if own)]), None)


def _variables(models: Sequence[keras.Model]) -> set[int]:
    return {id(variable) for model in models for variable in model.variables}


def _constants(taps: Taps) -> dict[str, tf.Tensor]:
    return {name: tf.stop_gradient(value) for name, value in taps.items()}
