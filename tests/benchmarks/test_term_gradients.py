"""How hard terms pull at a student: the ratio and the cosine are those of the gradients, and nothing moves."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

import tfdistill


@pytest.fixture(scope="module")
def term_gradients():
    return importlib.import_module("term_gradients")


def test_ratio_and_cosine(term_gradients):
    labels = [np.array([1.0, 0.0]), np.array([0.0, 2.0])]
    ratio, cosine = term_gradients.beside([np.array([0.0, 3.0]), np.array([0.0, 6.0])], labels)
    assert (ratio, cosine) == pytest.approx((3.0, 0.5))


def test_a_weighted_term_is_beside_the_labels_what_its_weight_says(term_gradients, tiny_network):
    """The preparation is passed over, and the batch's statistics leave no trace."""
    student, teacher = (tiny_network(name, seed=seed) for seed, name in enumerate(("student", "teacher")))
    transfers = [tfdistill.AB(preparation_epochs=1), tfdistill.KD(temperature=3.0)]
    distiller = tfdistill.Distillation(student, teacher, transfers, label_weight=3.0)
    distiller.compile()
    distiller.prepare(steps_per_epoch=1, epochs=2)
    before = [np.asarray(variable) for variable in student.variables]
    draw = np.random.default_rng(0)
    images, labels = draw.normal(size=(8, 8, 8, 3)).astype(np.float32), draw.integers(0, 4, 8).astype(np.int32)
    batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
    lines = term_gradients.report(term_gradients.Pulls(distiller), [batch, batch])
    rows = {line.split()[0]: [float(one) for one in line.split()[1:]] for line in lines[1:-1]}
    assert list(rows) == ["labels", "cross_entropy", "ab", "kd"]
    assert rows["labels"][1:] == [1.0, 1.0]
    assert rows["cross_entropy"] == pytest.approx([3 * rows["labels"][0], 3.0, 1.0], abs=1e-3)
    # KD at one temperature, with and without its square.
    assert rows["kd"][1] == pytest.approx(9 * rows["ab"][1], rel=2e-2)
    assert 0 < rows["kd"][2] == rows["ab"][2] < 1
    assert lines[-1].startswith("kernels: root mean square of 2 norms ")
    assert all(np.array_equal(was, variable) for was, variable in zip(before, student.variables, strict=True))
