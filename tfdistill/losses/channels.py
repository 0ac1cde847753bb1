"""Losses that compare two feature maps channel by channel, each channel brought to a scale of its own first.

Maps are [batch, height, width, channels] of one shape. As elsewhere: none weighs itself, none stops a gradient, and
each works in float32 whatever it is given.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import paired_maps, require_temperature

# Added to a channel's deviation, as in the authors' code.
DEVIATION_EPSILON = 1e-6


def correlation_distance(learner_map: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """How little the channels of two maps correlate: half the squared distance of maps whose channels are normalized.

    `loss_b = 1/2 mean_pc (s^_bpc - t^_bpc)^2`, where s^ is the learner's map s, each channel with mean 0 and deviation
    1 over all examples and positions, and t^ the source's map likewise. The mean over the batch is `1 - mean_c r_c`,
    with Pearson's correlation r_c of the channel c over examples and positions.

    A statistic of the examples given: with several replicas each normalizes by its own share. A channel that is
    constant on one side counts 1/2 for what varies on the other, and has no gradient of its own.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same shape.

    Returns:
        float32 [batch], the mean of which is in 0..2; the same for a channel of either side times a positive number
        and plus any.

    Raises:
        ValueError: if the shapes differ or are no maps.

    Source: Cao et al., "PKD: General Distillation Framework for Object Detectors via Pearson Correlation Coefficient",
        NeurIPS 2022. The 1e-6 added to a deviation is the authors' code's. Its deviation divides by one less than the
        number of values; with ours the identity is exact.
    """
    learner, source = (_normalized(one) for one in paired_maps(learner_map, source_map))
    return 0.5 * tf.reduce_mean(tf.square(learner - source), axis=(1, 2, 3))


def channel_divergence(learner_map: tf.Tensor, source_map: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Divergence of two maps whose channels are distributions over the positions of an image.

    `loss = T^2 mean_c sum_p q_pc log(q_pc / p_pc)`, with p the softmax over the positions of each channel of the
    learner's map divided by T, and q the source's likewise.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same shape.
        temperature: T, finite and above 0.

    Returns:
        float32 [batch], 0 or more up to rounding; the same for a channel of an example plus any number.

    Raises:
        ValueError: if the shapes differ or are no maps, or the temperature is out of range.

    Source: Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021.
    """
    require_temperature(temperature)
    learner, source = (
        tf.nn.log_softmax(tf.reshape(one / temperature, [-1, one.shape[1] * one.shape[2], one.shape[3]]), axis=1)
        for one in paired_maps(learner_map, source_map)
    )
    divergences = tf.reduce_sum(tf.exp(source) * (source - learner), axis=1)
    return temperature**2 * tf.reduce_mean(divergences, axis=1)


def _normalized(maps: tf.Tensor) -> tf.Tensor:
    """Each channel with mean 0 and deviation 1 over all examples and positions."""
    centred = maps - tf.reduce_mean(maps, axis=(0, 1, 2))
    variance = tf.reduce_mean(tf.square(centred), axis=(0, 1, 2))
    # The root's slope at 0 is infinite. Taken at 1 there and discarded, it gives a gradient of 0.
    varies = variance > 0
    deviation = tf.where(varies, tf.sqrt(tf.where(varies, variance, 1.0)), 0.0)
    return centred / (deviation + DEVIATION_EPSILON)
