"""Average precision of detections: Pascal VOC's and COCO's rules, image by image.

    scores = AveragePrecision(classes=20)
    for image in images:
        scores.add(image.boxes, image.scores, image.labels, image.true_boxes, image.true_labels, image.difficult)
    scores.mean("11-point")

It needs NumPy alone, and computes in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tfdistill.bounds import ArgumentError, choose
from tfdistill.tasks.detection_matches import LEFT_OUT, MATCHINGS, MISS, Matching

Rule = Literal["11-point", "area", "101-point"]

COCO_THRESHOLDS = tuple(k / 100 for k in range(50, 100, 5))


class AveragePrecision:
    """Collects which detections are right, and gives the average precision of each class.

    Of an image nothing is kept but a score, a class and a mark for each of its detections: 13 bytes with one threshold,
    22 with ten. So 5,000 images with 200 detections each take 13 MB.

    Args:
        classes: how many there are.
        thresholds: the least intersection over union of a detection and its object, each above 0 and at most 1.
        matching: who decides which object a detection is of, see `detection_matches`: "voc" or "coco".
        most: how many detections of a class and an image count, those of the highest scores; all if None. COCO's
            rule is 100.

    Raises:
        ArgumentError: an argument is outside of its range.

    Source: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, Section 4.2; Lin et al.,
    "Microsoft COCO: Common Objects in Context", ECCV 2014, and its evaluation server.
    """

    def __init__(
        self,
        classes: int,
        thresholds: Sequence[float] = (0.5,),
        matching: Matching = "voc",
        most: int | None = None,
    ) -> None:
        if classes < 1:
            raise ArgumentError("classes", f"must be 1 or more, not {classes}")
        if not len(thresholds) or not all(0 < one <= 1 for one in thresholds):
            raise ArgumentError("thresholds", f"must be numbers above 0 and at most 1, not {list(thresholds)}")
        if most is not None and most < 1:
            raise ArgumentError("most", f"must be 1 or more, not {most}")
        self.classes, self.thresholds, self.most = classes, np.asarray(thresholds, np.float64), most
        self.images = 0
        self.objects = np.zeros(classes, np.int64)
        self._match = choose("matching", matching, MATCHINGS)
        self._scores: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._marks: list[np.ndarray] = []

    @classmethod
    def coco(cls, classes: int) -> AveragePrecision:
        """COCO's AP@[.5:.95]: ten thresholds, its matching, 100 detections an image; ask for "101-point"."""
        return cls(classes, COCO_THRESHOLDS, "coco", most=100)

    def add(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        true_boxes: np.ndarray,
        true_labels: np.ndarray,
        difficult: np.ndarray | None = None,
    ) -> None:
        """Adds an image.

        Args:
            boxes: of its detections, `[detections, 4]`: the two corners, in either order of the axes, such as (top,
                left, bottom, right). Pixels or shares of the image, continuous: a box is as wide as its corners are
                apart.
            scores: of these, `[detections]`, higher is surer.
            labels: their classes, `[detections]`; what has -1 is padding.
            true_boxes: of its objects, `[objects, 4]`, as `boxes`.
            true_labels: their classes, `[objects]`; what has -1 is padding.
            difficult: which objects neither count nor harm, `[objects]`: VOC's difficult ones, COCO's crowds. None if
                not given.

        Raises:
            ArgumentError: shapes do not belong together, a class is none, or a score or box is no number; nothing was
                added.
        """
        boxes, labels = self._boxes_of("boxes", boxes, "labels", labels)
        true_boxes, true_labels = self._boxes_of("true_boxes", true_boxes, "true_labels", true_labels)
        scores = np.asarray(scores, np.float64)
        _require_length("scores", scores, labels)
        left_out = np.zeros(len(true_labels), bool) if difficult is None else np.asarray(difficult).astype(bool)
        _require_length("difficult", left_out, true_labels)
        if not np.isfinite(scores[labels >= 0]).all():
            raise ArgumentError("scores", "must be finite")
        self.images += 1
        for label in np.unique(np.concatenate([labels, true_labels])):
            if label >= 0:
                found, there = labels == label, true_labels == label
                self._add_class(label, boxes[found], scores[found], true_boxes[there], left_out[there])

    def _add_class(
        self, label: int, boxes: np.ndarray, scores: np.ndarray, objects: np.ndarray, left_out: np.ndarray
    ) -> None:
        self.objects[label] += np.count_nonzero(~left_out)
        order = np.argsort(-scores, kind="stable")[: self.most]
        if len(order):
            self._scores.append(scores[order])
            self._labels.append(np.full(len(order), label, np.int32))
            self._marks.append(self._match(boxes[order], objects, left_out, self.thresholds))

    def average_precision(self, rule: Rule = "11-point") -> np.ndarray:
        """The average precision of each class at each threshold.

        Precision at a recall is the highest that is reached at this recall or a higher one. "11-point" is its mean at
        the recalls 0, 0.1, ..., 1 (VOC until 2009, the rule for VOC07), "area" the area below it (VOC from 2010 on),
        "101-point" its mean at 0, 0.01, ..., 1 (COCO).

        Args:
            rule: one of them.

        Returns:
            float64 `[thresholds, classes]`; NaN for a class without objects that count.
        """
        average = choose("rule", rule, RULES)
        scores, labels = _joined(self._scores, np.float64), _joined(self._labels, np.int32)
        marks = np.concatenate(self._marks) if self._marks else np.zeros((0, len(self.thresholds)), np.uint8)
        found = np.full((len(self.thresholds), self.classes), np.nan)
        for label in np.flatnonzero(self.objects):
            chosen = np.flatnonzero(labels == label)
            chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
            for place, column in enumerate(marks[chosen].T):
                counted = column[column != LEFT_OUT] != MISS
                found[place, label] = average(np.cumsum(counted), int(self.objects[label]))
        return found

    def mean(self, rule: Rule = "11-point") -> float:
        """mAP: the mean over thresholds and over the classes that have objects; NaN where none has."""
        found = self.average_precision(rule)[:, self.objects > 0]
        return float(found.mean()) if found.size else float("nan")

    def _boxes_of(self, name: str, boxes: np.ndarray, of: str, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.asarray(labels)
        boxes = np.asarray(boxes, np.float64).reshape([-1, 4] if np.size(boxes) == 0 else np.shape(boxes))
        if labels.ndim != 1 or boxes.shape != (len(labels), 4):
            raise ArgumentError(name, f"must be [count, 4] beside {of} [count], not {boxes.shape} and {labels.shape}")
        if labels.size and (labels.min() < -1 or labels.max() >= self.classes):
            wrong = labels[(labels < -1) | (labels >= self.classes)][0]
            raise ArgumentError(of, f"must be classes from 0 to {self.classes - 1}, or -1 for padding, not {wrong}")
        if not np.isfinite(boxes[labels >= 0]).all():
            raise ArgumentError(name, "must be finite")
        return boxes, labels.astype(np.int64)


def _eleven_points(hits: np.ndarray, objects: int) -> float:
    """`hits`: how many of the first k detections are right, `[detections]`."""
    precision = hits / np.arange(1, len(hits) + 1)
    # In whole numbers: 3 of 10 hits reach the recall of 0.3, which no sum of rounded tenths can say.
    reached = [precision[10 * hits >= tenths * objects] for tenths in range(11)]
    return sum(one.max() for one in reached if len(one)) / 11


def _area(hits: np.ndarray, objects: int) -> float:
    gained = np.diff(hits, prepend=0) > 0
    return float(_envelope(hits)[gained].sum() / objects)


def _hundred_and_one_points(hits: np.ndarray, objects: int) -> float:
    # Recalls and points rounded as pycocotools rounds them: which one a recall of 0.35 reaches depends on it.
    places = np.searchsorted(hits / objects, np.linspace(0.0, 1.0, 101), side="left")
    return float(_envelope(hits)[places[places < len(hits)]].sum() / 101)


def _envelope(hits: np.ndarray) -> np.ndarray:
    """The highest precision at each detection and those after it."""
    precision = hits / np.arange(1, len(hits) + 1)
    return np.maximum.accumulate(precision[::-1])[::-1]


RULES = {"11-point": _eleven_points, "area": _area, "101-point": _hundred_and_one_points}


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def _require_length(name: str, values: np.ndarray, labels: np.ndarray) -> None:
    if values.shape != labels.shape:
        raise ArgumentError(name, f"must be one for each label, {labels.shape}, not {values.shape}")
