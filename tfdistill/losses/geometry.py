"""Losses on how the examples of a batch lie to each other: their distances, and the angles that they span.

Features are [batch, ...] of any rank from 2, and are flattened; the learner's and the source's need not have the same
length. Each loss is a statistic of the batch. What an example gets is its share, so that the mean over the batch is the
paper's loss. It depends on the batch size, and with several replicas each relates the examples of its own share.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfdistill.losses.logit_matching import smooth_l1
from tfdistill.losses.similarities import paired_features

# Two examples nearer than this are at one place.
NEAREST = 1e-6
# Of angles and directions that are kept at a time: 16 MiB each.
KEPT = 2**22


def distance_potential(learner_features: tf.Tensor, source_features: tf.Tensor) -> tf.Tensor:
    """Error of the distances between examples, each in units of the batch's mean distance.

    `loss_b = 1/B sum_j h(d_bj / mean d - e_bj / mean e)`, where d is the distance of the source's features of b and j,
    e the learner's, `h(x) = x^2 / 2` where |x| < 1 and `|x| - 1/2` elsewhere. The means are over pairs at different
    places.

    It keeps a few matrices [batch, batch], 256 KiB each at a batch of 256.

    Args:
        learner_features: [batch, ...], any float type.
        source_features: [batch, ...], of any length.

    Returns:
        float32 [batch]; the same for one side's features moved, turned or scaled as a whole.

    Raises:
        ValueError: if the batch sizes differ or one has no element dimension.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019.
    """
    learner, source = (_relative_distances(one) for one in paired_features(learner_features, source_features))
    return smooth_l1(source, learner)


def angle_potential(learner_features: tf.Tensor, source_features: tf.Tensor) -> tf.Tensor:
    """Error of the angles that every two examples span, as every third sees them.

    `loss_b = 1/B^2 sum_jk h(cos jbk - cos' jbk)`, where cos jbk is the cosine of the angle at b between the source's
    features of j and k, cos' the learner's, and h as in `distance_potential`.

    The B^3 cosines of a side are not kept. They are computed for some b at a time, and once more for the gradient, so
    that about six tensors of 16 MiB or less are there at once: at a batch of 256 naively one is 64 MiB. Where an
    example has more than 256 elements, fewer b are taken at a time.

    Args:
        learner_features: [batch, ...], any float type.
        source_features: [batch, ...], of any length.

    Returns:
        float32 [batch] in 0..1.5; the same for one side's features moved, turned or scaled as a whole. It can be
        differentiated once.

    Raises:
        ValueError: if the batch sizes differ or one has no element dimension.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019; as in the authors' code two
        examples at one place span a right angle.
    """
    learner, source = paired_features(learner_features, source_features)
    if learner.shape[0] == 0:  # no block to take
        return tf.reduce_sum(learner, axis=1)
    return _angle_errors(learner, source)


def _relative_distances(features: tf.Tensor) -> tf.Tensor:
    """[batch, batch], in units of their mean."""
    # Distances are the same after the move, and inner products lose fewer digits.
    features -= tf.reduce_mean(features, axis=0, keepdims=True)
    products = tf.matmul(features, features, transpose_b=True)
    norms = tf.linalg.diag_part(products)
    squares = norms[:, None] + norms[None, :] - 2.0 * products
    apart = (squares > NEAREST**2) & ~tf.eye(tf.shape(squares)[0], dtype=tf.bool)
    # The root's slope at 0 is infinite. Taken at 1 there and discarded, it gives a gradient of 0.
    distances = tf.where(apart, tf.sqrt(tf.where(apart, squares, 1.0)), 0.0)
    pairs = tf.reduce_sum(tf.cast(apart, tf.float32))
    return tf.math.divide_no_nan(distances * pairs, tf.reduce_sum(distances))


@tf.custom_gradient
def _angle_errors(learner: tf.Tensor, source: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple]]:
    starts, offsets, last = _blocks(learner, source)

    def of_block(start: tf.Tensor) -> tf.Tensor:
        return _errors_seen_from(tf.minimum(start + offsets, last), learner, source)

    values = tf.map_fn(of_block, starts, fn_output_signature=tf.TensorSpec([None], tf.float32))

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # The error is the same with both sides exchanged. The half that nobody asks for is not computed in a graph.
        return _slope(learner, source, upstream), _slope(source, learner, upstream)

    return tf.reshape(values, [-1])[: last + 1], gradients


def _slope(moved: tf.Tensor, other: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient for one side's features, block by block."""
    starts, offsets, last = _blocks(moved, other)

    def add(total: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        places = tf.minimum(start + offsets, last)
        # The last block may reach beyond the batch.
        weights = tf.where(start + offsets <= last, tf.gather(upstream, places), 0.0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(moved)
            errors = _errors_seen_from(places, moved, other)
        return total + tape.gradient(errors, moved, output_gradients=weights)

    return tf.foldl(add, starts, initializer=tf.zeros_like(moved))


def _blocks(learner: tf.Tensor, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where each block of examples begins, the offsets of its examples, and the place of the batch's last example."""
    count = tf.shape(learner)[0]
    longest = tf.maximum(tf.maximum(tf.shape(learner)[1], tf.shape(source)[1]), count)
    size = tf.clip_by_value(KEPT // tf.maximum(count * longest, 1), 1, tf.maximum(count, 1))
    return tf.range(0, count, size), tf.range(size), count - 1


def _errors_seen_from(places: tf.Tensor, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    """[places], the mean error of the angles at each of these examples."""
    cosines = (_cosines(places, one) for one in (learner, source))
    seen, wanted = (tf.reshape(one, [tf.shape(places)[0], -1]) for one in cosines)
    return smooth_l1(wanted, seen)


def _cosines(places: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
    """[places, batch, batch], of the angles at these examples."""
    directions = features[None] - tf.gather(features, places)[:, None]
    unit = tf.math.l2_normalize(directions, axis=2, epsilon=1e-24)
    return tf.matmul(unit, unit, transpose_b=True)
