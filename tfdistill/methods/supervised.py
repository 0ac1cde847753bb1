"""Independent training: the baseline of every method."""

from __future__ import annotations

from tfdistill.methods.labels_and_transfers import LabelsAndTransfers


class Supervised(LabelsAndTransfers):
    """Trains networks side by side from labels alone; none learns from another.

    `L_k = CE(y, z_k)`. The networks see the same batches, so that a baseline differs from a mutual method in
    nothing but the terms.

    >>> distiller = tfdistill.Supervised([tfdistill.networks.resnet8(classes=10)])
    >>> distiller.compile(optimizer="adam")
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's: every paper trains its baseline as it trains its method, so the flagfiles of the others' "
        "tables name theirs."
    )
    source = "the baseline ('independent') of every table"
