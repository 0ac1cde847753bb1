"""Deep mutual learning."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdistill.methods.arguments import Order, Temperature, TermWeight, checked, require_peers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task
from tfdistill.topology import all_pairs
from tfdistill.transfers import KD


class DML(LabelsAndTransfers):
    """Networks learn from the labels and from each other's predictions.

    `L_k = CE(y, z_k) + weight · T² / (K−1) · Σ_{j≠k} KL(p_j(T) ‖ p_k(T))`. The target `p_j` is a constant for
    network k, because an update moves its own network only.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.DML(peers, update="joint")
    >>> len(distiller.phase.rounds)
    1

    Args:
        networks: two or more networks.
        weight: weight of the mutual term.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        update: "alternating": network after network, each on a fresh forward pass of all, as the paper's algorithm
            says; "joint": every network from the same forward pass.
        task: the supervised loss and metrics.

    Raises:
        ValueError: fewer than two networks, a temperature that is not positive, or another kind of update.

    Source: Zhang et al., "Deep Mutual Learning", CVPR 2018, Eqs. 3-6 and Algorithm 1 (K > 2: the mean over the
    peers). Temperature 1 as there and in IE-KD's Table 4; AFD compares with DML at T = 3.
    """

    protocol = "dml_original"
    source = "Zhang et al., Deep Mutual Learning (CVPR 2018)"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        weight: TermWeight = 1.0,
        temperature: Temperature = 1.0,
        update: Order = "alternating",
        task: Task | None = None,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        self.order = update
        self.take([KD(temperature=temperature, weight=weight, name="mutual")], all_pairs(networks))
