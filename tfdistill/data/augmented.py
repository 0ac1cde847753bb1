"""From positions in a split to augmented, normalised images."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfdistill.data.dataset import Split
from tfdistill.data.reading import Batch, make_reader
from tfdistill.data.rows import DrawnFor
from tfdistill.data.transforms.augmentation import Augmentation, BoxAugmentation, Normalization
from tfdistill.data.transforms.box_views import seen_labels, seen_pixels, windows
from tfdistill.data.transforms.mixing import Cutout, cut_out
from tfdistill.data.transforms.photometric import distorted
from tfdistill.data.transforms.randaugment import RandAugment, rand_augment
from tfdistill.data.transforms.usual import normalize, pad_crop_flip


def make_augmented_reader(
    split: Split,
    augmentation: Augmentation | BoxAugmentation | None,
    normalization: Normalization,
    randaugment: RandAugment | None,
    cutout: Cutout | None,
) -> Callable[[tf.Tensor, tf.Tensor, DrawnFor | None], Batch]:
    """A function from positions to examples that have gone through what is given: all of it image by image.

    Args:
        split: where the examples lie.
        augmentation: how images are shifted and mirrored, or, where labels are boxes, how these move along; None for
            not at all.
        normalization: per-channel mean and deviation.
        randaugment: number and strength of RandAugment's operations; None for none.
        cutout: the square that is blanked; None for none.

    Returns:
        `read(positions, draws, rows)`: from positions int64 [B], a seed, integers [2], and which rows the examples
        are, to {"images": float32 [B, H, W, C], "labels": int32 [B] (or objects, float32 [B, objects, 6]), "index":
        int64 [B]}.

    Raises:
        ValueError: the images are too small for the augmentation, or it would part pixels from their boxes.
    """
    has_boxes = split.labels.ndim == 3
    if has_boxes and (isinstance(augmentation, Augmentation) or randaugment is not None):
        raise ValueError("augmentation: labels are boxes, which move along by BoxAugmentation alone")
    if has_boxes and cutout is not None:
        raise ValueError("augmentation: labels are boxes, and a cut-out would hide objects whose boxes stay")
    if isinstance(augmentation, BoxAugmentation) and not has_boxes:
        raise ValueError("augmentation: BoxAugmentation is for labels that are boxes")
    if augmentation is not None:
        augmentation.require_size(*split.image_shape[:2])
    # A random crop is an augmentation like any other: without, the images are read as they are for evaluation.
    read = make_reader(split, training=augmentation is not None)

    def augmented(positions: tf.Tensor, draws: tf.Tensor, rows: DrawnFor | None) -> Batch:
        examples = read(positions, stream_of(draws, 4), rows)
        images = examples["images"]
        if isinstance(augmentation, BoxAugmentation):
            images, examples["labels"] = _seen(images, examples["labels"], draws, augmentation, normalization, rows)
        elif augmentation is not None:
            images = pad_crop_flip(images, draws, augmentation.pad, augmentation.mode, augmentation.flip, rows)
        if randaugment is not None:
            images = rand_augment(images, stream_of(draws, 1), randaugment.operations, randaugment.magnitude, rows)
        images = normalize(images, normalization)
        if cutout is not None:
            images = cut_out(images, stream_of(draws, 2), cutout.size, rows)
        return {**examples, "images": images}

    return augmented


def _seen(
    images: tf.Tensor,
    labels: tf.Tensor,
    draws: tf.Tensor,
    augmentation: BoxAugmentation,
    normalization: Normalization,
    rows: DrawnFor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and labels behind their windows; what surrounds an image is of the data's mean colour."""
    if augmentation.photometric:
        images = distorted(images, stream_of(draws, 5), rows)
    window, is_mirrored = windows(labels, draws, augmentation, rows)
    fill = tf.constant(normalization.mean, tf.float32) * 255.0
    return seen_pixels(images, window, is_mirrored, fill), seen_labels(labels, window, is_mirrored)


def stream_of(seed: tf.Tensor, number: int) -> tf.Tensor:
    """A seed for draws that are independent of those of `seed` and of its other streams."""
    return tf.random.fold_in(seed, tf.constant(number, tf.int64), alg="philox")
