"""Mutual learning by any transfers."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdistill.methods.arguments import Order, TermWeight, checked, require_peers, require_transfers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task
from tfdistill.topology import all_pairs
from tfdistill.transfers import KD, Transfer


class Mutual(LabelsAndTransfers):
    """Networks learn from the labels and, by any transfers, from each other.

    `L_k = label_weight · CE(y, z_k) + Σ_t 1/(K−1) · Σ_{j≠k} weight_t · L_t(k, j)` for network k, the transfers t and
    the other networks j. A peer is a constant for network k, because an update moves its own network, and what the
    transfers build for it.

    >>> peers = [tfdistill.networks.resnet8(classes=10, name=name) for name in ("one", "other")]
    >>> distiller = tfdistill.Mutual(peers, [tfdistill.KD(temperature=3.0)])
    >>> [update.name for update in distiller.phase.updates()]
    ['one', 'other']

    Args:
        networks: two or more networks.
        transfers: what a network takes from another; `KD()` if there are none. With `KD(temperature=1.0)` and updates
            in turn this is deep mutual learning.
        label_weight: weight of the labels' loss; at 0 it is left out.
        update: "joint": every network from the same forward pass; "alternating": network after network, each on a
            fresh forward pass of all.
        task: the supervised loss and metrics.
        seed: of the weights of what the transfers build.

    Raises:
        ValueError: fewer than two networks, a transfer that does not fit two of them, or another kind of update.

    Source: Zhang et al., "Deep Mutual Learning", CVPR 2018, for the frame and the mean over the peers. What is taken
    from a peer is each transfer's own paper's.
    """

    protocol = "dml_original"
    source = "Zhang et al., Deep Mutual Learning (CVPR 2018), and each transfer's own paper"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        transfers: Sequence[Transfer | keras.distillation.DistillationLoss] = (),
        *,
        label_weight: TermWeight = 1.0,
        update: Order = "joint",
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        require_peers(networks, task)
        super().__init__(networks, task=task)
        self.label_weight, self.order = label_weight, update
        self.take(require_transfers(transfers) or [KD()], all_pairs(self.networks), seed=seed)
