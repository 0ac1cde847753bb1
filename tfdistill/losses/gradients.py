"""Losses that compare how two networks' answers change with their images, one value per example."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import NORM_EPSILON, flattened, require_same_shape


def jacobian_distance(learner_gradients: tf.Tensor, source_gradients: tf.Tensor) -> tf.Tensor:
    """Squared distance of the directions in which two networks' answers grow fastest.

    `loss = sum_d (s^_d - t^_d)^2`, with s the gradient of the learner's answer for its image, t the source's likewise,
    and both flattened and divided by their own L2 norm.

    Args:
        learner_gradients: s, [batch, height, width, channels], any float type.
        source_gradients: t, the same shape.

    Returns:
        float32 [batch] in 0..4; the same for a positive multiple of a gradient. A gradient with a norm of 1e-12 or less
        has no direction: it counts as 0 and has no slope, as where a classifier starts from zero.

    Raises:
        ValueError: if the shapes differ.

    Source: Srinivas and Fleuret, "Knowledge Transfer with Jacobian Matching", ICML 2018, Eq. 10.
    """
    require_same_shape("learner_gradients", learner_gradients, "source_gradients", source_gradients)
    learner = _direction(flattened("learner_gradients", learner_gradients))
    source = _direction(flattened("source_gradients", source_gradients))
    return tf.reduce_sum(tf.square(learner - source), axis=1)


def _direction(gradients: tf.Tensor) -> tf.Tensor:
    """[batch, elements], each example of norm 1 or 0."""
    squares = tf.reduce_sum(tf.square(gradients), axis=1, keepdims=True)
    has_one = squares > NORM_EPSILON**2
    return tf.where(has_one, gradients * tf.math.rsqrt(tf.where(has_one, squares, 1.0)), 0.0)
