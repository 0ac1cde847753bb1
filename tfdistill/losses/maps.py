"""Losses that compare two networks' feature maps position by position, one value per example.

Maps are [batch, height, width, channels] of one height and width. As elsewhere: none weighs itself, none stops a
gradient, and each works in float32 whatever it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from tfdistill.losses.shapes import as_float32, paired_maps, require_rank, require_same_shape, unit

# Of a norm; TensorFlow's own bounds the squared norm.
POOLED_SIZES = (4, 2, 1)


def attention_distance(learner_map: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """Squared distance of two attention maps, which say where in an image a network has large features.

    `loss = mean_p (q^_p - r^_p)^2` over the positions p, with `q_p = mean_c s_pc^2` of the learner's map s, r of the
    source's map likewise, and both divided by their own L2 norm over the positions.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same but for its channels, which may be more or fewer.

    Returns:
        float32 [batch] in 0..2 / positions; the same for a multiple of a map.

    Raises:
        ValueError: if one is no map, or batch, height or width differ.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017. Of the difference the authors'
        code takes the mean of the squares, and so does this.
    """
    learner, source = (_attention(one) for one in _maps(learner_map, source_map))
    return tf.reduce_mean(tf.square(learner - source), axis=1)


def selectivity_distance(learner_map: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """Maximum mean discrepancy of two sets of channels, each channel a point: where in the image it is active.

    `loss = mean_cc' k(s^_c, s^_c') + mean_dd' k(t^_d, t^_d') - 2 mean_cd k(s^_c, t^_d)`, `k(a, b) = (a . b)^2`, with
    s^_c the channel c of the learner's map, flattened and divided by its L2 norm, and t^_d a channel of the source's.

    Of C and D channels and P positions it keeps C^2 + D^2 + CD or 2 P^2 numbers per example, whichever is less: the
    same sum is the squared distance of the two matrices [P, P] of positions, `S S^T / C` and `T T^T / D`. At a batch of
    256 that is 8 MiB for 8 x 8 maps of 64 channels, and 0.75 MiB for 32 x 32 maps of 16.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same but for its channels, which may be more or fewer.

    Returns:
        float32 [batch], 0 or more up to rounding; the same for a multiple of a channel.

    Raises:
        ValueError: if one is no map, or batch, height or width differ.

    Source: Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, with the
        polynomial kernel of degree 2 without a constant.
    """
    learner, source = (_unit_channels(one) for one in _maps(learner_map, source_map))
    positions, own, others = learner.shape[1], learner.shape[2], source.shape[2]
    if 2 * positions**2 <= own**2 + others**2 + own * others:
        matrices = (tf.matmul(one, one, transpose_b=True) / one.shape[2] for one in (learner, source))
        return tf.reduce_sum(tf.square(tf.subtract(*matrices)), axis=(1, 2))
    return _mean_kernel(learner, learner) + _mean_kernel(source, source) - 2.0 * _mean_kernel(learner, source)


def gaussian_negative_log_likelihood(mean: tf.Tensor, variance: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """How unlikely the source's map is to whoever expects it at `mean`, give or take a deviation per channel.

    `loss = mean_pc 1/2 [(m_pc - t_pc)^2 / v_c + log v_c]`, which leaves out the constant 1/2 log 2 pi.

    Args:
        mean: m, [batch, height, width, channels], any float type.
        variance: v, [channels], above 0.
        source_map: t, as `mean`.

    Returns:
        float32 [batch]; below 0 where the map is met with a variance below 1.

    Raises:
        ValueError: if the shapes do not fit.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019.
    """
    mean, source = as_float32(mean), as_float32(source_map)
    require_rank("mean", mean, 4, "[batch, height, width, channels]")
    require_same_shape("mean", mean, "source_map", source)
    variance = as_float32(variance)
    if not variance.shape.is_compatible_with(mean.shape[3:]):
        raise ValueError(f"variance must have a value for each channel of mean, got {variance.shape} and {mean.shape}")
    surprise = tf.square(mean - source) / variance + tf.math.log(variance)
    return 0.5 * tf.reduce_mean(surprise, axis=(1, 2, 3))


def hierarchical_distance(learner_map: tf.Tensor, source_map: tf.Tensor) -> tf.Tensor:
    """Squared distance of two maps, and of what is left of them when they are averaged to fewer and fewer positions.

    `loss = (d(s, t) + 1/2 d(s_4, t_4) + 1/4 d(s_2, t_2) + 1/8 d(s_1, t_1)) / (1 + 1/2 + 1/4 + 1/8)`, where d is the
    mean of the squares, and s_n the map averaged to n x n positions. A size that is not smaller than the map is left
    out, in both sums, and the weights left are 1, 1/2, ... in their order.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same shape.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or are no maps.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021; sizes and weights are those of the
        authors' code.
    """
    learner, source = paired_maps(learner_map, source_map)
    difference, sizes = learner - source, learner.shape[1:3]
    total, weight, weights = tf.reduce_mean(tf.square(difference), axis=(1, 2, 3)), 1.0, 1.0
    for size in POOLED_SIZES:
        if size < sizes[0]:
            weight /= 2
            pooled = averaged_to(difference, size)
            total += weight * tf.reduce_mean(tf.square(pooled), axis=(1, 2, 3))
            weights += weight
            if _divides(size, sizes):
                # Each size divides the one before: from here on the means of means are the same, of fewer numbers.
                difference = pooled
    return total / weights


def averaged_to(maps: tf.Tensor, size: int) -> tf.Tensor:
    """Averages maps of any known size to `size` x `size` positions.

    Position i is the mean over `floor(i h / size)` up to `ceil((i + 1) h / size)`; neighbours share a row where the
    height h is no multiple of `size`, as in PyTorch's adaptive average pooling.

    Args:
        maps: [batch, height, width, channels].
        size: at most height and width.
    """
    if _divides(size, maps.shape[1:3]):
        window = [length // size for length in maps.shape[1:3]]
        return tf.nn.avg_pool2d(maps, window, window, "VALID")
    rows, columns = (_averaging(length, size) for length in maps.shape[1:3])
    return tf.einsum("ih,bhwc,jw->bijc", rows, maps, columns)


def _divides(size: int, lengths: Iterable[int]) -> bool:
    return all(length % size == 0 for length in lengths)


def _averaging(length: int, size: int) -> tf.Tensor:
    """The matrix [size, length] whose rows average."""
    edges = [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
    rows = [[float(begin <= at < end) / (end - begin) for at in range(length)] for begin, end in edges]
    return tf.constant(rows, tf.float32)


def _maps(learner_map: tf.Tensor, source_map: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    learner, source = as_float32(learner_map), as_float32(source_map)
    for name, one in (("learner_map", learner), ("source_map", source)):
        require_rank(name, one, 4, "[batch, height, width, channels]")
    require_same_shape("learner_map without channels", learner[..., 0], "source_map without channels", source[..., 0])
    return learner, source


def _attention(maps: tf.Tensor) -> tf.Tensor:
    """[batch, positions], each example of norm 1."""
    squares = tf.reduce_mean(tf.square(maps), axis=3)
    flat = tf.reshape(squares, [-1, squares.shape[1] * squares.shape[2]])
    return unit(flat, axis=1)


def _unit_channels(maps: tf.Tensor) -> tf.Tensor:
    """[batch, positions, channels], each channel of an example of norm 1."""
    flat = tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2], maps.shape[3]])
    return unit(flat, axis=1)


def _mean_kernel(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The mean of (a . b)^2 over all channels a of one and b of the other."""
    return tf.reduce_mean(tf.square(tf.matmul(first, second, transpose_a=True)), axis=(1, 2))
