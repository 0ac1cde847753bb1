"""Which detection is of which object: the rules of Pascal VOC and of COCO, for one class in one image."""

from __future__ import annotations

from typing import Literal

import numpy as np

Matching = Literal["voc", "coco"]

# What a detection is: of no object, or of one that another detection has; of an object; of one that does not count.
MISS, HIT, LEFT_OUT = 0, 1, 2


def voc_matches(boxes: np.ndarray, objects: np.ndarray, left_out: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """VOC's rule: a detection is of the object that it overlaps most, whether another detection has that one or not.

    The first detection of an object is right, every later one is wrong. A detection of an object that does not count is
    neither.

    Args:
        boxes: corners of detections, `[detections, 4]`, the surest first.
        objects: corners of objects, `[objects, 4]`.
        left_out: which objects do not count, bool `[objects]`.
        thresholds: the least intersection over union, `[thresholds]`.

    Returns:
        `MISS`, `HIT` or `LEFT_OUT`, uint8 `[detections, thresholds]`.

    Source: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, Section 4.2.
    """
    marks = np.full((len(boxes), len(thresholds)), MISS, np.uint8)
    if not len(objects):
        return marks
    overlaps = intersection_over_union(boxes, objects)
    nearest = overlaps.argmax(axis=1)
    for place, threshold in enumerate(thresholds):
        near = np.flatnonzero(overlaps.max(axis=1) >= threshold)
        marks[near[left_out[nearest[near]]], place] = LEFT_OUT
        counted = near[~left_out[nearest[near]]]
        _, first = np.unique(nearest[counted], return_index=True)
        marks[counted[first], place] = HIT
    return marks


def coco_matches(boxes: np.ndarray, objects: np.ndarray, left_out: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """COCO's rule: of the objects that no surer detection has, a detection is of the one that it overlaps most.

    Where it is of none, an object that does not count, a crowd, may take it: as many as there are, each by the share
    of the detection that lies in the crowd.

    Args and Returns: as of `voc_matches`.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and its evaluation server.
    """
    counted, crowds = objects[~left_out], objects[left_out]
    marks = np.full((len(boxes), len(thresholds)), MISS, np.uint8)
    if len(crowds):
        marks[intersection_over_union(boxes, crowds, "first").max(axis=1)[:, None] >= thresholds] = LEFT_OUT
    if not len(counted):
        return marks
    overlaps = intersection_over_union(boxes, counted)
    is_free = np.ones((len(thresholds), len(counted)), bool)
    for detection in np.flatnonzero(overlaps.max(axis=1) >= thresholds.min()):
        near = is_free & (overlaps[detection] >= thresholds[:, None])
        taken = np.where(near, overlaps[detection], -1.0).argmax(axis=1)
        hit = near.any(axis=1)
        is_free[hit, taken[hit]] = False
        marks[detection, hit] = HIT
    return marks


MATCHINGS = {"voc": voc_matches, "coco": coco_matches}


def intersection_over_union(
    first: np.ndarray, second: np.ndarray, over: Literal["union", "first"] = "union"
) -> np.ndarray:
    """Intersection over union of every box with every other, in float64.

    Args:
        first: corners, `[m, 4]`: the lower ones of both axes, then the upper ones.
        second: corners, `[n, 4]`.
        over: "union", or "first", for the share of the first box that lies in the second.

    Returns:
        `[m, n]`, 0 to 1; 0 where a box has no area.
    """
    lower = np.maximum(first[:, None, :2], second[None, :, :2])
    upper = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(upper - lower, 0.0).prod(axis=-1)
    areas = [np.maximum(one[:, 2:] - one[:, :2], 0.0).prod(axis=-1) for one in (first, second)]
    whole = areas[0][:, None] + areas[1] - shared if over == "union" else areas[0][:, None]
    return np.divide(shared, whole, out=np.zeros_like(shared), where=(whole > 0))
