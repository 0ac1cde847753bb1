"""What a distiller is made of, in a few lines: its models and its updates, with counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import keras

from tfdistill.columns import aligned
from tfdistill.engine.calendar import links_of
from tfdistill.engine.planned import Planned
from tfdistill.engine.updates import Phase, Update, Weight
from tfdistill.networks.graphs import count_parameters


def summary_lines(distiller: Planned) -> Iterator[str]:
    """The lines of `Distiller.summary`.

    Args:
        distiller: whose learners, teachers, helpers and updates they tell.
    """
    yield f"{type(distiller).__name__}: {distiller.source}"
    owners: list[tuple[str, Iterable[keras.Model]]] = [
        ("learners", distiller.networks),
        ("teachers", distiller.teachers),
        ("helpers", distiller.helpers.values()),
    ]
    for title, models in owners:
        rows = [_of_model(model) for model in models]
        if rows:
            yield title
            yield from aligned(rows, indent="  ")
    links = len(links_of(distiller.plan))
    rest = f"the rest of its share, one of {links} of the run" if links > 1 else "the rest of the run"
    for phase in distiller.plan:
        lasting = rest if phase.epochs is None else f"{phase.epochs} epochs"
        rounds = f"{len(phase.rounds)} round{'s' if len(phase.rounds) > 1 else ''} a step"
        yield f"updates of phase {phase.name!r}, {lasting}, {rounds}"
        yield from aligned([_of_update(update) for update in _updates(phase)], indent="  ")


def _updates(phase: Phase) -> Sequence[Update]:
    return phase.updates()


def _of_model(model: keras.Model) -> tuple[str, ...]:
    shapes = " × ".join(str(size) for size in model.inputs[0].shape[1:])
    trainable = count_parameters(model.trainable_variables)
    return model.name, f"{shapes} →", f"{count_parameters(model.weights):,} weights", f"{trainable:,} of them trainable"


def _of_update(update: Update) -> tuple[str, ...]:
    moved = ", ".join(model.name for model in update.models)
    terms = " + ".join(f"{_spoken(weight)}{name}" for name, weight in update.terms.items())
    return update.name, f"moves {count_parameters(update.variables()):,} weights of {moved}", f"down {terms}"


def _spoken(weight: Weight) -> str:
    if callable(weight):
        return "ramp · "
    return "" if weight == 1 else f"{weight:g} · "
