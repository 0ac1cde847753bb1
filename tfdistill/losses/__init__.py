"""Losses: pure functions of tensors that return one value per example."""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.losses.adversarial import discriminator_loss, generator_loss
    from tfdistill.losses.features import (
        EXPLORATION_METRICS,
        INHERITANCE_METRICS,
        cosine_similarity,
        distance,
        linear_cka,
        normalized_distance,
        partial_l2_distance,
        reconstruction,
    )
    from tfdistill.losses.logits import cross_entropy, kl_divergence, top_k_correct
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "EXPLORATION_METRICS",
    "INHERITANCE_METRICS",
    "cosine_similarity",
    "cross_entropy",
    "discriminator_loss",
    "distance",
    "generator_loss",
    "kl_divergence",
    "linear_cka",
    "normalized_distance",
    "partial_l2_distance",
    "reconstruction",
    "top_k_correct",
]
