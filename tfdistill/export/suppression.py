"""Are these the objects that non-maximum suppression leaves? Asked so that rounding may decide ties either way.

Two programs that differ in the last bit may order two objects of nearly one score otherwise, and keep another one of
two boxes whose overlap is nearly the limit. So objects are not compared place by place. What suppression leaves is the
one set of boxes of a class in which no two overlap too much, and every box that is not in it overlaps a surer one that
is. That is what is looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdistill import boxes

# An intersection over union moves by a few times what an offset moves by, which boxes are made of.
OVERLAP_ROUNDING = 10


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a detector says of images, before suppression.

    Attributes:
        corners: in shares of the image, not cut at it, float32 [batch, boxes, 4].
        scores: float32 [batch, boxes, classes].
        least_score: of an object.
        overlap: the largest intersection over union.
        most: how many objects an image may have.
    """

    corners: np.ndarray
    scores: np.ndarray
    least_score: float
    overlap: float
    most: int


def compared_objects(
    candidates: Candidates, found: Mapping[str, np.ndarray], tolerance: float
) -> tuple[dict[str, float], bool]:
    """Compares objects with what they should have been chosen from.

    Args:
        candidates: of the live network.
        found: boxes (in shares of the image, cut at it), scores, classes and count, [batch, ...].
        tolerance: up to which scores, and boxes in shares of the image, differ by rounding.

    Returns:
        the largest difference of an object's box and score to the nearest candidate's, by "boxes" and "scores"; and
        whether the objects are those that suppression leaves.
    """
    differences, is_right = {"boxes": 0.0, "scores": 0.0}, True
    for image, count in enumerate(found["count"]):
        box, score, label = (found[name][image] for name in ("boxes", "scores", "classes"))
        is_right &= not box[count:].any() and not score[count:].any() and bool((label[count:] == -1).all())
        box, score, label = box[:count], score[:count], label[:count]
        is_right &= bool((np.diff(score) <= 0).all() and (score >= np.float32(candidates.least_score)).all())
        is_right &= bool(((label >= 0) & (label < candidates.scores.shape[-1])).all())
        # Below the last one of as many as there may be, what is left out needs no surer one.
        cut = score[-1] if count == candidates.most else candidates.least_score
        for number in range(candidates.scores.shape[-1]):
            chosen = label == number
            own = candidates.scores[image, :, number]
            near = own > candidates.least_score - tolerance
            # Nor is an answer needed for what is not among the surest boxes of its class, which alone are compared.
            surer = len(own) - 1 - boxes.CANDIDATES
            own_cut = max(cut, np.partition(own, surer)[surer]) if surer >= 0 else cut
            nearest, is_whole = _of_class(
                (box[chosen], score[chosen]),
                (candidates.corners[image, near], own[near]),
                own_cut,
                candidates.overlap,
                tolerance,
            )
            differences = {name: max(value, nearest[name]) for name, value in differences.items()}
            is_right &= is_whole
    return differences, is_right


def _of_class(
    found: tuple[np.ndarray, np.ndarray],
    candidates: tuple[np.ndarray, np.ndarray],
    cut: float,
    overlap: float,
    tolerance: float,
) -> tuple[dict[str, float], bool]:
    """The same of one image and one class: boxes and scores of what was found, and of what it was chosen from."""
    box, score = found
    corners, own = candidates
    if not len(score) or not len(own):
        lost = np.inf if len(score) else 0.0
        return {"boxes": lost, "scores": lost}, not (own > cut + tolerance).any()
    of_boxes = np.abs(box[:, None] - np.clip(corners, 0, 1)).max(axis=-1)
    of_scores = np.abs(score[:, None] - own)
    distance = np.maximum(of_boxes, of_scores)
    rows, nearest = np.arange(len(score)), distance.argmin(axis=1)
    differences = {"boxes": float(of_boxes[rows, nearest].max()), "scores": float(of_scores[rows, nearest].max())}
    # Which candidates an object may be: one, but for ties.
    is_it = distance < tolerance
    involved = is_it.any(axis=0)
    overlaps = boxes.intersection_over_union(tf.constant(corners), tf.constant(corners[involved])).numpy()
    may_be, rounding = is_it[:, involved].astype(np.float32), OVERLAP_ROUNDING * tolerance
    suppresses = ((overlaps >= overlap - rounding) @ may_be.T > 0) & (score >= own[:, None] - tolerance)
    is_answered = involved | suppresses.any(axis=1) | (own <= cut + tolerance)
    apart = may_be @ (overlaps[involved] <= overlap + rounding).astype(np.float32) @ may_be.T > 0
    return differences, bool(is_answered.all() and (apart | np.eye(len(score), dtype=bool)).all())
