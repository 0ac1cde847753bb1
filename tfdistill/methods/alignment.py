"""Direct alignment of feature maps, online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import keras

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Round, Update
from tfdistill.helpers.matching import match
from tfdistill.methods.arguments import Temperature, TermWeight, checked, choose, require_peers
from tfdistill.networks import initialization
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Classification
from tfdistill.topology import cycle

ORDERS_OF_DISTANCE = {"l1": 1, "l2": 2}


class Alignment(Distiller):
    """Networks learn to have each other's feature maps, example by example.

    `L_k = CE(y, z_k) + weight · mean |f_k − f_j| + logit_weight · T² · KL(p_j(T) ‖ p_k(T))`, where network k learns
    from the one before it in a cycle, j; two networks learn from each other. All are updated from one forward pass.
    `f_j` and `p_j` are constants for network k, because an update moves its own network, and the transfer layer that
    stands between f_k and f_j where their channels differ.

    Args:
        networks: two or more networks.
        distance: "l1": the mean of the absolute differences; "l2": of their squares.
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
        task: Classification | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks)
        self.order = choose("distance", distance, ORDERS_OF_DISTANCE)
        self.weight, self.logit_weight, self.temperature = weight, logit_weight, temperature
        seeds = initialization.LayerSeeds(seed)
        self.matchings = [match(learner, source, seeds=seeds) for learner, source in cycle(networks)]
        self.helpers |= {helper.name: helper for matching in self.matchings for helper in matching.helpers()}

    def phases(self) -> tuple[Phase, ...]:
        weights = {self.task.loss_name: 1.0, "distance": self.weight}
        if self.logit_weight:
            weights["mutual"] = self.logit_weight * self.temperature**2
        updates = tuple(
            Update(network.name, (network, *matching.helpers()), weights)
            for network, matching in zip(self.networks, self.matchings, strict=True)
        )
        return (Phase((Round(self._round_losses, updates),)),)

    def _round_losses(self, batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Terms]:
        terms: dict[str, Terms] = {}
        for matching in self.matchings:
            own, peer = taps[matching.learner], taps[matching.source]
            named = {
                self.task.loss_name: self.task.loss(batch, own),
                "distance": losses.distance(*matching.maps(taps, self.call_model), self.order),
            }
            if self.logit_weight:
                named["mutual"] = losses.kl_divergence(peer["logits"], own["logits"], self.temperature)
            terms[matching.learner] = named
        return terms
