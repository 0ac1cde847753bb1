"""Analyses of trained networks: numbers and pictures that explain what a network has learned from another.

Each analysis is a file of pure functions on arrays and networks, and a class that the command `analyze` runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.analysis.active_neurons import ActiveNeurons, count_active_neurons, spectrum
    from tfdistill.analysis.analysis import Analysis, Findings
    from tfdistill.analysis.calibration import (
        Calibration,
        Reliability,
        expected_calibration_error,
        fit_temperature,
        reliability,
    )
    from tfdistill.analysis.cka import CKA, linear_cka
    from tfdistill.analysis.confusion import Confusion, confusion_matrix
    from tfdistill.analysis.curves import Curves, agreement
    from tfdistill.analysis.errors import Errors, Predictions, predictions
    from tfdistill.analysis.feature_distance import FeatureDistance, feature_distances
    from tfdistill.analysis.grad_cam import ActivationMaps, GradCAM
    from tfdistill.analysis.grad_cam import grad_cam as activation_maps
    from tfdistill.analysis.logits import Logits, top_logit_distance
    from tfdistill.analysis.lrp import LRP, Relevance
    from tfdistill.analysis.lrp import lrp as relevance_of
    from tfdistill.analysis.options import Options
    from tfdistill.analysis.projection import Projection, Projections, project
    from tfdistill.analysis.relevance.composites import COMPOSITES, Composite
    from tfdistill.analysis.sharpness import Sharpness, loss_under_noise
    from tfdistill.analysis.study import Study
    from tfdistill.analysis.subject import Subject
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

ANALYSES: lazy.Lookup[type[Analysis]] = lazy.Lookup(
    __name__,
    {
        "calibration": "Calibration",
        "feature_distance": "FeatureDistance",
        "cka": "CKA",
        "logits": "Logits",
        "projection": "Projections",
        "grad_cam": "GradCAM",
        "lrp": "LRP",
        "errors": "Errors",
        "confusion": "Confusion",
        "sharpness": "Sharpness",
        "active_neurons": "ActiveNeurons",
        "curves": "Curves",
    },
)

__all__ = [
    "ANALYSES",
    "ActivationMaps",
    "ActiveNeurons",
    "Analysis",
    "CKA",
    "COMPOSITES",
    "Calibration",
    "Composite",
    "Confusion",
    "Curves",
    "Errors",
    "FeatureDistance",
    "Findings",
    "GradCAM",
    "LRP",
    "Logits",
    "Options",
    "Predictions",
    "Projection",
    "Projections",
    "Relevance",
    "Reliability",
    "Sharpness",
    "Study",
    "Subject",
    "activation_maps",
    "agreement",
    "confusion_matrix",
    "count_active_neurons",
    "expected_calibration_error",
    "feature_distances",
    "fit_temperature",
    "linear_cka",
    "loss_under_noise",
    "predictions",
    "project",
    "relevance_of",
    "reliability",
    "spectrum",
    "top_logit_distance",
]
