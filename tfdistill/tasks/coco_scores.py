"""COCO's average precision of a detector, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdistill.losses.detection import CLASS, DIFFICULT
from tfdistill.taps import Batch, Taps
from tfdistill.tasks.average_precision import AveragePrecision

COCO_SCORES = ("coco_average_precision", "coco_average_precision_50")


class CocoScores:
    """COCO's AP@[.5:.95] and AP at 0.5, over all images that are added; it keeps every score, see `AveragePrecision`.

    Args:
        classes: how many there are.
        detect: from a detector's taps to its detections, as `boxes.detections` gives them.
    """

    def __init__(self, classes: int, detect: Callable[[Taps], Mapping[str, tf.Tensor]]) -> None:
        self._counted, self._detect = AveragePrecision.coco(classes), detect

    def add(self, batch: Batch, taps: Taps) -> None:
        """Adds the images of a batch; those of weight 0 are left out."""
        labels = np.asarray(batch["labels"])
        found = {name: np.asarray(value) for name, value in self._detect(taps).items()}
        weight = np.asarray(batch["weight"]) if "weight" in batch else np.ones(len(labels))
        for place in np.flatnonzero(weight):
            count, objects = found["count"][place], labels[place]
            self._counted.add(
                found["boxes"][place][:count],
                found["scores"][place][:count],
                found["classes"][place][:count],
                objects[:, :CLASS],
                objects[:, CLASS].astype(np.int64),
                objects[:, DIFFICULT],
            )

    def scores(self) -> dict[str, float]:
        """Both, by the names in `COCO_SCORES`; NaN where no class has objects."""
        found = self._counted.average_precision("101-point")[:, self._counted.objects > 0]
        means = (found.mean(), found[0].mean()) if found.size else (float("nan"),) * 2
        return dict(zip(COCO_SCORES, map(float, means), strict=True))
