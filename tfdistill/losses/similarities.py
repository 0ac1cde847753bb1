"""Losses on how alike the examples of a batch are: to each other, in the learner's features and in the source's.

Features are [batch, ...] of any rank from 2, and are flattened. The learner's and the source's need not have the same
length. Each loss is a statistic of the batch. What an example gets is its row's share, so that the mean over the
batch is the paper's loss. It depends on the batch size, and with several replicas each relates the examples of its own
share. A matrix [batch, batch] has 256 KiB at a batch of 256, and six of them are what a loss keeps at most.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import flattened, require_same_shape, unit

# Of a norm; TensorFlow's own bounds the squared norm.
PROBABILITY_EPSILON = 1e-7


def similarity_distance(learner_features: tf.Tensor, source_features: tf.Tensor) -> tf.Tensor:
    """Squared distance of two matrices that say how similar each example is to each.

    `loss_b = 1/B sum_j (g_bj - h_bj)^2`, where g are the inner products of the learner's features, example by example,
    each row divided by its L2 norm, and h those of the source's. The mean over the batch is `|G - H|^2 / B^2`.

    Args:
        learner_features: [batch, ...], any float type.
        source_features: [batch, ...], of any length.

    Returns:
        float32 [batch] in 0..4 / batch; the same for a multiple of all features of one side.

    Raises:
        ValueError: if the batch sizes differ or one has no element dimension.

    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019.
    """
    learner, source = (_unit_rows(one) for one in paired_features(learner_features, source_features))
    return tf.reduce_mean(tf.square(learner - source), axis=1)


def neighbour_divergence(learner_features: tf.Tensor, source_features: tf.Tensor) -> tf.Tensor:
    """Divergence of two distributions over the batch, which say how likely an example is to pick each as its neighbour.

    `loss_b = 1/B sum_j q_bj log((q_bj + e) / (p_bj + e))`, `e = 1e-7`, where p is the learner's: half of 1 plus the
    cosine of b's and j's features, divided by the sum over j, and q the source's likewise. An example is a neighbour of
    its own.

    Args:
        learner_features: [batch, ...], any float type.
        source_features: [batch, ...], of any length.

    Returns:
        float32 [batch], 0 or more up to the e; the same for a multiple of an example's features.

    Raises:
        ValueError: if the batch sizes differ or one has no element dimension.

    Source: Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, with
        the cosine kernel, as in the authors' code, which takes the mean over all pairs.
    """
    learner, source = (_neighbours(one) for one in paired_features(learner_features, source_features))
    ratio = (source + PROBABILITY_EPSILON) / (learner + PROBABILITY_EPSILON)
    return tf.reduce_mean(source * tf.math.log(ratio), axis=1)


def congruence_loss(learner_features: tf.Tensor, source_features: tf.Tensor) -> tf.Tensor:
    """How much the errors of neighbours in the batch go together.

    With `e_b = |s_b - t_b|`, element by element, the loss is the mean of `e_b . e_(b+1)` over the B - 1 pairs of
    neighbours. An example gets half of each pair that it is in, times B / (B - 1), so that the mean is that mean.

    Args:
        learner_features: s, [batch, elements], any float type.
        source_features: t, the same shape.

    Returns:
        float32 [batch], 0 or more; 0 of a single example.

    Raises:
        ValueError: if the shapes differ or are not [batch, elements].

    Source: the form that RepDistiller gives Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV
        2019, whose own loss compares two matrices of a Gaussian kernel.
    """
    learner, source = flattened("learner_features", learner_features), flattened("source_features", source_features)
    require_same_shape("learner_features", learner, "source_features", source)
    errors = tf.abs(learner - source)
    pairs = 0.5 * tf.reduce_sum(errors[1:] * errors[:-1], axis=1)
    size = tf.cast(tf.shape(errors)[0], tf.float32)
    shares = tf.pad(pairs, [[0, 1]]) + tf.pad(pairs, [[1, 0]])
    return shares[: tf.shape(errors)[0]] * size / tf.maximum(size - 1.0, 1.0)


def paired_features(learner_features: tf.Tensor, source_features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Both as float32 [batch, elements], once they are known to be of as many examples.

    Raises:
        ValueError: if the batch sizes differ or one has no element dimension.
    """
    learner, source = flattened("learner_features", learner_features), flattened("source_features", source_features)
    require_same_shape("the batch of learner_features", learner[:, 0], "the batch of source_features", source[:, 0])
    return learner, source


def _unit_rows(features: tf.Tensor) -> tf.Tensor:
    # The scale cancels in the end; without it here, the products of small features would drown in epsilon.
    features = unit(features)
    products = tf.matmul(features, features, transpose_b=True)
    return unit(products, axis=1)


def _neighbours(features: tf.Tensor) -> tf.Tensor:
    directions = unit(features, axis=1)
    likeness = (tf.matmul(directions, directions, transpose_b=True) + 1.0) / 2.0
    return likeness / tf.reduce_sum(likeness, axis=1, keepdims=True)
