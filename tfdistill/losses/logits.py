"""Losses on logits, each a pure function that returns one value per example.

None of them averages over the batch, weights itself or stops a gradient: the method weights, the engine
averages, and who may move is decided by which models an update owns.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import as_float32, paired_logits, require_rank, require_same_shape, require_temperature


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the labels with the softmax of the logits.

    `loss = -sum_k y_k log softmax(z)_k`, where `y` is the label's one-hot vector or the soft label itself.

    Args:
        labels: integers [batch] in 0..classes-1, or a distribution over the classes [batch, classes] whose
            rows are non-negative and sum to one.
        logits: [batch, classes], any float type.

    Returns:
        float32 [batch], in nats. An integer label out of range is an error on CPU, and nan on an accelerator.

    Raises:
        ValueError: if the shapes do not belong together, or labels of shape [batch] are not integers.
    """
    logits = as_float32(logits)
    labels = tf.convert_to_tensor(labels)
    require_rank("logits", logits, 2, "[batch, classes]")
    if labels.shape.rank == 1:
        _require_class_indices(labels, logits)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    require_same_shape("labels", labels, "logits", logits)
    return -tf.reduce_sum(as_float32(labels) * tf.nn.log_softmax(logits), axis=-1)


def kl_divergence(source_logits: tf.Tensor, learner_logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Kullback-Leibler divergence from the learner's softened prediction to the source's.

    `loss = sum_k p_k log(p_k / q_k)` with `p = softmax(source / temperature)` and
    `q = softmax(learner / temperature)`.

    It is NOT multiplied by temperature squared: its gradient shrinks with 1 / temperature^2, and a method
    whose paper compensates for that says so in its own weight. Nothing is detached here: a gradient flows to
    both arguments, and an update takes it only for the models that it owns. Both logarithms come from
    `log_softmax`, so finite logits of any size give finite values. At temperatures in the hundreds the value is a
    difference of nearly equal numbers, and keeps few of float32's digits; its gradient keeps more. See
    `high_temperature_limit`.

    Args:
        source_logits: [batch, classes], any float type, the prediction that is imitated.
        learner_logits: [batch, classes], any float type, the prediction that imitates.
        temperature: softening of both predictions, finite and above 0; 1 leaves them as they are.

    Returns:
        float32 [batch], in nats; 0, up to rounding, where the two predictions agree.

    Raises:
        ValueError: if the shapes differ or are not [batch, classes], or the temperature is out of range.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network"; Zhang et al., "Deep Mutual
        Learning", at temperature 1.
    """
    require_temperature(temperature)
    source_logits, learner_logits = paired_logits(source_logits, learner_logits)
    log_source = tf.nn.log_softmax(source_logits / temperature)
    log_learner = tf.nn.log_softmax(learner_logits / temperature)
    return tf.reduce_sum(tf.exp(log_source) * (log_source - log_learner), axis=-1)


def top_k_correct(labels: tf.Tensor, logits: tf.Tensor, k: int) -> tf.Tensor:
    """Whether the label is among the k largest logits: 1 if it is, 0 if not.

    The label is among them when fewer than k logits are strictly greater than its own, so a tie counts for
    the label, as in `tf.math.in_top_k`; unlike that operation this one compiles under XLA. Also as there, a
    row with a nan or infinite logit, and a label out of range, are never correct.

    Args:
        labels: integers [batch].
        logits: [batch, classes], any float type.
        k: how many of the largest logits count, at least 1; above the number of classes it means all of them.

    Returns:
        float32 [batch] of 0 and 1.

    Raises:
        ValueError: if the shapes do not belong together, labels are not integers, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    logits, labels = as_float32(logits), tf.convert_to_tensor(labels)
    require_rank("logits", logits, 2, "[batch, classes]")
    require_rank("labels", labels, 1, "[batch]")
    _require_class_indices(labels, logits)
    classes = tf.shape(logits, out_type=labels.dtype)[1]
    in_range = (labels >= 0) & (labels < classes)
    labels_own = tf.gather(logits, tf.clip_by_value(labels, 0, classes - 1), batch_dims=1)
    greater = tf.math.count_nonzero(logits > labels_own[:, None], axis=-1)
    # Every comparison with nan is false: without this, a network that diverged would be right everywhere.
    usable = tf.reduce_all(tf.math.is_finite(logits), axis=-1) & in_range
    return tf.cast((greater < k) & usable, tf.float32)


def _require_class_indices(labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Raise unless `labels` are integers, one for every row of `logits`."""
    if not labels.dtype.is_integer:
        raise ValueError(f"labels of shape [batch] must be integers, got {labels.dtype.name}")
    if not labels.shape[:1].is_compatible_with(logits.shape[:1]):
        raise ValueError(
            f"labels and logits must have the same batch size, got {labels.shape[0]} and {logits.shape[0]}"
        )
