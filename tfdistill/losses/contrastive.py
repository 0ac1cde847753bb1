"""The loss that tells one pair of embeddings of the same example from many pairs of different ones."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import require_same_shape

LIKELIHOOD_EPSILON = 1e-7


def noise_contrastive_loss(positives: tf.Tensor, negatives: tf.Tensor, examples: int) -> tf.Tensor:
    """How badly a pair of one example is told from its pairs with M others, which are noise.

    `loss_b = -log(p_b / (p_b + M/N + e)) - sum_j log((M/N) / (n_bj + M/N + e))`, `e = 1e-7`.

    Args:
        positives: p, how likely the pair of the same example is, [batch], float32, above 0.
        negatives: n, how likely each pair with another example is, [batch, M], float32, 0 or more.
        examples: N, how many examples the negatives are drawn from, each as likely.

    Returns:
        float32 [batch], finite, and above 0 up to the e.

    Raises:
        ValueError: if the batch sizes differ or the shapes are not [batch] and [batch, M].

    Source: Tian, Krishnan and Isola, "Contrastive Representation Distillation", ICLR 2020, Eq. 18, with the authors' e.
    """
    if negatives.shape.rank != 2:
        raise ValueError(f"negatives must be [batch, M], got {negatives.shape}")
    require_same_shape("positives", positives, "the batch of negatives", negatives[:, 0])
    noise = tf.cast(tf.shape(negatives)[1], tf.float32) / float(examples)
    right = tf.math.log(positives / (positives + (noise + LIKELIHOOD_EPSILON)))
    others = tf.math.log(noise / (negatives + (noise + LIKELIHOOD_EPSILON)))
    return -(right + tf.reduce_sum(others, axis=1))
