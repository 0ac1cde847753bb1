"""Boxes: corners and centres, how far two overlap, and how a detector says one relative to a default box.

A box is four numbers in shares of the image's height and width, whatever its size in pixels: as *corners* (top, left,
bottom, right), as `tf.image` has them, or in *centre form* (centre's y, centre's x, height, width). All functions here
are TensorFlow operations of static shapes without state.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Of the offsets of centres and of the logarithms of sizes, so that both have a deviation near 1.
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
# The largest logarithm of a size over a default box's: a network that has not learned yet makes no infinite box.
LARGEST_GROWTH = 4.0
# The surest boxes of a class that are compared with each other, as SSD's code has it (`nms_param { top_k: 400 }`).
CANDIDATES = 400


def corners(centre_form: tf.Tensor) -> tf.Tensor:
    """From (centre y, centre x, height, width) to (top, left, bottom, right), both `[..., 4]`."""
    centre, half = centre_form[..., :2], centre_form[..., 2:] / 2.0
    return tf.concat([centre - half, centre + half], axis=-1)


def centre_form(corners: tf.Tensor) -> tf.Tensor:
    """From (top, left, bottom, right) to (centre y, centre x, height, width), both `[..., 4]`."""
    lower, upper = corners[..., :2], corners[..., 2:]
    return tf.concat([(lower + upper) / 2.0, upper - lower], axis=-1)


def area(corners: tf.Tensor) -> tf.Tensor:
    """Height times width, `[...]` of corners `[..., 4]`; 0 where the corners are swapped."""
    return tf.reduce_prod(tf.maximum(corners[..., 2:] - corners[..., :2], 0.0), axis=-1)


def intersection_over_union(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """How far every box of one set overlaps every box of another.

    Args:
        first: corners, `[..., m, 4]`.
        second: corners, `[..., n, 4]`; further dimensions are those of `first`, or broadcast with them.

    Returns:
        `[..., m, n]`, 0 to 1; 0 where neither has an area.
    """
    one, other = first[..., :, None, :], second[..., None, :, :]
    shared = area(tf.concat([tf.maximum(one[..., :2], other[..., :2]), tf.minimum(one[..., 2:], other[..., 2:])], -1))
    return tf.math.divide_no_nan(shared, area(one) + area(other) - shared)


def encoded(corners: tf.Tensor, default_boxes: tf.Tensor) -> tf.Tensor:
    """The offsets by which a detector says boxes.

    `((y - y_d) / h_d / 0.1, (x - x_d) / w_d / 0.1, log(h / h_d) / 0.2, log(w / w_d) / 0.2)`.

    Args:
        corners: `[..., 4]`, of boxes that have an area.
        default_boxes: in centre form, `[..., 4]`.

    Returns:
        offsets, `[..., 4]`.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Equation 2; the variances 0.1 and 0.2 are their
    code's.
    """
    box = centre_form(corners)
    centre = (box[..., :2] - default_boxes[..., :2]) / default_boxes[..., 2:] / CENTRE_VARIANCE
    return tf.concat([centre, tf.math.log(box[..., 2:] / default_boxes[..., 2:]) / SIZE_VARIANCE], axis=-1)


def decoded(offsets: tf.Tensor, default_boxes: tf.Tensor) -> tf.Tensor:
    """The boxes that a detector says: the inverse of `encoded`.

    Args:
        offsets: `[..., 4]`.
        default_boxes: in centre form, `[..., 4]`.

    Returns:
        corners, `[..., 4]`, not clipped to the image. A side is at most e⁴ times the default box's.
    """
    centre = offsets[..., :2] * CENTRE_VARIANCE * default_boxes[..., 2:] + default_boxes[..., :2]
    growth = tf.minimum(offsets[..., 2:] * SIZE_VARIANCE, LARGEST_GROWTH)
    return corners(tf.concat([centre, tf.exp(growth) * default_boxes[..., 2:]], axis=-1))


def detections(
    offsets: tf.Tensor,
    class_logits: tf.Tensor,
    default_boxes: tf.Tensor,
    *,
    least_score: float = 0.01,
    overlap: float = 0.45,
    most: int = 200,
    candidates: int = CANDIDATES,
) -> dict[str, tf.Tensor]:
    """The objects that a detector finds: boxes, decoded and cut at the image, without those that say one twice.

    Class by class, a box goes that overlaps a surer one of the class by more than `overlap`. Of each class the surest
    `candidates` are looked at and no more: a detector that has not learned yet has thousands above `least_score`, which
    would take three times as long, and the operation has no kernel for a GPU.

    Args:
        offsets: [batch, boxes, 4], see `encoded`.
        class_logits: [batch, boxes, 1 + classes], of which the first is the background's.
        default_boxes: centre form, [batch, boxes, 4] or [boxes, 4].
        least_score: the least probability of a class, above 0.
        overlap: the largest intersection over union, 0 to 1.
        most: how many objects of an image are kept, the surest.
        candidates: how many boxes of a class are compared, the surest; with as many as there are boxes, all are.

    Returns:
        "boxes": corners, float32 [batch, most, 4]; "scores": float32 [batch, most], the highest first; "classes": int32
        [batch, most]; "count": int32 [batch]. From there on boxes and scores are 0 and classes -1.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Section 3.7; `CANDIDATES` is their code's.
    """
    scores = tf.nn.softmax(tf.cast(class_logits, tf.float32))[..., 1:]
    corners = decoded(tf.cast(offsets, tf.float32), default_boxes)
    surest, places = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), tf.minimum(candidates, tf.shape(scores)[1]))
    found = tf.image.combined_non_max_suppression(
        tf.transpose(tf.gather(corners, places, batch_dims=1), [0, 2, 1, 3]),
        tf.transpose(surest, [0, 2, 1]),
        max_output_size_per_class=most,
        max_total_size=most,
        iou_threshold=overlap,
        score_threshold=float(np.nextafter(np.float32(least_score), np.float32(0))),  # the operation asks for more
    )
    is_there = tf.range(most) < found.valid_detections[:, None]
    classes = tf.where(is_there, tf.cast(found.nmsed_classes, tf.int32), -1)
    return {
        "boxes": found.nmsed_boxes,
        "scores": found.nmsed_scores,
        "classes": classes,
        "count": found.valid_detections,
    }
