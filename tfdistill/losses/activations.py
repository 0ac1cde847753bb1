"""Losses on what a ReLU is about to read: which of it will pass, and by how much; one value per example.

Maps are [batch, height, width, channels] before their ReLU. None of these weighs itself or stops a gradient, and each
works in float32 whatever it is given.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import as_float32, paired_maps


def margin_distance(learner_map: tf.Tensor, source_map: tf.Tensor, margins: tf.Tensor) -> tf.Tensor:
    """Squared distance to a source's map whose values below a margin count as the margin.

    `loss = sum_pc [s_pc > t_pc or t_pc > 0] (s_pc - t_pc)^2`, with s the learner's map and `t_pc = max(r_pc, m_c)` of
    the source's map r. Where the source stays at or below 0 the learner only has to stay below t. With margins of
    minus infinity and maps behind ReLU it is the squared distance.

    Args:
        learner_map: s, [batch, height, width, channels], any float type.
        source_map: r, the same shape.
        margins: m, [channels], 0 or below.

    Returns:
        float32 [batch], a sum over positions and channels: large.

    Raises:
        ValueError: if the shapes do not fit.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019. It is a sum in the authors' code.
    """
    learner, source = paired_maps(learner_map, source_map)
    margins = as_float32(margins)
    if not margins.shape.is_compatible_with(source.shape[3:]):
        raise ValueError(f"margins must have a value for each channel, got {margins.shape} and {source.shape}")
    target = tf.maximum(source, margins)
    counts = tf.cast((learner > target) | (target > 0), tf.float32)
    return tf.reduce_sum(counts * tf.square(learner - target), axis=(1, 2, 3))


def boundary_distance(learner_map: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """How far a learner's values lie on the wrong side of 0, or within 1 of it, told by where the source's lie.

    `loss = sum_pc [s_pc > -1 and r_pc <= 0] (s_pc + 1)^2 + [s_pc <= 1 and r_pc > 0] (s_pc - 1)^2`, with s the learner's
    map and r the source's, of which the sign alone counts.

    Args:
        learner_map: s, [batch, height, width, channels], any float type.
        source_map: r, the same shape.

    Returns:
        float32 [batch], a sum over positions and channels: large.

    Raises:
        ValueError: if the shapes differ or are no maps.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI
        2019, with the margin 1 of the authors' code.
    """
    learner, source = paired_maps(learner_map, source_map)
    wrong = tf.nn.relu(tf.where(source > 0, 1.0 - learner, 1.0 + learner))
    return tf.reduce_sum(tf.square(wrong), axis=(1, 2, 3))
