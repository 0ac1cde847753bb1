"""Networks learn from the mean of their own logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill.methods.arguments import Temperature, TermWeight, checked, require_peers
from tfdistill.methods.one_target import OneTarget
from tfdistill.taps import Batch, Taps
from tfdistill.tasks import Task


class EnsembleKD(OneTarget):
    """Networks learn from the labels and from their ensemble, the mean of their logits.

    `L_k = CE(y, z_k) + weight · T² · KL(p_e(T) ‖ p_k(T))` with `z_e = 1/K · Σ_j z_j`; all networks are updated from the
    same forward pass. The learner's own logits are a K-th of the target, and its update moves them: without a
    stop_gradient the target would come towards the learner, which is no teaching. So p_e is a constant.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.EnsembleKD(peers)
    >>> [list(update.terms) for update in distiller.phase.updates()]
    [['cross_entropy', 'distillation'], ['cross_entropy', 'distillation']]

    Args:
        networks: two or more networks.
        weight: weight of the distillation term.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        task: the supervised loss and metrics.

    Raises:
        ValueError: fewer than two networks, or a temperature that is not positive.

    Source: "KD" in Table 4 of Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", ICML 2020,
    §4.4: the ensemble of the two networks is the teacher at every iteration, T = 3. The paper does not say what is
    averaged, nor the term's weight: logits are, as in its ensemble accuracy and in its sequel FFL, at weight 1.
    """

    protocol = "afd"
    source = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020), KD of Table 4"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        weight: TermWeight = 1.0,
        temperature: Temperature = 3.0,
        task: Task | None = None,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        self.weight, self.temperature = weight, temperature

    def target_logits(self, batch: Batch, taps: Mapping[str, Taps]) -> tf.Tensor:
        return tf.stop_gradient(self.ensemble(taps)["logits"])
