"""What is learned from labels: the supervised loss and the metrics of a task."""

from tfdistill.tasks.classification import Classification
from tfdistill.tasks.labels import complaint, first_wrong, require_classes

__all__ = ["Classification", "complaint", "first_wrong", "require_classes"]
