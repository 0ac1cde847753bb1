"""Direct alignment of feature maps, online."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras

from tfdistill.methods.arguments import Temperature, TermWeight, checked, require_peers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task
from tfdistill.topology import cycle
from tfdistill.transfers import KD, MapDistance, Transfer


class Alignment(LabelsAndTransfers):
    """Networks learn to have each other's feature maps, example by example.

    `L_k = CE(y, z_k) + weight · mean |f_k − f_j| + logit_weight · T² · KL(p_j(T) ‖ p_k(T))`, where network k learns
    from the one before it in a cycle, j; two networks learn from each other. All are updated from one forward pass.
    `f_j` and `p_j` are constants for network k, because an update moves its own network, and the transfer layer that
    stands between f_k and f_j where their channels differ.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.Alignment(peers, distance="l2")
    >>> distiller.compile("adam")

    Args:
        networks: two or more networks.
        distance: "l1": the mean of the absolute differences; "l2": the mean of the squared differences.
        weight: weight of the distance.
        logit_weight: weight of the mutual term on the logits; at 0 it is left out ("L1" in the paper, else "L1 + KD").
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        task: the supervised loss and metrics.
        seed: of the transfer layers' weights.

    Raises:
        ValueError: fewer than two networks, a network without "features", or a value out of range.

    Source: "L1" and "L1 + KD", online, in Table 1 of Chung et al., "Feature-map-level Online Adversarial Knowledge
    Distillation", ICML 2020, which does not give the distance's weight. The transfer layer is theirs for AFD.
    """

    protocol = "afd"
    source = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020), L1 of Table 1"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        distance: Literal["l1", "l2"] = "l1",
        weight: TermWeight = 1.0,
        logit_weight: TermWeight = 0.0,
        temperature: Temperature = 3.0,
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        transfers: list[Transfer] = [MapDistance(distance=distance, weight=weight, name="distance")]
        if logit_weight:
            transfers.append(KD(temperature=temperature, weight=logit_weight, name="mutual"))
        in_cycle = [(learner, [source]) for learner, source in cycle(networks)]
        self.take(transfers, in_cycle, seed=seed, prefix=lambda transfer, learner, source: learner.name)
