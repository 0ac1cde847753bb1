"""The methods whose networks learn from the labels and from one target, made of all their logits."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping

import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.taps import Batch, Taps, Terms


class OneTarget(Distiller):
    """`L_k = CE(y, z_k) + weight · T² · KL(p_t(T) ‖ p_k(T))` for every network k, from one forward pass.

    A subclass says what `z_t` is, by `target_logits`, and sets `weight` and `temperature` in its constructor. The
    target is made once for all networks.
    """

    weight: float
    temperature: float

    @abstractmethod
    def target_logits(self, batch: Batch, taps: Mapping[str, Taps]) -> tf.Tensor:
        """`z_t`, `[batch, classes]`, with no gradient for any network."""

    def phases(self) -> tuple[Phase, ...]:
        weights = {self.task.loss_name: 1.0, "distillation": self.weight * self.temperature**2}
        parts = [
            (Update(network.name, (network,), weights), functools.partial(self._terms, network.name))
            for network in self.networks
        ]
        return (Phase(joint(parts, self._teacher)),)

    def _teacher(self, batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Taps]:
        return {"teacher": {"logits": self.target_logits(batch, taps)}}

    def _terms(self, learner: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own, teacher = taps[learner], taps["teacher"]
        return {
            self.task.loss_name: self.task.loss(batch, own),
            "distillation": losses.kl_divergence(teacher["logits"], own["logits"], self.temperature),
        }
