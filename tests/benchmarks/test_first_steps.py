"""How far FFL's first steps turn the fusion module's depthwise kernel, and that the script measures it right."""

import importlib
import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def first_steps():
    return importlib.import_module("first_steps")


def test_angles_and_distances(first_steps):
    one, other = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 2.0], [0.0, 0.0]])
    assert first_steps.angle(one, other) == pytest.approx(45)
    assert first_steps.angle(one, 7 * one) == pytest.approx(0, abs=1e-5)
    assert first_steps.apart(one, other, 0 * one) == pytest.approx(np.sqrt(5 / 8))


@pytest.mark.parametrize(("kernel_std", "least", "most"), [(0.0, 5.0, 90.0), (np.sqrt(2 / 9), 0.0, 0.5)])
def test_the_kernel_turns_from_where_the_authors_start_it(first_steps, tmp_path, kernel_std, least, most):
    """Eleven times as large, as one channel's fan would have it, it is all but frozen."""
    rng = np.random.default_rng(0)
    batches = {
        "images": rng.normal(size=(6, 16, 8, 8, 3)).astype(np.float32),
        "labels": rng.integers(0, 10, (6, 16)).astype(np.int32),
    }
    kernels = first_steps.train("resnet8", batches, tmp_path, kernel_std)
    assert kernels.shape == (7, 3, 3, 128, 1)
    assert kernels[0].std() == pytest.approx(kernel_std or np.sqrt(2 / (9 * 128)), rel=0.1)
    assert least < first_steps.angle(kernels[-1], kernels[0]) < most
    case = json.loads((tmp_path / "case.json").read_text())
    assert [case["recipe"][group]["weight_decay"] for group in ("networks", "fusion")] == [1e-4, 1e-5]
    assert all(case["recipe"][group]["nesterov"] for group in ("networks", "fusion"))
