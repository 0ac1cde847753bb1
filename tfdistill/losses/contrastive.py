"""The loss that tells one pair of embeddings of the same example from many pairs of different ones."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfdistill.losses.shapes import require_same_shape

LIKELIHOOD_EPSILON = 1e-7


def noise_contrastive_loss(positives: tf.Tensor, negatives: tf.Tensor, counts: tf.Tensor, noise: float) -> tf.Tensor:
    """How badly a pair of one example is told from its pairs with M others, which are noise.

    `loss_b = -log(p_b / (p_b + M/N + e)) - sum_j c_bj log((M/N) / (n_bj + M/N + e))`, `e = 1e-7`, where p and n are how
    likely pairs are, `p_b = M/N exp(r_b)`, and c says which of all pairs were drawn, and how often.

    It keeps one tensor of the shape of `negatives` for the gradient.

    Args:
        positives: r, the logarithm of how many times likelier than noise the pair of the same example is, [batch],
            float32.
        negatives: the same of each pair with another example, [batch, K], float32.
        counts: c, how often each of these was drawn, [batch, K], float32; M of them in a row.
        noise: M/N, where N is how many examples the negatives are drawn from, each as likely.

    Returns:
        float32 [batch], above 0 up to the e. It can be differentiated once, by the pairs.

    Raises:
        ValueError: if the batch sizes differ or the shapes are not [batch] and twice [batch, K].

    Source: Tian, Krishnan and Isola, "Contrastive Representation Distillation", ICLR 2020, Eq. 18, with the authors' e.
    """
    if negatives.shape.rank != 2:
        raise ValueError(f"negatives must be [batch, K], got {negatives.shape}")
    require_same_shape("positives", positives, "the batch of negatives", negatives[:, 0])
    require_same_shape("negatives", negatives, "counts", counts)
    one = 1.0 + LIKELIHOOD_EPSILON / noise
    return tf.math.log1p(one * tf.exp(-positives)) + _counted(negatives, counts, one)


@tf.custom_gradient
def _counted(pairs: tf.Tensor, counts: tf.Tensor, one: float) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple]]:
    """`sum_j c_bj log(exp(r_bj) + one)`, [batch]."""
    odds = tf.exp(pairs)
    both = odds + one
    # All that the gradient needs, in fewer passes over the pairs than through each of the operations.
    slope = counts * (odds / both)

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, None, None]:
        return upstream[:, None] * slope, None, None

    return tf.reduce_sum(counts * tf.math.log(both), axis=1), gradients
