"""What is learned from labels: the supervised loss and the metrics of a task."""

from tfdistill.tasks.classification import Classification

__all__ = ["Classification"]
