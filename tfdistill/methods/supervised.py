"""Independent training: the baseline of every method."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.taps import Batch, Taps, Terms


class Supervised(Distiller):
    """Trains networks side by side from labels alone; none learns from another.

    `L_k = CE(y, z_k)`. The networks see the same batches, so that a baseline differs from a mutual method in
    nothing but the terms.
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's: every paper trains its baseline as it trains its method, so the flagfiles of the others' "
        "tables name theirs."
    )
    source = "the baseline ('independent') of every table"

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(joint([self._part(network.name, (network,)) for network in self.networks])),)

    def _part(self, name: str, models: tuple) -> tuple:
        return Update(name, models, {self.task.loss_name: 1.0}), functools.partial(self._terms, name)

    def _terms(self, name: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        return {self.task.loss_name: self.task.loss(batch, taps[name])}
