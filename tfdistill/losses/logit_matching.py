"""Losses by which one network's logits become another's, each a pure function that returns one value per example.

As in `logits`: none weighs itself, none stops a gradient, and each works in float32 whatever it is given.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from tfdistill.losses.shapes import as_float32, paired_logits, require_rank

STANDARDIZATION_EPSILON = 1e-7
REDUCTIONS = {"mean": tf.reduce_mean, "sum": tf.reduce_sum}


def standardized(logits: tf.Tensor) -> tf.Tensor:
    """Logits of mean 0 and deviation 1 over the classes of each example: `(z - mean z) / (std z + 1e-7)`.

    The deviation is the unbiased one, with K - 1 in its denominator. The result is the same for `a z + b`, a > 0, up to
    the 1e-7: what is left to learn from a source is how its logits lie to each other, not how large they are.

    Args:
        logits: [batch, classes], any float type, 2 classes or more.

    Returns:
        float32 [batch, classes]; zeros, with a finite gradient, where all logits of an example are equal.

    Raises:
        ValueError: if the shape is not [batch, classes] of 2 classes or more.

    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024; the 1e-7 and the K - 1 are their
        code's. There the loss that follows has its temperature all the same, and so it has here.
    """
    logits = as_float32(logits)
    require_rank("logits", logits, 2, "[batch, classes]")
    if logits.shape[-1] == 1:
        raise ValueError("logits of one class have no deviation: 2 classes or more are needed")
    centred = logits - tf.reduce_mean(logits, axis=-1, keepdims=True)
    freedom = tf.cast(tf.shape(logits)[-1] - 1, tf.float32)
    variance = tf.reduce_sum(tf.square(centred), axis=-1, keepdims=True) / freedom
    # The root's slope at 0 is infinite. Taken at 1 there and discarded, it gives a gradient that is finite.
    varies = variance > 0
    deviation = tf.where(varies, tf.sqrt(tf.where(varies, variance, 1.0)), 0.0)
    return centred / (deviation + STANDARDIZATION_EPSILON)


def squared_error(
    source_logits: tf.Tensor, learner_logits: tf.Tensor, reduction: Literal["mean", "sum"] = "mean"
) -> tf.Tensor:
    """Squared error of the learner's logits: `mean_k (s_k - t_k)^2`, or the sum over the classes.

    With the mean it is `2 · high_temperature_limit + (mean_k (s_k - t_k))^2`: unlike a divergence at any temperature it
    sees what is added to all logits alike.

    Args:
        source_logits: [batch, classes], any float type, t.
        learner_logits: [batch, classes], any float type, s.
        reduction: "mean" or "sum" over the classes.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or are not [batch, classes], or another reduction.

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
        IJCAI 2021, Eq. 9, which is the sum. Their code takes the mean, with which their learning rate of 0.1 agrees: of
        100 classes the sum is 100 times as much. So the mean is the default.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be {' or '.join(REDUCTIONS)}, got {reduction!r}")
    return REDUCTIONS[reduction](tf.square(_difference(source_logits, learner_logits)), axis=-1)


def smooth_l1(source_logits: tf.Tensor, learner_logits: tf.Tensor) -> tf.Tensor:
    """Error of the learner's logits, squared where it is small: the mean over the classes of h(s_k - t_k).

    `h(d) = d^2 / 2` where |d| < 1, `|d| - 1/2` elsewhere, so that its slope is never above 1.

    Args:
        source_logits: [batch, classes], any float type, t.
        learner_logits: [batch, classes], any float type, s.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or are not [batch, classes].

    Source: the code of Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge
        Distillation", IJCAI 2021; the paper does not report it.
    """
    return tf.reduce_mean(huber(_difference(source_logits, learner_logits)), axis=-1)


def huber(error: tf.Tensor) -> tf.Tensor:
    """`h(d) = d^2 / 2` where |d| < 1, `|d| - 1/2` elsewhere, of each number of a tensor of any shape."""
    size = tf.abs(error)
    return tf.where(size < 1.0, 0.5 * tf.square(size), size - 0.5)


def high_temperature_limit(source_logits: tf.Tensor, learner_logits: tf.Tensor) -> tf.Tensor:
    """Limit of `T^2 · kl_divergence` for T → ∞: half the variance of `s - t` over the classes.

    `loss = 1/2 [mean_k d_k^2 - (mean_k d_k)^2]`, `d = s - t`; its gradient is `d_k / K - sum_j d_j / K^2`. A number
    that is added to all logits alike does not count.

    `kl_divergence` itself at a temperature in the hundreds has little left of float32's digits; here none are lost.

    Args:
        source_logits: [batch, classes], any float type, t.
        learner_logits: [batch, classes], any float type, s.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or are not [batch, classes].

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
        IJCAI 2021, Eq. 5 and 8; the constant of Eq. 8 is 0. Their code has the gradient of Eq. 5 instead of a loss.
    """
    return 0.5 * tf.math.reduce_variance(_difference(source_logits, learner_logits), axis=-1)


def low_temperature_limit(source_logits: tf.Tensor, learner_logits: tf.Tensor) -> tf.Tensor:
    """Limit of `T · kl_divergence` for T → 0: by how much the learner prefers its class to the source's.

    `loss = max_k s_k - s_c`, where c is the class of the source's largest logit; its gradient is 1 at the learner's
    largest logit and -1 at c, and nothing where both are the same.

    Where logits tie for the largest, they share the 1, as the softmax does on its way to the limit.

    Args:
        source_logits: [batch, classes], any float type, t, of which only the place of the largest counts.
        learner_logits: [batch, classes], any float type, s.

    Returns:
        float32 [batch], 0 where both prefer the same class.

    Raises:
        ValueError: if the shapes differ or are not [batch, classes].

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
        IJCAI 2021, Eq. 6, which is this gradient without ties. Their code, which takes the first of those that tie,
        does not divide it by the batch size; here every loss is one value per example, and the engine takes the mean.
    """
    source_logits, learner_logits = paired_logits(source_logits, learner_logits)
    chosen = tf.cast(tf.equal(source_logits, tf.reduce_max(source_logits, axis=-1, keepdims=True)), tf.float32)
    chosen /= tf.reduce_sum(chosen, axis=-1, keepdims=True)
    return tf.reduce_max(learner_logits, axis=-1) - tf.reduce_sum(chosen * learner_logits, axis=-1)


def _difference(source_logits: tf.Tensor, learner_logits: tf.Tensor) -> tf.Tensor:
    source_logits, learner_logits = paired_logits(source_logits, learner_logits)
    return learner_logits - source_logits
