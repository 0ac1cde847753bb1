"""Representations compared: distances of maps, CKA, projections and logits in cases whose answer is known."""

import numpy as np
import pytest

from tfdistill import losses
from tfdistill.analysis import cka
from tfdistill.analysis.cka import linear_cka, normalized
from tfdistill.analysis.feature_distance import feature_distances
from tfdistill.analysis.logits import density, top_logit_distance
from tfdistill.analysis.projection import project


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def rotation(size, draw):
    return np.linalg.qr(draw.normal(size=(size, size)))[0]


@pytest.mark.parametrize("length", [6, 90], ids=["features", "gram"])
def test_cka_sees_no_rotation_scale_or_shift(length, draw):
    features = draw.normal(size=(40, length))
    assert linear_cka(features, features) == pytest.approx(1, abs=1e-12)
    assert linear_cka(features, 3 * features @ rotation(length, draw) + 5) == pytest.approx(1, abs=1e-12)
    assert linear_cka(features, np.ones((40, 3))) == 0
    other = draw.normal(size=(40, 7)) + features[:, :1]
    expected = losses.linear_cka(features.astype("float32"), other.astype("float32"))[0]
    assert linear_cka(features, other) == pytest.approx(float(expected), abs=1e-5)
    assert 0 < linear_cka(features, other) < 0.9


@pytest.mark.parametrize("length", [6, 90], ids=["features", "gram"])
def test_cka_in_blocks_is_that_of_whole_matrices(length, draw, monkeypatch):
    one, other = draw.normal(size=(40, 3, length // 3)), draw.normal(size=(40, 11))
    whole = linear_cka(one, other)
    monkeypatch.setattr(cka, "BLOCK", 7)
    assert linear_cka(one, other) == pytest.approx(whole, rel=1e-12)
    x, y = (values.reshape(40, -1) - values.reshape(40, -1).mean(axis=0) for values in (one, other))
    norms = [np.linalg.norm(a.T @ b) for a, b in ((x, y), (x, x), (y, y))]
    assert whole == pytest.approx(norms[0] ** 2 / (norms[1] * norms[2]))
    assert normalized(np.array([[4.0, 0, 0], [0, 9, 3], [0, 3, 1]]))[1, 2] == 1


def test_distances_of_maps_by_hand():
    one = np.zeros((2, 1, 2, 2))
    one[0, 0] = [[1, 0], [0, 2]]
    other = np.zeros((2, 1, 2, 2))
    other[0, 0] = [[1, 0], [2, 0]]
    found = feature_distances(one, other)
    assert found["l1"].tolist() == [1, 0] and found["l2"].tolist() == [2, 0]
    # The first pixel points the same way, the second across; flattened the two maps share 1 of sqrt(5) sqrt(5).
    assert found["pixel_cosine"].tolist() == [0.5, 0] and found["cosine"] == pytest.approx([0.2, 0])
    assert feature_distances(one[:1], 3 * one[:1])["cosine"] == pytest.approx([1])
    with pytest.raises(ValueError, match="must be"):
        feature_distances(one, other[..., :1])


def test_the_projection_keeps_distances_in_the_plane_of_the_means(draw):
    corners = np.array([[0, 0, 0, 0], [3, 0, 0, 0], [1, 2, 0, 0]], float)
    turned = corners @ rotation(4, draw) + 7
    found = project(turned, np.array([8, 1, 5]), [8, 1, 5])
    assert found.points == pytest.approx(
        np.array([[0, 0], [3, 0], [1, 2]]), abs=1e-9
    ) and found.spread == pytest.approx(0)
    away = project(np.concatenate([turned, turned + 1, turned - 1]), np.array([8, 1, 5] * 3), [8, 1, 5])
    assert away.means == pytest.approx(found.points, abs=1e-9) and away.spread > 0.1
    with pytest.raises(ValueError, match="lie on one line"):
        project(corners[:, :1], np.array([0, 1, 2]), [0, 1, 2])
    with pytest.raises(ValueError, match="class 3 has no examples"):
        project(corners, np.array([0, 1, 2]), [0, 1, 3])


def test_the_lead_of_the_true_class_and_a_density():
    logits = np.array([[1.0, 4.0, 2.0], [3.0, 1.0, 0.0]])
    assert top_logit_distance(logits, np.array([1, 2])).tolist() == [2, -3]
    found = density(np.array([0.1, 0.2, 0.9, 1.0]), (0.0, 1.0), bins=4)
    assert found.tolist() == [2, 0, 0, 2] and found.sum() / 4 == 1
