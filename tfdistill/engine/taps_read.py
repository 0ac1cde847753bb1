"""Which taps of its teachers a method reads, found without computing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from tfdistill.taps import Taps

if TYPE_CHECKING:
    from tfdistill.engine.distiller import Distiller

Read = dict[str, tuple[str, ...]]
"""By the name of each teacher, the names of its taps that are read, in alphabetical order."""


class Reading(NamedTuple):
    """What losses have of their teachers.

    Attributes:
        by_phase: the taps that the losses of each phase read.
        called: the teachers that a loss calls itself, in any phase.
    """

    by_phase: tuple[Read, ...]
    called: frozenset[str]


def taps_read(distiller: Distiller, batch: Mapping[str, tf.TensorSpec]) -> Read:
    """The taps of each teacher that some loss reads, in any round of any phase; see `reading`."""
    phases = reading(distiller, batch).by_phase
    return {name: tuple(sorted({tap for one in phases for tap in one[name]})) for name in distiller.teachers.called}


def reading(distiller: Distiller, batch: Mapping[str, tf.TensorSpec]) -> Reading:
    """What the losses of every phase have of the teachers.

    Every round is traced once with stand-ins for the teachers' taps. No variable moves, and no teacher is called but by
    a loss itself.

    Args:
        distiller: the method with its networks.
        batch: shapes and types of a batch of its training, by name.
    """
    called = distiller.teachers.called
    read: list[dict[str, set[str]]] = [{name: set() for name in called} for _ in distiller.plan]
    size = batch["images"].shape[0] if batch["images"].shape.rank else None
    taps = {
        name: {tap: tf.TensorSpec([size, *one.shape[1:]], one.dtype) for tap, one in model.output.items()}
        for name, model in called.items()
    }

    def losses(batch: Mapping[str, tf.Tensor], taps: Mapping[str, Taps]) -> None:
        ready = distiller.batch_of(batch)
        for index, phase in enumerate(distiller.plan):
            distiller.phase_index = index
            watched = {name: _Watched(own, read[index][name]) for name, own in taps.items()}
            seen = {**distiller.call_networks(ready["images"], distiller.call_model), **watched}
            for one in phase.rounds:
                one.terms(ready, seen)

    phase_index = distiller.phase_index
    try:
        # What a forward pass moves, such as running statistics, is noted in the scope and forgotten with it.
        with keras.StatelessScope():
            traced = tf.function(losses, autograph=False).get_concrete_function(dict(batch), taps)
    finally:
        distiller.phase_index = phase_index
    used = {id(one) for one in traced.captured_inputs}
    by_phase = tuple({name: tuple(sorted(found)) for name, found in one.items()} for one in read)
    return Reading(by_phase, frozenset(name for name, model in called.items() if used & _handles(model)))


def _handles(model: keras.Model) -> set[int]:
    """By which a graph knows the variables of a model."""
    return {id(variable.value.handle) for variable in model.variables}


class _Watched(Mapping[str, tf.Tensor]):
    """Taps that note which of them were taken."""

    def __init__(self, taps: Taps, taken: set[str]) -> None:
        self._taps, self._taken = taps, taken

    def __getitem__(self, tap: str) -> tf.Tensor:
        value = self._taps[tap]
        self._taken.add(tap)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._taps)

    def __len__(self) -> int:
        return len(self._taps)
