"""What is compared of an exported detector: its numbers beside the largest of their kind."""

import numpy as np
import pytest

from tfdistill.export.detections import Detections


def test_an_offset_is_rounded_as_the_largest_ones_are():
    """A small offset is a difference of large sums; a wrong one is a fault all the same."""
    generator = np.random.default_rng(3)
    taps = {
        "offsets": generator.normal(0, 2, [1, 40, 4]).astype("float32"),
        "class_logits": generator.normal(0, 2, [1, 40, 4]).astype("float32"),
        "default_boxes": generator.uniform(0.2, 0.6, [1, 40, 4]).astype("float32"),
    }
    taps["offsets"][0, 0] = 8.0, 0.01, 0.01, 0.01
    answer, sizes = Detections(), np.array([[300, 300]])
    found = {name: value.numpy() for name, value in answer.outputs(taps, (300, 300, 3)).items()}

    def difference(by):
        moved = taps["offsets"].copy()
        moved[0, 0, 1] += by
        compared = answer.compared(taps, {**found, "offsets": moved}, sizes, 1e-5)
        assert compared.fault is None
        return compared.differences["offsets"]

    # A score that is off by as much of the largest number is rounding, too; a larger difference is seen.
    for by, is_seen in ((4e-5, False), (4e-4, True)):
        off = {**found, "scores": found["scores"] - np.float32(by) * (found["scores"] > 0.02)}
        compared = answer.compared(taps, off, sizes, 1e-5)
        assert (compared.fault is not None or compared.differences["scores"] > 1e-5) == is_seen
    assert difference(4e-5) == pytest.approx(5e-6, rel=1e-2)
    assert difference(0.08) == pytest.approx(0.01, rel=1e-3)
