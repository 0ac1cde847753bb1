"""Which classes are taken for which: the confusion matrix, and what is read off it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdistill import losses
from tfdistill.tasks.by_class import ByClass


def confusion(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """How often each class was taken for each, as sums over a batch.

    Rows are labels, columns predictions. The sum of the diagonal is the sum of the top-1 hits: where several logits are
    the largest and the label's is among them, it is a hit, as for the accuracy.

    Args:
        labels: classes, integers `[batch]`.
        logits: `[batch, classes]`.
        weights: of the examples, `[batch]`; 1 each if not given.

    Returns:
        float32 `[classes, classes]`; whole numbers stay exact up to 2^24.
    """
    classes = logits.shape[-1]
    hits = losses.top_k_correct(labels, logits, 1)
    predicted = tf.where(hits > 0, tf.cast(labels, tf.int32), tf.argmax(logits, axis=-1, output_type=tf.int32))
    return tf.math.confusion_matrix(labels, predicted, classes, weights, dtype=tf.float32)


def class_accuracies(matrix: np.ndarray) -> np.ndarray:
    """Accuracy of each class: the share of its examples that were taken for it; NaN for a class without examples.

    Args:
        matrix: of `confusion`, summed over all batches: numbers `[classes, classes]`.

    Returns:
        float64 `[classes]`.
    """
    counts = np.asarray(matrix, np.float64).sum(axis=1)
    return np.divide(np.diag(matrix), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def most_confused_with(matrix: np.ndarray, label: int) -> tuple[int, int] | None:
    """The class that examples of another are taken for most often, and how many; None where all are taken rightly."""
    row = np.asarray(matrix)[label].copy()
    row[label] = 0
    taken = int(row.argmax())
    return (taken, int(row[taken])) if row[taken] else None


def by_class(matrix: np.ndarray) -> ByClass:
    """Accuracy and number of examples of each class.

    Args:
        matrix: as of `class_accuracies`.
    """
    matrix = np.asarray(matrix)
    return ByClass("accuracy", class_accuracies(matrix), "examples", matrix.sum(axis=1), matrix)
