"""Independent training: the baseline of every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import keras

from tfdistill.bounds import Number, checked
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task


class Supervised(LabelsAndTransfers):
    """Trains networks side by side from labels alone; none learns from another.

    `L_k = label_weight · CE(y, z_k)`. The networks see the same batches, so that a baseline differs from a mutual
    method in nothing but the terms.

    >>> distiller = tfdistill.Supervised([tfdistill.networks.resnet8(classes=10)])
    >>> distiller.compile(optimizer="adam")

    Args:
        networks: one or more.
        label_weight: weight of the labels' loss beside the transfers that are added; alone it scales the rate.
        task: the supervised loss and metrics.

    Raises:
        ValueError: networks that could not be trained side by side, or a weight that is not positive.
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's: every paper trains its baseline as it trains its method, so the flagfiles of the others' "
        "tables name theirs."
    )
    source = "the baseline ('independent') of every table"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        label_weight: Annotated[float, Number(0, 1_000_000, above=True)] = 1.0,
        task: Task | None = None,
    ) -> None:
        super().__init__(networks, task=task)
        self.label_weight = label_weight
