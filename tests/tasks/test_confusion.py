"""Confusion matrices against counting one by one, and what is read off them."""

import numpy as np
import tensorflow as tf

from tfdistill.tasks import Classification
from tfdistill.tasks.confusion import by_class, class_accuracies, confusion, most_confused_with

MATRIX = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [2, 2, 4, 0], [1, 0, 0, 3]])


def test_rows_are_labels_columns_predictions_and_weights_count():
    draw = np.random.default_rng(0)
    labels, logits = draw.integers(0, 4, 50), draw.normal(size=(50, 4)).astype("float32")
    weights = draw.integers(0, 2, 50).astype("float32")
    expected = np.zeros((4, 4))
    for label, row, weight in zip(labels, logits, weights, strict=True):
        expected[label, row.argmax()] += weight
    counted = tf.function(confusion, autograph=False, jit_compile=True)
    found = counted(tf.constant(labels, tf.int32), tf.constant(logits), tf.constant(weights))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == tf.float32
    unweighted = confusion(tf.constant(labels, tf.int64), tf.constant(logits))
    assert unweighted.numpy().sum() == 50


def test_the_diagonal_is_the_accuracy_ties_included():
    labels, logits = tf.constant([2, 1, 0]), tf.constant([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [0.0, 1.0, 1.0]])
    task, batch = Classification(), {"labels": labels}
    (table,) = (task.tables(batch, {"logits": logits})[name] for name in task.table_shapes(3))
    hits = task.metrics(batch, {"logits": logits})["accuracy"]
    assert np.trace(table) == np.sum(hits) == 2
    soft = task.tables({"labels": tf.one_hot(labels, 3)}, {"logits": logits})["confusion"]
    np.testing.assert_array_equal(soft, table)


def test_what_is_read_off():
    np.testing.assert_array_equal(class_accuracies(MATRIX), [0.75, np.nan, 0.5, 0.75])
    # The classes at 0.75 have as many examples: they keep their order. A class without examples is no bad class.
    assert by_class(MATRIX).worst_first().tolist() == [2, 0, 3]
    assert most_confused_with(MATRIX, 2) == (0, 2) and most_confused_with(MATRIX, 0) == (1, 1)
    assert most_confused_with(np.eye(3, dtype=int), 1) is None
    found = by_class(MATRIX).facts(["ant", "bee", "cat", "dog"])
    assert found["accuracy"] == {"ant": 0.75, "bee": None, "cat": 0.5, "dog": 0.75}
    assert found["examples"] == {"ant": 4, "bee": 0, "cat": 8, "dog": 4}
    assert found["confusion"] == MATRIX.tolist()
