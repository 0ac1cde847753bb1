"""Unlabelled images, and how they join the batches of labelled ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfdistill.data.dataset import CLASS, Split

# In the place of a label that there is none for; no class, so that whoever reads it is told so.
NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Images without labels.

    Args:
        split: the images; its labels mean nothing.
        left_out: how many images could not be read.
        mark: of images in a folder, a hash of the names of those in `split`.
    """

    split: Split = field(repr=False)
    left_out: int = 0
    mark: str = ""


def without_labels(labels: np.ndarray) -> np.ndarray:
    """As many labels that say nothing: class 0, or no objects."""
    nothing = np.zeros_like(labels)
    if labels.ndim == 3:
        nothing[..., CLASS] = NO_LABEL
    return nothing


def with_unlabelled(labelled: tf.data.Dataset, unlabelled: tf.data.Dataset, *, shares: int = 1) -> tf.data.Dataset:
    """Batches of `labelled`, each with the one of `unlabelled` that comes as many-th beside it.

    Rows stand so that `shares` equal, contiguous shares of a batch each have their part of both: first of the labelled
    examples, then of the unlabelled ones.

    Args:
        labelled: as `training_batches` gives them, of static size.
        unlabelled: the same of unlabelled images; labels are not read.
        shares: into how many a batch will be parted, such as the replicas of a worker; divides both sizes.

    Returns:
        `labelled`'s batches with the images and `index` of both. `"labelled"`, float32 [B + M], is 1 for a labelled
        example and 0 for another, whose label is `NO_LABEL` (or a distribution of zeros, or no object) and whose
        weight, where there are weights, is 0.
    """

    def join(own: dict[str, tf.Tensor], other: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        count = other["images"].shape[0]
        labels = own["labels"]
        missing = {"labels": _no_labels(labels, count), "weight": tf.zeros([count])}
        found = {name: _side_by_side(value, missing.get(name, other.get(name)), shares) for name, value in own.items()}
        ones = tf.ones([own["images"].shape[0]])
        return {**found, "labelled": _side_by_side(ones, missing["weight"], shares)}

    join = tf.autograph.experimental.do_not_convert(join)
    both = tf.data.Dataset.zip(labelled, unlabelled)
    return both.map(join, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _no_labels(labels: tf.Tensor, count: int) -> tf.Tensor:
    if labels.shape.rank == 1:
        return tf.fill([count], tf.constant(NO_LABEL, labels.dtype))
    nothing = tf.zeros([count, *labels.shape[1:]], labels.dtype)
    if labels.shape.rank == 2:
        return nothing
    return nothing + NO_LABEL * tf.one_hot(CLASS, labels.shape[-1], dtype=labels.dtype)


def _side_by_side(first: tf.Tensor, second: tf.Tensor, shares: int) -> tf.Tensor:
    if shares == 1:
        return tf.concat([first, second], axis=0)
    parts = [tf.reshape(one, [shares, one.shape[0] // shares, *one.shape[1:]]) for one in (first, second)]
    rows = first.shape[0] + second.shape[0]
    return tf.reshape(tf.concat(parts, axis=1), [rows, *first.shape[1:]])
