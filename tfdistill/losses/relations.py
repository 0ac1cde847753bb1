"""Losses on how predictions relate to each other: between the classes of an example, and between the examples."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import paired_logits, require_temperature

NORM_EPSILON = 1e-8


def inter_class_distance(source_logits: tf.Tensor, learner_logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """How little the classes of an example lie as the source has them: `1 - pearson(q, p)`.

    `p = softmax(source / T)`, `q = softmax(learner / T)`; Pearson's correlation is taken over the classes of each
    example, `<a, b> / (|a| |b| + 1e-8)` of what is left of p and q without their means. It is not multiplied by T^2.

    Args:
        source_logits: [batch, classes], any float type.
        learner_logits: [batch, classes], any float type.
        temperature: softening of both, finite and above 0.

    Returns:
        float32 [batch] in 0..2; 1, without a gradient, where one of them is as good as constant.

    Raises:
        ValueError: if the shapes differ or are not [batch, classes], or the temperature is out of range.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022; the 1e-8 is their
        code's.
    """
    source, learner = _predictions(source_logits, learner_logits, temperature)
    return 1.0 - _pearson(source, learner, axis=-1)


def intra_class_distance(source_logits: tf.Tensor, learner_logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """How little the examples of a batch lie as the source has them, the one number given to every example.

    As `inter_class_distance`, but Pearson's correlation is taken over the batch, for each class, and 1 minus its mean
    over the classes is the loss. A statistic of the examples given: it depends on the batch size, and with several
    replicas each has its own.

    Args:
        source_logits: [batch, classes], any float type.
        learner_logits: [batch, classes], any float type.
        temperature: softening of both, finite and above 0.

    Returns:
        float32 [batch], the same value in 0..2 throughout; 1, without a gradient, of one example.

    Raises:
        ValueError: if the shapes differ or are not [batch, classes], or the temperature is out of range.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022.
    """
    source, learner = _predictions(source_logits, learner_logits, temperature)
    distance = 1.0 - tf.reduce_mean(_pearson(source, learner, axis=0))
    return tf.fill(tf.shape(learner)[:1], distance)


def _predictions(
    source_logits: tf.Tensor, learner_logits: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    require_temperature(temperature)
    source_logits, learner_logits = paired_logits(source_logits, learner_logits)
    return tf.nn.softmax(source_logits / temperature), tf.nn.softmax(learner_logits / temperature)


def _pearson(first: tf.Tensor, second: tf.Tensor, axis: int) -> tf.Tensor:
    first, second = (one - tf.reduce_mean(one, axis=axis, keepdims=True) for one in (first, second))
    return tf.reduce_sum(first * second, axis=axis) / (_norm(first, axis) * _norm(second, axis) + NORM_EPSILON)


def _norm(values: tf.Tensor, axis: int) -> tf.Tensor:
    squares = tf.reduce_sum(tf.square(values), axis=axis)
    # The root's slope at 0 is infinite. Taken at 1 there and discarded, it gives a gradient of 0.
    there = squares > 0
    return tf.where(there, tf.sqrt(tf.where(there, squares, 1.0)), 0.0)
