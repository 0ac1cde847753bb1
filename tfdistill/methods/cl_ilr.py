"""Collaborative learning of heads that share intermediate representations (CL-ILR)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.helpers.shared_trunk import share_trunk
from tfdistill.methods.arguments import Temperature, TermWeight, checked, require_peers
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.tasks import Task
from tfdistill.topology import all_pairs


class CLILR(Distiller):
    """Branches on one trunk learn from the labels and from the mean of the other branches' logits.

    `L = Σ_k [CE(y, z_k) + weight · T² · KL(q_k(T) ‖ p_k(T))]`, where q_k is the prediction of the mean of the logits
    z_j, j ≠ k. The gradient that comes from the K branches into the trunk is divided by K, so that the trunk is moved
    as far as by one network.

    One optimizer moves trunk and branches. A target is made of what it moves, so that q_k is a stop_gradient. The
    networks share the first network's trunk and keep their own branches; each, joined to the trunk, has exactly the
    weights of a network trained alone.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.CLILR(peers, tap="stage1")
    >>> distiller.networks[0].layers[1] is distiller.networks[1].layers[1]
    True

    Args:
        networks: two or more networks of one architecture.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        weight: weight of the distillation term.
        tap: the tap that the trunk ends with; the last but one stage if empty.
        task: the supervised loss and metrics.

    Raises:
        ValueError: fewer than two networks, networks that cannot share a trunk, or a temperature that is not positive.

    Source: Song and Chai, "Collaborative Learning for Deep Neural Networks", NeurIPS 2018, §3. Written from memory of
    the paper, not checked against its text: the target, the simultaneous update, the rescaled gradient, and T = 2 with
    equal shares of hard and soft loss, which weight 1 is here, where the hard loss keeps weight 1 and T² gives both
    gradients one scale. One split, as in ONE, with which it is compared; the paper also splits repeatedly, into a tree.
    """

    protocol = "afd"
    protocol_note = (
        "This is not CL-ILR's own protocol: its paper's text was not at hand, and its epochs, rates and decay may be "
        "others. AFD's stands here, by which AFD's paper trains every online method that it compares."
    )
    source = "Song and Chai, Collaborative Learning for Deep Neural Networks (NeurIPS 2018)"
    rebuilds_networks = True

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        temperature: Temperature = 2.0,
        weight: TermWeight = 1.0,
        tap: str = "",
        task: Task | None = None,
    ) -> None:
        require_peers(networks, task)
        shared = share_trunk(networks, tap)
        super().__init__(shared.networks, task=task)
        self.shared = shared
        self.temperature, self.weight = temperature, weight

    def call_networks(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        share = 1.0 / len(self.networks)
        return self.shared.call_networks(images, call, before_branches=lambda maps: scale_gradient(maps, share))

    def phases(self) -> tuple[Phase, ...]:
        weights = {self.task.loss_name: 1.0, "distillation": self.weight * self.temperature**2}
        return (Phase(joint([(Update("networks", tuple(self.networks), weights), self._terms)])),)

    def _terms(self, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = [taps[network.name] for network in self.networks]
        distilled = []
        for learner, others in all_pairs(own):
            target = tf.stop_gradient(self.task.ensemble(others)["logits"])
            distilled.append(losses.kl_divergence(target, learner["logits"], self.temperature))
        return {
            self.task.loss_name: tf.add_n([self.task.loss(batch, one) for one in own]),
            "distillation": tf.add_n(distilled),
        }


def scale_gradient(values: tf.Tensor, factor: float) -> tf.Tensor:
    """The values as they are; the gradient through them times `factor`."""

    @tf.custom_gradient
    def scaled(same: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(same), lambda upstream: upstream * tf.cast(factor, upstream.dtype)

    return scaled(values)
