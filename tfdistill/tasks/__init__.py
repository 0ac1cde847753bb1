"""What is learned from labels: the supervised loss and the metrics of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.tasks.average_precision import AveragePrecision
    from tfdistill.tasks.classification import Classification
    from tfdistill.tasks.detection import Detection, detect
    from tfdistill.tasks.labels import complaint, first_wrong, require_classes
    from tfdistill.tasks.task import Task
    from tfdistill.tasks.weights import require_weights
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

TASKS: lazy.Lookup[type[Task]] = lazy.Lookup(__name__, {"classification": "Classification", "detection": "Detection"})
"""The tasks by name."""

__all__ = [
    "TASKS",
    "AveragePrecision",
    "Classification",
    "Detection",
    "Task",
    "complaint",
    "detect",
    "first_wrong",
    "require_classes",
    "require_weights",
]
