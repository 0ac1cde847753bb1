"""Which taps of its teachers a method reads, found without computing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf

from tfdistill.engine.distiller import Distiller
from tfdistill.taps import Taps


def taps_read(distiller: Distiller, batch: Mapping[str, tf.TensorSpec]) -> dict[str, tuple[str, ...]]:
    """The taps of each teacher that some loss reads, in any round of any phase.

    Every round is traced once with stand-ins for the teachers' taps. No variable moves, and no teacher is called.

    Args:
        distiller: the method with its networks.
        batch: shapes and types of a batch of its training, by name.

    Returns:
        By the name of each teacher, the names of its taps in alphabetical order; none where nobody reads it.
    """
    read: dict[str, set[str]] = {name: set() for name in distiller.teachers.called}
    size = batch["images"].shape[0]
    taps = {
        name: {tap: tf.TensorSpec([size, *one.shape[1:]], one.dtype) for tap, one in model.output.items()}
        for name, model in distiller.teachers.called.items()
    }

    def losses(batch: Mapping[str, tf.Tensor], taps: Mapping[str, Taps]) -> None:
        ready = distiller.batch_of(batch)
        watched = {name: _Watched(own, read[name]) for name, own in taps.items()}
        for index, phase in enumerate(distiller.plan):
            distiller.phase_index = index
            seen = {**distiller.call_networks(ready["images"], distiller.call_model), **watched}
            for one in phase.rounds:
                one.terms(ready, seen)

    phase_index = distiller.phase_index
    try:
        # What a forward pass moves, such as running statistics, is noted in the scope and forgotten with it.
        with keras.StatelessScope():
            tf.function(losses, autograph=False).get_concrete_function(dict(batch), taps)
    finally:
        distiller.phase_index = phase_index
    return {name: tuple(sorted(found)) for name, found in read.items()}


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
