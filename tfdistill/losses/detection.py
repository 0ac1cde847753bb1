"""The multibox loss of SSD: which default box is to say which object, and what it costs to say it wrong."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import boxes
from tfdistill.losses.logit_matching import huber
from tfdistill.losses.shapes import as_float32, require_rank

# What follows the four corners of an object in its row of the labels.
CLASS, DIFFICULT = 4, 5


def multibox_loss(
    labels: tf.Tensor,
    offsets: tf.Tensor,
    class_logits: tf.Tensor,
    default_boxes: tf.Tensor,
    *,
    threshold: float = 0.5,
    negatives: int = 3,
) -> tf.Tensor:
    """SSD's loss: `(sum of smooth L1 + cross-entropies of the matched and of the hardest others) / matched`.

    Smooth L1 is that of the offsets of matched default boxes. The cross-entropy of a matched default box is that of its
    object's class; of the others those with the highest cross-entropy of the background count, `negatives` for each
    matched one. Each image is divided by its own number of matched boxes, so that the mean over a batch has every image
    count alike. An image without objects has its `negatives` hardest default boxes.

    Args:
        labels: float [batch, objects, 6], see `objects_of`.
        offsets: [batch, boxes, 4], any float type, see `boxes.encoded`.
        class_logits: [batch, boxes, 1 + classes], any float type; the first is the background's.
        default_boxes: centre form, [batch, boxes, 4] or [boxes, 4].
        threshold: see `match`.
        negatives: how many unmatched default boxes count for a matched one, 1 or more.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes do not belong together, or `negatives` is below 1.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Section 2.2. They divide by the matched boxes
        of the batch; a loss of one value per example cannot. For an image without objects they have no loss.
    """
    return sum(multibox_terms(labels, offsets, class_logits, default_boxes, threshold=threshold, negatives=negatives))


def multibox_terms(
    labels: tf.Tensor,
    offsets: tf.Tensor,
    class_logits: tf.Tensor,
    default_boxes: tf.Tensor,
    *,
    threshold: float = 0.5,
    negatives: int = 3,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The two parts of `multibox_loss`, that of the offsets and that of the classes, each float32 [batch].

    Args and Raises: as of `multibox_loss`.
    """
    if negatives < 1:
        raise ValueError(f"negatives must be 1 or more, got {negatives}")
    offsets, class_logits, default_boxes = as_float32(offsets), as_float32(class_logits), as_float32(default_boxes)
    _require_shapes(labels, offsets, class_logits, default_boxes)
    corners, classes, _ = objects_of(labels)
    places, is_matched = match(corners, classes, default_boxes, threshold=threshold)
    mask = tf.cast(is_matched, tf.float32)
    matched = tf.reduce_sum(mask, axis=-1)

    # An unmatched default box is given itself: its target is 0, and no logarithm of a padding object's size is taken.
    default_corners = tf.broadcast_to(boxes.corners(default_boxes), tf.shape(offsets))
    of_boxes = tf.where(is_matched[..., None], tf.gather(corners, places, batch_dims=1), default_corners)
    error = tf.reduce_sum(huber(offsets - boxes.encoded(of_boxes, default_boxes)), axis=-1)

    targets = tf.where(is_matched, 1 + tf.gather(classes, places, batch_dims=1), 0)
    surprise = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, class_logits)
    hardest = tf.sort(surprise * (1.0 - mask), axis=-1, direction="DESCENDING")
    divisor = tf.maximum(matched, 1.0)
    counted = tf.range(tf.shape(hardest)[-1])[None] < tf.cast(negatives * divisor, tf.int32)[:, None]
    of_classes = tf.reduce_sum(surprise * mask, -1) + tf.reduce_sum(hardest * tf.cast(counted, tf.float32), -1)
    return tf.reduce_sum(error * mask, axis=-1) / divisor, of_classes / divisor


def match(
    corners: tf.Tensor, classes: tf.Tensor, default_boxes: tf.Tensor, *, threshold: float = 0.5
) -> tuple[tf.Tensor, tf.Tensor]:
    """Which object each default box is to say.

    Each object gets the default box that it overlaps most. Every other default box gets the object that it overlaps
    most, if their intersection over union is `threshold` or more. Where several objects overlap the same default box
    most, it gets the one that it overlaps more, so that the order of objects decides nothing but ties.

    Args:
        corners: of objects, float32 [batch, objects, 4].
        classes: of objects, integers [batch, objects]; what has -1 is padding.
        default_boxes: centre form, [batch, boxes, 4] or [boxes, 4].
        threshold: above 0 and at most 1.

    Returns:
        the place of an object for each default box, int32 [batch, boxes], and whether it is matched, bool
        [batch, boxes]; where it is not, the place means nothing.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Section 2.2, "Matching strategy".
    """
    is_object = (classes >= 0)[:, None, :]
    overlaps = boxes.intersection_over_union(boxes.corners(default_boxes), corners)
    overlaps = tf.where(is_object, overlaps, 0.0)
    best = tf.argmax(overlaps, axis=1, output_type=tf.int32)
    is_best = tf.range(tf.shape(overlaps)[1])[None, :, None] == best[:, None, :]
    # Beyond every intersection over union, and in the same order among themselves.
    claims = tf.where(is_best & (overlaps > 0.0), overlaps + 2.0, overlaps)
    return tf.argmax(claims, axis=-1, output_type=tf.int32), tf.reduce_max(claims, axis=-1) >= threshold


def objects_of(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The objects of images, as a batch's labels have them.

    Args:
        labels: float [batch, objects, 6]: top, left, bottom and right in shares of the image, the class, and 1 for a
            difficult object or 0. As many rows as the data set's fullest image has objects; a row of class -1 is
            padding.

    Returns:
        corners, float32 [batch, objects, 4]; classes, int32 [batch, objects]; and which are difficult, bool [batch,
        objects].
    """
    labels = as_float32(labels)
    return labels[..., :4], tf.cast(labels[..., CLASS], tf.int32), labels[..., DIFFICULT] > 0.5


def _require_shapes(labels: tf.Tensor, offsets: tf.Tensor, class_logits: tf.Tensor, default_boxes: tf.Tensor) -> None:
    require_rank("labels", tf.convert_to_tensor(labels), 3, "[batch, objects, 6]")
    require_rank("offsets", offsets, 3, "[batch, boxes, 4]")
    require_rank("class_logits", class_logits, 3, "[batch, boxes, 1 + classes]")
    if not labels.shape[-1] == 6 or not offsets.shape[-1] == 4:
        raise ValueError(f"labels and offsets must have rows of 6 and of 4, got {labels.shape} and {offsets.shape}")
    for name, other, ours in (
        ("class_logits", class_logits.shape[:-1], offsets.shape[:-1]),
        ("default_boxes", default_boxes.shape[-2:], offsets.shape[-2:]),
    ):
        if not other.is_compatible_with(ours):
            raise ValueError(f"offsets and {name} must be of the same boxes, got {ours} and {other}")
