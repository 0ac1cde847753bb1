"""Losses on feature maps and their factors, each a pure function that returns one value per example.

A factor is a tensor [batch, ...] of any rank from 2, usually an encoder's output [batch, height, width,
channels]. Each example is flattened and, where a formula has a hat, divided by its own L2 norm:
x^ = x / max(|x|, 1e-12).
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import flattened, require_same_shape, unit


def normalized_distance(a: tf.Tensor, b: tf.Tensor, order: int = 1) -> tf.Tensor:
    """Distance between two factors after each example's L2 normalisation.

    Order 1: `mean_d |a^_d - b^_d|`. Order 2: `sqrt(mean_d (a^_d - b^_d)^2)`. The mean runs over the D
    elements of one example, so order 1 is at most 2 / sqrt(D), and so is order 2.

    Args:
        a: [batch, ...], rank 2 or more, any float type.
        b: the same shape as `a`.
        order: 1 or 2.

    Returns:
        float32 [batch], symmetric in `a` and `b`; its gradient where they agree is 0, for order 2 too.

    Raises:
        ValueError: if the shapes differ or have no element dimension, or the order is another number.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", Eq. 2
        and 3; order 1 is also Kim et al., "Paraphrasing Complex Network: Network Compression via Factor
        Transfer". The equations write a sum of absolute values; the authors' code takes the mean, which keeps
        a weight of 50 comparable with the cross-entropy, and so does this. For order 2 their code takes one
        root over the whole batch; the paper's norm is of one pair of factors, so here each example has its
        own root.
    """
    _require_order(order)
    first, second = _normalize(*_flatten_pair("a", a, "b", b))
    difference = first - second
    if order == 1:
        return tf.reduce_mean(tf.abs(difference), axis=1)
    return _root(tf.reduce_mean(tf.square(difference), axis=1))


def euclidean_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Euclidean distance of two factors as they are, not normalised: `sqrt(sum_d (a_d - b_d)^2)`.

    Args:
        a: [batch, ...], rank 2 or more, any float type.
        b: the same shape as `a`.

    Returns:
        float32 [batch], symmetric in `a` and `b`, without a bound; its gradient where they agree is 0.

    Raises:
        ValueError: if the shapes differ or have no element dimension.
    """
    first, second = _flatten_pair("a", a, "b", b)
    return _root(tf.reduce_sum(tf.square(first - second), axis=1))


def cosine_similarity(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cosine of the angle between two flattened factors: `sum_d a^_d b^_d`.

    Args:
        a: [batch, ...], rank 2 or more, any float type.
        b: the same shape as `a`.

    Returns:
        float32 [batch] in -1..1; 0 where either factor is all zero.

    Raises:
        ValueError: if the shapes differ or have no element dimension.
    """
    first, second = _normalize(*_flatten_pair("a", a, "b", b))
    return tf.reduce_sum(first * second, axis=1)


def partial_l2_distance(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    """Squared distance that forgives the learner where both are negative and it lies below the source.

    `loss = mean_d [s^_d > t^_d or t^_d > 0] (s^_d - t^_d)^2`, with s the learner's factor and t the source's.
    An element that the source does not activate only has to stay below the source's value.

    Args:
        learner_factor: [batch, ...], rank 2 or more, any float type.
        source_factor: the same shape.

    Returns:
        float32 [batch], a mean of squares: much smaller than the distances that are not squared.

    Raises:
        ValueError: if the shapes differ or have no element dimension.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", for the masks; Huang et al.,
        "Revisiting Knowledge Distillation", Table 6a, for its use on factors. The latter gives no formula:
        the factors are normalised as in its Eq. 2, without a margin (a factor has no batch normalisation of a
        teacher to take one from), and averaged over elements.
    """
    learner, source = _normalize(*_flatten_pair("learner_factor", learner_factor, "source_factor", source_factor))
    counts = tf.cast((learner > source) | (source > 0), tf.float32)
    return tf.reduce_mean(counts * tf.square(learner - source), axis=1)


def linear_cka(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Linear centred kernel alignment of two sets of examples, the one number given to every example.

    `cka = <K, L> / (|K| |L|)`, K and L the Gram matrices [batch, batch] of the flattened factors, centred
    over the batch. A statistic of the examples given: it depends on the batch size, and with several replicas
    each has its own.

    Args:
        a: [batch, ...], rank 2 or more, any float type.
        b: [batch, ...], the same batch size; its other dimensions may differ.

    Returns:
        float32 [batch], the same value in 0..1 throughout; 0 where either set does not vary, as with one
        example.

    Raises:
        ValueError: if the batch sizes differ or a factor has no element dimension.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", Eq. 1 and 3, in the
        form with Gram matrices, which is the cheaper one for factors longer than the batch.
    """
    first, second = flattened("a", a), flattened("b", b)
    require_same_shape("the batch of a", first[:, 0], "the batch of b", second[:, 0])
    alignment = tf.reduce_sum(_unit_gram(first) * _unit_gram(second))
    return tf.fill(tf.shape(first)[:1], alignment)


def distance(a: tf.Tensor, b: tf.Tensor, order: int = 1) -> tf.Tensor:
    """Distance between two feature maps as they are, not normalised.

    Order 1: `mean_d |a_d - b_d|`. Order 2: `mean_d (a_d - b_d)^2`.

    Args:
        a: [batch, ...], rank 2 or more, any float type.
        b: the same shape as `a`.
        order: 1 or 2.

    Returns:
        float32 [batch], symmetric in `a` and `b`.

    Raises:
        ValueError: if the shapes differ or have no element dimension, or the order is another number.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", Tables 1 and 7, without
        a formula: taken as means over the elements of one example, so that a weight does not depend on the
        map's size.
    """
    _require_order(order)
    return _mean_error(*_flatten_pair("a", a, "b", b), order)


def reconstruction(inputs: tf.Tensor, outputs: tf.Tensor, order: int = 1) -> tf.Tensor:
    """Error of an auto-encoder's output, not normalised.

    Order 1: `mean_d |inputs_d - outputs_d|`. Order 2: `mean_d (inputs_d - outputs_d)^2`.

    Args:
        inputs: [batch, ...], rank 2 or more, any float type.
        outputs: the same shape.
        order: 1 or 2.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or have no element dimension, or the order is another number.

    Source: Huang et al., "Revisiting Knowledge Distillation", Eq. 1, is order 2 without the mean; the
        authors' code trains with order 1, the default here, as Kim et al.'s factor transfer does.
    """
    _require_order(order)
    return _mean_error(*_flatten_pair("inputs", inputs, "outputs", outputs), order)


def _l1(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return normalized_distance(learner_factor, source_factor, order=1)


def _l2(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return normalized_distance(learner_factor, source_factor, order=2)


def _cosine_distance(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return 1.0 - cosine_similarity(learner_factor, source_factor)


def _negative_l1(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return -_l1(learner_factor, source_factor)


def _negative_l2(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return -_l2(learner_factor, source_factor)


def _absolute_cosine(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return tf.abs(cosine_similarity(learner_factor, source_factor))


def _negative_partial_l2(learner_factor: tf.Tensor, source_factor: tf.Tensor) -> tf.Tensor:
    return -partial_l2_distance(learner_factor, source_factor)


# Huang et al., Table 6a: each metric's loss for the part that inherits and for the part that explores, as
# functions of (learner_factor, source_factor) that return [batch]. Both are minimised.
INHERITANCE_METRICS = {
    "l1": _l1,
    "l2": _l2,
    "cosine": _cosine_distance,
    "partial_l2": partial_l2_distance,
    "l1_cka": _l1,
}
EXPLORATION_METRICS = {
    "l1": _negative_l1,
    "l2": _negative_l2,
    "cosine": _absolute_cosine,
    "partial_l2": _negative_partial_l2,
    "l1_cka": linear_cka,
}


def _require_order(order: int) -> None:
    if order not in (1, 2):
        raise ValueError(f"order must be 1 (absolute values) or 2 (squares), got {order}")


def _root(squares: tf.Tensor) -> tf.Tensor:
    # The root's slope at 0 is infinite. Taken at 1 there and discarded, it gives a gradient of 0.
    apart = squares > 0
    return tf.where(apart, tf.sqrt(tf.where(apart, squares, 1.0)), 0.0)


def _mean_error(first: tf.Tensor, second: tf.Tensor, order: int) -> tf.Tensor:
    error = tf.abs(first - second) if order == 1 else tf.square(first - second)
    return tf.reduce_mean(error, axis=1)


def _flatten_pair(
    first_name: str, first: tf.Tensor, second_name: str, second: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    first, second = tf.convert_to_tensor(first), tf.convert_to_tensor(second)
    require_same_shape(first_name, first, second_name, second)
    return flattened(first_name, first), flattened(second_name, second)


def _normalize(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Divide each example of both by its L2 norm."""
    return unit(first, axis=1), unit(second, axis=1)


def _unit_gram(examples: tf.Tensor) -> tf.Tensor:
    """Return the Gram matrix [batch, batch] of the centred examples, divided by its Frobenius norm."""
    centred = examples - tf.reduce_mean(examples, axis=0, keepdims=True)
    # The scale cancels in the end; without it here, the squares of small factors would drown in epsilon.
    centred = unit(centred)
    gram = tf.matmul(centred, centred, transpose_b=True)
    return unit(gram)
