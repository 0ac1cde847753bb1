"""Object detection: boxes and their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from tfdistill import boxes, losses
from tfdistill.bounds import ArgumentError
from tfdistill.losses.detection import CLASS
from tfdistill.standalone import drawing
from tfdistill.taps import Batch, Taps, with_labels
from tfdistill.tasks.average_precision_meter import OBJECT, MeanAveragePrecision, average_precisions
from tfdistill.tasks.by_class import ByClass
from tfdistill.tasks.coco_scores import COCO_SCORES, CocoScores
from tfdistill.tasks.detection_matches import HIT, LEFT_OUT, MISS
from tfdistill.tasks.objects import require_objects
from tfdistill.tasks.task import require_same_classes
from tfdistill.tasks.weights import readied_labelled, readied_weights, weighed

# A detector's answer, and how many numbers an entry has; None for one more than there are classes.
ANSWER = {"offsets": 4, "class_logits": None, "default_boxes": 4}
# What a detection is, see `boxes.detections`.
OBJECTS = ("boxes", "scores", "classes", "count")
RULES: dict[str, Literal["11-point", "area"]] = {"mean_average_precision": "11-point", "area_average_precision": "area"}

# The least score of what a picture shows: detections of a low one are many.
DRAWN = 0.3


class Detection:
    """SSD's multibox loss as the supervised loss; VOC's mean average precision as the metric.

    A batch's labels are the objects of its images, float [batch, objects, 6]: top, left, bottom and right in shares of
    the image, the class, and 1 for a difficult object. A row of class -1 is padding.
    """

    name = "detection"
    loss_name = "multibox"
    headline = "mean_average_precision"
    training_metric_names = ()
    metric_names = (*RULES, "multibox")
    rising = (*RULES, *COCO_SCORES)
    titles: ClassVar[dict[str, str]] = {
        "mean_average_precision": "mAP (11-point)",
        "area_average_precision": "mAP (area)",
        "multibox": "multibox loss",
        "coco_average_precision": "AP (COCO)",
        "coco_average_precision_50": "AP50 (COCO)",
    }
    picture_names = ("detections",)
    output = "class_logits"
    # Several detectors make none: their boxes are not the same ones.
    ensemble_name = ""

    def classes(self, network: keras.Model) -> int:
        """How many classes a detector tells apart, the background not counted."""
        return int(network.output["class_logits"].shape[-1]) - 1

    def check_outputs(self, network: keras.Model, role: str) -> None:
        """Refuses a network that does not answer as a detector; see `Task`."""
        outputs = network.output
        missing = [tap for tap in ANSWER if not isinstance(outputs, dict) or tap not in outputs]
        if missing:
            raise ArgumentError(
                role, f"{network.name} is no detector: it gives no {' and no '.join(missing)}; see networks.DETECTORS"
            )
        shapes = {tap: tuple(outputs[tap].shape) for tap in ANSWER}
        count = shapes["offsets"][1] if len(shapes["offsets"]) == 3 else None
        for tap, size in ANSWER.items():
            shape = shapes[tap]
            fits = len(shape) == 3 and shape[1] == count and (shape[2] or 0) >= 2 and size in (None, shape[2])
            if count is None or not fits:
                raise ArgumentError(
                    role, f"{network.name}: {tap} must be [batch, boxes, {size or '1 + classes'}], not {shape}"
                )

    def check_values(self, network: keras.Model, role: str) -> None:
        """Nothing is refused: what `check_outputs` lets pass are convolutions of a detector's own; see `Task`."""

    def check_alike(self, first: keras.Model, other: keras.Model, role: str, who: str) -> None:
        """Refuses detectors of different numbers of classes; their boxes may differ. See `Task`."""
        require_same_classes(self, first, other, role, who)

    def readied(self, batch: Batch, classes: int) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """The batch with its labels as float32, and in which images an object is of no class; see `Task`.

        Such an object becomes padding, so that every device computes the same.

        Raises:
            ValueError: the labels are not [batch, objects, 6].
        """
        labels = tf.convert_to_tensor(batch["labels"])
        if labels.shape.rank != 3 or labels.shape[-1] != 6:
            raise ValueError(f"labels: must be the objects of images, [batch, objects, 6], not {labels.shape}")
        labels = tf.cast(labels, tf.float32)
        wrong = _is_wrong(labels, classes)
        labels = tf.where(wrong[..., None], tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0]), labels)
        return readied_labelled(readied_weights({**batch, "labels": labels})), tf.reduce_any(wrong, axis=-1)

    def to_name(self, labels: tf.Tensor, classes: int) -> tf.Tensor:
        """The class of the first object of each image that is of none; see `Task`."""
        labels = tf.cast(labels, tf.float32)
        first = tf.argmax(tf.cast(_is_wrong(labels, classes), tf.int32), axis=-1)
        return tf.gather(labels[..., CLASS], first, batch_dims=1)

    def require_labels(self, labels: Any, classes: int, place: str) -> None:
        """Refuses what is no object; see `Task`."""
        require_objects(labels, classes, place)

    def loss(self, batch: Batch, taps: Taps) -> tf.Tensor:
        """`losses.multibox_loss` per example, `[batch]`, times its weight."""
        return weighed(batch, _multibox(with_labels(batch)["labels"], taps))

    def training_metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """Nothing: detections of a training batch cost more than its step."""
        return {}

    def metrics(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """The multibox loss, `[batch]`, and what average precision is counted from, see `MeanAveragePrecision`."""
        precision = dict.fromkeys(RULES, counted(batch["labels"], answered(taps)))
        # An export answers with objects alone, of which there is no loss.
        is_export = not set(ANSWER) <= taps.keys()
        return precision if is_export else {**precision, "multibox": _multibox(batch["labels"], taps)}

    def meter(self, metric: str, classes: int, name: str) -> keras.metrics.Metric:
        """Average precision over all examples, or the mean of the loss; see `Task`."""
        if metric in RULES:
            return MeanAveragePrecision(classes, RULES[metric], name)
        return keras.metrics.Mean(name=name)

    def table_shapes(self, classes: int) -> dict[str, tuple[int, ...]]:
        """Nothing is counted by class beside average precision; see `Task`."""
        return {}

    def pictures(
        self, images: np.ndarray, batch: Batch, taps: Taps, class_names: Sequence[str]
    ) -> dict[str, list[np.ndarray]]:
        """Objects beside the detections of `DRAWN` probability or more; see `Task`."""
        found = detect(taps, least_score=DRAWN)
        answers = [np.asarray(found[name]) for name in ("boxes", "classes", "scores")]
        drawn = []
        for image, objects, *answer in zip(images, np.asarray(batch["labels"]), *answers, strict=True):
            corners, classes, scores = answer
            there, seen = (int((one >= 0).sum()) for one in (objects[:, CLASS], classes))
            truth = drawing.draw_objects(image, objects, class_names)
            answered = drawing.draw_boxes(image, corners, classes, class_names, scores)
            titles = f"truth: {there}", f"found at {DRAWN:.0%} or more: {seen}"
            drawn.append(drawing.side_by_side(dict(zip(titles, (truth, answered), strict=True))))
        return {"detections": drawn}

    def tables(self, batch: Batch, taps: Taps) -> dict[str, tf.Tensor]:
        """Nothing; see `table_shapes`."""
        return {}

    def counted_by(self, meters: Mapping[str, keras.metrics.Metric]) -> dict[str, tf.Tensor]:
        """The hits, misses and objects that average precision is made of; see `Task`."""
        meter = meters[self.headline]
        return {"detections": tf.convert_to_tensor(meter.detections), "objects": tf.convert_to_tensor(meter.objects)}

    def by_class(self, tables: Mapping[str, np.ndarray]) -> ByClass | None:
        """Average precision of each class by the headline's rule; see `Task`."""
        if "detections" not in tables:
            return None
        detections, objects = (tf.constant(tables[name], tf.float32) for name in ("detections", "objects"))
        scores = average_precisions(detections, objects, RULES[self.headline]).numpy()
        return ByClass("average_precision", scores.astype(np.float64), "objects", np.asarray(tables["objects"]))

    def closer(self, classes: int) -> CocoScores:
        """COCO's average precision; see `Task`."""
        return CocoScores(classes, answered)

    def chance(self, classes: int) -> float:
        """None: no guess hits a box; see `Task`."""
        return 0.0

    def ensemble(self, taps: Sequence[Taps]) -> Taps:
        """Several detectors give no answer together.

        Raises:
            ValueError: always.
        """
        raise ArgumentError("networks", "must be classifiers, as detectors make no ensemble")

    def as_predicted(self, batch: Batch, taps: Taps) -> Batch:
        """The batch with the surest detections in place of its objects, as many rows as it has."""
        labels = batch["labels"]
        found = detect(taps, most=int(labels.shape[1]))
        rows = [found["boxes"], tf.cast(found["classes"], tf.float32)[..., None], tf.zeros_like(labels[..., :1])]
        return {**batch, "labels": tf.concat(rows, axis=-1)}

    def same_answers(self, taps: Taps, other: Taps) -> tf.Tensor:
        """Whether the surest detection is of the same class, 0 or 1, `[batch]`."""
        first, second = (
            tf.argmax(tf.reduce_max(tf.nn.softmax(tf.cast(one["class_logits"], tf.float32))[..., 1:], axis=1), axis=-1)
            for one in (taps, other)
        )
        return tf.cast(first == second, tf.float32)

    def shown(self, metric: str, value: float) -> str:
        """Average precision in percent, the loss with four decimals."""
        return f"{value:.2%}" if metric in self.rising else f"{value:.4f}"


def detect(taps: Taps, *, least_score: float = 0.01, overlap: float = 0.45, most: int = 200) -> dict[str, tf.Tensor]:
    """The objects that a detector finds, from its taps; see `boxes.detections`.

    >>> found = detect(detector(images))
    >>> found["boxes"], found["scores"], found["classes"], found["count"]
    """
    answer = (taps[tap] for tap in ANSWER)
    return boxes.detections(*answer, least_score=least_score, overlap=overlap, most=most)


def answered(taps: Taps) -> dict[str, tf.Tensor]:
    """The same, or the objects themselves where they are what is given, as an export gives them."""
    return {name: taps[name] for name in OBJECTS} if set(OBJECTS) <= taps.keys() else detect(taps)


def counted(labels: tf.Tensor, found: Mapping[str, tf.Tensor], threshold: float = 0.5) -> tf.Tensor:
    """Which detections are right by VOC's rule, see `detection_matches.voc_matches`, and which objects there are.

    Args:
        labels: objects, [batch, objects, 6].
        found: of `detect`, the surest first.
        threshold: the least intersection over union.

    Returns:
        rows of `MeanAveragePrecision`, float32 [batch, detections + objects, 3].
    """
    corners, labelled, is_difficult = losses.objects_of(labels)
    same = (found["classes"][:, :, None] == labelled[:, None, :]) & (labelled[:, None, :] >= 0)
    overlaps = tf.where(same, boxes.intersection_over_union(found["boxes"], corners), -1.0)
    nearest = tf.argmax(overlaps, axis=-1)
    is_near = tf.reduce_max(overlaps, axis=-1) >= threshold
    is_left_out = is_near & tf.gather(is_difficult, nearest, batch_dims=1)
    claims = tf.one_hot(nearest, tf.shape(corners)[1]) * tf.cast(is_near & ~is_left_out, tf.float32)[..., None]
    is_hit = tf.reduce_any((claims > 0) & (tf.cumsum(claims, axis=1, exclusive=True) == 0), axis=-1)
    marks = tf.where(is_left_out, LEFT_OUT, tf.where(is_hit, HIT, MISS))
    detections = found["scores"], found["classes"], marks
    objects = tf.fill(tf.shape(labelled), OBJECT), labelled, ~is_difficult
    rows = [tf.stack([tf.cast(one, tf.float32) for one in columns], axis=-1) for columns in (detections, objects)]
    return tf.concat(rows, axis=1)


def _is_wrong(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """Which objects are neither of a class nor padding, bool [batch, objects]."""
    label = labels[..., CLASS]
    return ~((label >= -1) & (label < classes) & (label == tf.floor(label)))


def _multibox(labels: tf.Tensor, taps: Taps) -> tf.Tensor:
    return losses.multibox_loss(labels, taps["offsets"], taps["class_logits"], taps["default_boxes"])
