"""Losses: pure functions of tensors that return one value per example."""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.losses.activations import boundary_distance, margin_distance
    from tfdistill.losses.adversarial import discriminator_loss, generator_loss
    from tfdistill.losses.channels import channel_divergence, correlation_distance
    from tfdistill.losses.contrastive import noise_contrastive_loss
    from tfdistill.losses.decoupled import decoupled_divergences, virtual_teacher_divergence
    from tfdistill.losses.detection import match, multibox_loss, multibox_terms, objects_of
    from tfdistill.losses.features import (
        EXPLORATION_METRICS,
        INHERITANCE_METRICS,
        cosine_similarity,
        distance,
        euclidean_distance,
        linear_cka,
        normalized_distance,
        partial_l2_distance,
        reconstruction,
    )
    from tfdistill.losses.geometry import angle_potential, distance_potential
    from tfdistill.losses.gradients import jacobian_distance
    from tfdistill.losses.logit_matching import (
        high_temperature_limit,
        low_temperature_limit,
        smooth_l1,
        squared_error,
        standardized,
    )
    from tfdistill.losses.logits import cross_entropy, kl_divergence, top_k_correct
    from tfdistill.losses.maps import (
        attention_distance,
        gaussian_negative_log_likelihood,
        hierarchical_distance,
        selectivity_distance,
    )
    from tfdistill.losses.relations import inter_class_distance, intra_class_distance
    from tfdistill.losses.similarities import congruence_loss, neighbour_divergence, similarity_distance
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "EXPLORATION_METRICS",
    "INHERITANCE_METRICS",
    "angle_potential",
    "attention_distance",
    "boundary_distance",
    "channel_divergence",
    "congruence_loss",
    "correlation_distance",
    "cosine_similarity",
    "cross_entropy",
    "decoupled_divergences",
    "discriminator_loss",
    "distance",
    "distance_potential",
    "euclidean_distance",
    "gaussian_negative_log_likelihood",
    "generator_loss",
    "hierarchical_distance",
    "high_temperature_limit",
    "inter_class_distance",
    "intra_class_distance",
    "jacobian_distance",
    "kl_divergence",
    "linear_cka",
    "low_temperature_limit",
    "margin_distance",
    "match",
    "multibox_loss",
    "multibox_terms",
    "neighbour_divergence",
    "noise_contrastive_loss",
    "normalized_distance",
    "objects_of",
    "partial_l2_distance",
    "reconstruction",
    "selectivity_distance",
    "similarity_distance",
    "smooth_l1",
    "squared_error",
    "standardized",
    "top_k_correct",
    "virtual_teacher_divergence",
]
