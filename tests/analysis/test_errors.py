"""Errors and confusions of answers that were made up."""

import numpy as np

from tfdistill.analysis.confusion import confusion_matrix, shares
from tfdistill.analysis.errors import lost, most_confident_errors, outcomes, predictions

LABELS = np.array([0, 1, 2, 0, 1])


def answers(*classes, sure):
    """Logits whose largest is that of each class, more so where `sure` is more."""
    return predictions(np.eye(3)[list(classes)] * np.array(sure)[:, None], LABELS)


def test_errors_come_by_confidence_and_losses_by_what_the_teacher_knew():
    student = answers(0, 2, 0, 1, 2, sure=[9, 1, 5, 3, 2])
    teacher = answers(0, 1, 2, 2, 1, sure=[9, 1, 5, 3, 8])
    assert student.right.tolist() == [True, False, False, False, False]
    assert most_confident_errors(student, 3).tolist() == [2, 3, 4] and len(most_confident_errors(student, 9)) == 4
    assert lost(student, teacher, 9).tolist() == [2, 4, 1]
    assert outcomes(student, teacher) == {"both right": 1, "teacher alone": 3, "student alone": 0, "both wrong": 1}
    assert student.truth[0] == student.confidence[0] > 0.99 > student.confidence[1] > student.truth[1]


def test_rows_of_a_confusion_matrix_are_the_true_classes():
    found = confusion_matrix(np.array([0, 2, 2, 1, 2]), LABELS, 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert shares(found)[0].tolist() == [0.5, 0.5, 0, 0] and shares(found)[3].sum() == 0
