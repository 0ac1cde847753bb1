"""Analyses of trained networks: numbers and pictures that explain what a network has learned from another.

Each analysis is a file of pure functions on arrays and networks, and a class that the command `analyze` runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.analysis.analysis import Analysis, Findings
    from tfdistill.analysis.calibration import (
        Calibration,
        Reliability,
        expected_calibration_error,
        fit_temperature,
        reliability,
    )
    from tfdistill.analysis.grad_cam import ActivationMaps, grad_cam
    from tfdistill.analysis.lrp import Relevance, lrp
    from tfdistill.analysis.options import Options
    from tfdistill.analysis.relevance.composites import COMPOSITES, Composite
    from tfdistill.analysis.study import Study, Subject
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

ANALYSES: lazy.Lookup[type[Analysis]] = lazy.Lookup(
    __name__,
    {
        "calibration": "Calibration",
    },
)

__all__ = [
    "ANALYSES",
    "COMPOSITES",
    "ActivationMaps",
    "Analysis",
    "Calibration",
    "Composite",
    "Findings",
    "Options",
    "Relevance",
    "Reliability",
    "Study",
    "Subject",
    "expected_calibration_error",
    "fit_temperature",
    "grad_cam",
    "lrp",
    "reliability",
]
