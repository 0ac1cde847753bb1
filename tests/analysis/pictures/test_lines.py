"""Lines of curves, read from the artists."""

import numpy as np
import pytest

from tfdistill.analysis.pictures.lines import over_epochs
from tfdistill.tables.pictures.canvas import publishable


@pytest.mark.parametrize(
    ("divergences", "scale"), [((0.5, 0.01), "log"), ((0.5, 0.2), "linear"), ((0.5, 0.0), "linear")]
)
def test_divergences_of_several_sizes_stand_on_a_scale_of_powers_of_ten(divergences, scale):
    rows = [
        {"first": "run:a", "second": "run:b", "epoch": epoch, "equal": 0.5, "divergence": one, "divergence_back": one}
        for epoch, one in enumerate(divergences, 1)
    ]
    with publishable():
        accuracy, equal, divergence = over_epochs({"run:a": ([1, 2], np.array([[0.1], [0.2]]))}, rows).axes
    assert divergence.get_yscale() == scale and accuracy.get_yscale() == equal.get_yscale() == "linear"
    low, high = divergence.get_ylim()
    assert (low > 0 if scale == "log" else low == 0) and low <= min(divergences) < max(divergences) <= high
