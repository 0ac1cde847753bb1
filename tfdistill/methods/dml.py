"""Deep mutual learning."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, rounds_in_order
from tfdistill.methods.arguments import Order, Temperature, TermWeight, checked, require_peers
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Classification
from tfdistill.topology import all_pairs


class DML(Distiller):
    """Networks learn from the labels and from each other's predictions.

    `L_k = CE(y, z_k) + weight · T² / (K−1) · Σ_{j≠k} KL(p_j(T) ‖ p_k(T))`. The target `p_j` is a constant for
    network k, because an update moves its own network only.

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
        task: Classification | None = None,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks)
        self.weight, self.temperature, self.update = weight, temperature, update

    def phases(self) -> tuple[Phase, ...]:
        weights = {self.task.loss_name: 1.0, "mutual": self.weight * self.temperature**2}
        parts = []
        for learner, sources in all_pairs(self.networks):
            update = Update(learner.name, (learner,), weights)
            parts.append((update, functools.partial(self._terms, learner.name, [peer.name for peer in sources])))
        return (Phase(rounds_in_order(self.update, parts)),)

    def _terms(self, learner: str, sources: Sequence[str], batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = taps[learner]
        mutual = [losses.kl_divergence(taps[peer]["logits"], own["logits"], self.temperature) for peer in sources]
        return {self.task.loss_name: self.task.loss(batch, own), "mutual": tf.add_n(mutual) / len(mutual)}
