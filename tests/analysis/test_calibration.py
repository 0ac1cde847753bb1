"""Calibration in cases whose answer is known."""

import numpy as np
import pytest

from tfdistill.analysis.calibration import expected_calibration_error, fit_temperature, reliability, softmax


def sure(confidences):
    """Probabilities of two classes, the first of which is the network's answer."""
    return np.stack([confidences, 1 - np.asarray(confidences)], axis=1)


def test_bins_that_are_right_as_often_as_they_are_sure_have_no_error():
    probabilities = sure([0.75] * 4 + [0.6] * 5)
    labels = np.array([0, 0, 0, 1] + [0, 0, 0, 1, 1])
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0, abs=1e-12)
    # A bin that is sure and always wrong is off by all its confidence, here a half of the examples.
    wrong = np.concatenate([probabilities[:4], sure([0.95] * 4)])
    assert expected_calibration_error(wrong, np.array([0, 0, 0, 1] + [1] * 4)) == pytest.approx(0.95 / 2)


def test_a_bin_has_what_lies_above_its_lower_edge_up_to_its_upper_one():
    found = reliability(sure([0.5, 0.55, 0.6, 1.0]), np.array([0, 1, 0, 0]), bins=10)
    assert found.counts.tolist() == [0, 0, 0, 0, 1, 2, 0, 0, 0, 1]
    assert found.accuracy[5] == 0.5 and found.confidence[5] == pytest.approx(0.575) and np.isnan(found.accuracy[0])
    assert found.mean_accuracy == 0.75 and found.mean_confidence == pytest.approx(0.6625)


def test_the_temperature_that_was_multiplied_in_is_found_again():
    draw = np.random.default_rng(3)
    logits = draw.normal(size=(4_000, 5)) * 2
    labels = np.array([draw.choice(5, p=one) for one in softmax(logits)])
    own = fit_temperature(logits, labels)
    assert own == pytest.approx(1, abs=0.1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * own, rel=1e-6)
    # Where every answer is right, no temperature is too cold.
    assert fit_temperature(logits, logits.argmax(axis=1)) == pytest.approx(1e-3)
