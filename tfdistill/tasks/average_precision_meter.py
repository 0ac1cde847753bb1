"""Mean average precision as a metric of Keras: sums in bounded memory, which replicas add up."""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf

from tfdistill.tasks.detection_matches import HIT, LEFT_OUT

Rule = Literal["11-point", "area"]

# Bits of a score that are kept of its fraction: scores that differ by less than 0.05 % are a tie.
BITS = 11
# 2 ** -7 and 1 as float32 has them: the least score that has a place of its own, and the largest.
LEAST, LARGEST = 0x3C000000, 0x3F800000
PLACES = ((LARGEST - LEAST) >> (23 - BITS)) + 1
# In the place of an object's score.
OBJECT = -1.0


class MeanAveragePrecision(keras.metrics.Metric):
    """VOC's mean average precision over all examples of all replicas: how many hits and misses there are at each score.

    Memory is bounded by classes, whatever the number of images: 2.3 MB for 20. Detections of one score count together,
    and scores are rounded to 11 bits; else it is `AveragePrecision.mean`.

    Args:
        classes: how many there are.
        rule: "11-point" or "area", see `AveragePrecision.average_precision`.
        name: the metric's.
    """

    def __init__(self, classes: int, rule: Rule, name: str) -> None:
        super().__init__(name=name)
        self.classes, self.rule = classes, rule
        self.detections = self.add_variable((2, classes, PLACES), "zeros", name="detections")
        self.objects = self.add_variable((classes,), "zeros", name="objects")

    def update_state(self, rows: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Adds images.

        Args:
            rows: float32 [batch, rows, 3]. A detection is its score, class and mark (`detection_matches`), an object
                `OBJECT`, its class, and 1 if it counts. What has class -1 is padding.
            sample_weight: [batch]; images of weight 0 are left out. None for no image.
        """
        score, label, mark = tf.unstack(tf.cast(rows, tf.float32), axis=-1)
        counts = label >= 0
        if sample_weight is not None:
            counts &= tf.cast(sample_weight, tf.float32)[:, None] != 0
        is_object, is_hit = score == OBJECT, mark == HIT
        is_detection = counts & ~is_object & (mark != LEFT_OUT)
        label = tf.maximum(tf.cast(label, tf.int32), 0)
        place = tf.bitwise.right_shift(tf.clip_by_value(tf.bitcast(score, tf.int32), LEAST, LARGEST) - LEAST, 23 - BITS)
        size = self.classes * PLACES
        added = [
            tf.reshape(_counted(label * PLACES + place, chosen, size), [self.classes, PLACES])
            for chosen in (is_detection & is_hit, is_detection & ~is_hit)
        ]
        self.detections.assign_add(tf.stack(added))
        self.objects.assign_add(_counted(label, counts & is_object & (mark == 1), self.classes))

    def by_class(self) -> tf.Tensor:
        """Average precision of each class, see `average_precisions`."""
        return average_precisions(tf.convert_to_tensor(self.detections), tf.convert_to_tensor(self.objects), self.rule)

    def result(self) -> tf.Tensor:
        """The mean over the classes that have objects; NaN where none has."""
        found = self.by_class()
        there = ~tf.math.is_nan(found)
        return tf.reduce_sum(tf.where(there, found, 0.0)) / tf.reduce_sum(tf.cast(there, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "rule": self.rule}


def average_precisions(detections: tf.Tensor, objects: tf.Tensor, rule: Rule) -> tf.Tensor:
    """Average precision of each class from what `MeanAveragePrecision` counts.

    Args:
        detections: how many hits and misses there are at each score, the lowest first, float32 [2, classes, places].
        objects: how many count, float32 [classes].
        rule: "11-point" or "area".

    Returns:
        float32 [classes]; NaN for a class without objects that count.
    """
    # The surest first.
    hits, misses = tf.unstack(tf.cumsum(detections, axis=-1, reverse=True)[..., ::-1])
    precision = tf.math.divide_no_nan(hits, hits + misses)
    average = _eleven_points if rule == "11-point" else _area
    return tf.where(objects > 0, average(hits, precision, objects[:, None]), float("nan"))


def _counted(places: tf.Tensor, chosen: tf.Tensor, size: int) -> tf.Tensor:
    values = tf.reshape(tf.cast(chosen, tf.float32), [-1])
    return tf.math.unsorted_segment_sum(values, tf.reshape(places, [-1]), size)


def _eleven_points(hits: tf.Tensor, precision: tf.Tensor, objects: tf.Tensor) -> tf.Tensor:
    # In whole numbers, as in `AveragePrecision`.
    reached = [tf.where(10.0 * hits >= tenths * objects, precision, 0.0) for tenths in range(11)]
    return tf.add_n([tf.reduce_max(one, axis=-1) for one in reached]) / 11.0


def _area(hits: tf.Tensor, precision: tf.Tensor, objects: tf.Tensor) -> tf.Tensor:
    gained = hits - tf.concat([tf.zeros_like(hits[:, :1]), hits[:, :-1]], axis=-1)
    return tf.reduce_sum(gained * _envelope(precision), axis=-1) / objects[:, 0]


def _envelope(precision: tf.Tensor) -> tf.Tensor:
    """The highest precision at each place and those after it: doubling steps, as no operation accumulates maxima."""
    step = 1
    while step < PLACES:
        precision = tf.maximum(precision, tf.pad(precision[:, step:], [[0, 0], [0, step]]))
        step *= 2
    return precision
