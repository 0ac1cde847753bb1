"""Labels that are not what they were: smoothed for training, or corrupted by noise that is fixed before it."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfdistill.data.dataset import Split

# Beside the key of `selection`: were they the same, a subset would be made of just the examples that get noise.
NOISE_STREAM = 1


def smooth_labels(labels: tf.Tensor, classes: int, smoothing: float) -> tf.Tensor:
    """Distributions with `1 - smoothing` on the label and `smoothing / (classes - 1)` on each other class.

    Args:
        labels: integers [B] in 0..classes-1.
        classes: K, 1 or more; 2 or more if `smoothing` is not 0.
        smoothing: 0..1, without 1; 0 gives one-hot vectors.

    Returns:
        float32 [B, K].

    Raises:
        ValueError: if an argument is out of range.

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation"
        (IJCAI 2021), Eq. 1. Keras' `label_smoothing` shares its part among all K classes instead: it equals this one
        at `smoothing * K / (K - 1)`.
    """
    check_smoothing(smoothing, classes)
    other = smoothing / max(classes - 1, 1)
    return tf.one_hot(labels, classes, on_value=1 - smoothing, off_value=other, dtype=tf.float32)


def check_smoothing(smoothing: float, classes: int) -> None:
    """Raises ValueError unless `smooth_labels` can do this."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in 0..1 (1 excluded), got {smoothing}")
    if classes < (2 if smoothing else 1):
        raise ValueError(f"classes must be {2 if smoothing else 1} or more, got {classes}")


def corrupt_labels(split: Split, share: float, *, classes: int, examples: int, seed: int) -> Split:
    """Replaces the labels of a share of the examples by wrong ones, uniform over the `classes - 1` others.

    What becomes of an example is a function of the seed and of its position in the original split alone, whatever else
    the split leaves out and on every machine. In the original split `round(share * examples)` labels are wrong, and in
    a part of it about that share. The wrong labels of a smaller share are among those of a larger one.

    Args:
        split: the original split, or a part of it.
        share: 0..1.
        classes: 2 or more.
        examples: how many the original split has.
        seed: 0..2^63-1.

    Returns:
        The split with its new labels; images and `index` are those of `split`.

    Raises:
        ValueError: if an argument is out of range.

    Source: Yao and Sun, "Knowledge Transfer via Dense Cross-Layer Mutual-Distillation" (ECCV 2020): any class but the
        right one, drawn once before training. Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared
        Error Loss in Knowledge Distillation" (IJCAI 2021), leave the noise open; this is the usual reading of theirs.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in 0..1, got {share}")
    if classes < 2:
        raise ValueError(f"classes must be 2 or more for a label to be wrong, got {classes}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be in 0..2^63-1, got {seed}")
    if len(split) and examples <= split.index.max():
        raise ValueError(f"examples must count the whole original split, {split.index.max() + 1} or more: {examples}")
    # Raw Philox output is fixed for good; the streams of NumPy's distributions may change with its version.
    places, shifts = np.random.Philox(key=(NOISE_STREAM << 64) | seed).random_raw((2, examples))
    noisy = np.zeros(examples, bool)
    noisy[np.argsort(places, kind="stable")[: round(share * examples)]] = True
    wrong = (split.labels + 1 + (shifts[split.index] % np.uint64(classes - 1)).astype(np.int64)) % classes
    labels = np.where(noisy[split.index], wrong, split.labels).astype(split.labels.dtype)
    return dataclasses.replace(split, labels=labels)
