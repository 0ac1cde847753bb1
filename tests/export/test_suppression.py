"""The proof that objects are those that suppression leaves: it passes what is right or rounded, and nothing else."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import boxes
from tfdistill.export.suppression import Candidates, compared_objects

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def crowd():
    """Three images with 60 boxes that often overlap; half the scores of two classes come several times."""
    generator = np.random.default_rng(7)
    default = np.concatenate([generator.uniform(0, 1, [60, 2]), generator.uniform(0.1, 0.5, [60, 2])], -1)
    logits = generator.normal(0, 2, [3, 60, 3]).astype(np.float32)
    logits[:, ::2] = np.round(logits[:, ::2])
    return np.tile(default.astype(np.float32), [3, 1, 1]), logits


def asked(crowd, least_score=0.05, most=150, moved=0.0, **further):
    """Candidates, and the objects that a program finds whose logits are rounded otherwise."""
    default, logits = crowd
    scores = tf.nn.softmax(logits).numpy()[..., 1:]
    corners = boxes.corners(tf.constant(default)).numpy()
    noise = np.random.default_rng(8).uniform(-moved, moved, logits.shape).astype(np.float32)
    settings = {"least_score": least_score, "overlap": 0.45, "most": most}
    found = boxes.detections(tf.zeros([3, 60, 4]), logits + noise, default, **settings, **further)
    return Candidates(corners, scores, **settings), {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("settings", [{}, {"most": 7}, {"least_score": 0.5}, {"least_score": 1.0}])
@pytest.mark.parametrize("moved", [0.0, TOLERANCE / 2])
def test_what_is_found_is_right_whichever_way_ties_are_decided(crowd, settings, moved):
    differences, is_right = compared_objects(*asked(crowd, moved=moved, **settings), TOLERANCE)
    assert is_right and max(differences.values()) < TOLERANCE


def test_what_is_not_among_the_surest_of_its_class_is_not_asked_for(crowd, monkeypatch):
    candidates, found = asked(crowd, candidates=20)
    assert not compared_objects(candidates, found, TOLERANCE)[1]
    monkeypatch.setattr(boxes, "CANDIDATES", 20)
    assert compared_objects(candidates, found, TOLERANCE)[1]
    found["count"][0] -= 1
    for name, nothing in (("boxes", 0), ("scores", 0), ("classes", -1)):
        found[name][0, found["count"][0] :] = nothing
    assert not compared_objects(candidates, found, TOLERANCE)[1], "the last one is missing"


def test_a_tie_may_be_decided_either_way(crowd):
    candidates, found = asked(crowd)
    image, first = next(
        (image, place)
        for image in range(3)
        for place in range(found["count"][image] - 1)
        if found["scores"][image, place] == found["scores"][image, place + 1]
    )
    for values in (found["boxes"], found["classes"]):
        values[image, [first, first + 1]] = values[image, [first + 1, first]]
    assert compared_objects(candidates, found, TOLERANCE)[1]


def left_out(found):
    for name, nothing in (("boxes", 0), ("scores", 0), ("classes", -1)):
        found[name][1, :-1] = np.delete(found[name][1], 1, axis=0)
        found[name][1, -1] = nothing
    found["count"][1] -= 1


def said_twice(found):
    for name in ("boxes", "scores", "classes"):
        found[name][1, 3:] = found[name][1, 2:-1]
    found["count"][1] += 1


def none_at_all(found):
    found["boxes"][2], found["scores"][2], found["classes"][2], found["count"][2] = 0, 0, -1, 0


def changed(name, image, place, value):
    def change(found):
        found[name][image, place] = value

    return change


@pytest.mark.parametrize(
    "wrong",
    [
        *(left_out, said_twice, none_at_all),
        *(changed("classes", 0, 0, 2), changed("classes", 0, 0, -1), changed("scores", 0, -1, 0.01)),
        changed("boxes", 1, -1, 0.5),
    ],
)
def test_what_is_left_out_said_twice_or_no_padding_is_seen(crowd, wrong):
    candidates, found = asked(crowd)
    assert found["count"].max() < 150
    wrong(found)
    assert not compared_objects(candidates, found, TOLERANCE)[1]


def test_what_is_not_suppressed_is_seen(crowd):
    candidates, _ = asked(crowd)
    _, found = asked(crowd)
    less = dataclasses.replace(candidates, overlap=0.3)
    assert not compared_objects(less, found, TOLERANCE)[1]
    more = dataclasses.replace(candidates, overlap=0.6)
    assert not compared_objects(more, found, TOLERANCE)[1]


def test_a_box_and_a_score_that_no_candidate_has_are_told_by_how_far_they_are(crowd):
    candidates, found = asked(crowd)
    found["boxes"][0, 0] += 1e-3
    found["scores"][1, 0] += 2e-3
    differences, _ = compared_objects(candidates, found, TOLERANCE)
    assert differences["boxes"] == pytest.approx(1e-3, rel=0.01)
    assert differences["scores"] == pytest.approx(2e-3, rel=0.01)
