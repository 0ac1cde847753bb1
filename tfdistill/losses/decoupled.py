"""The divergence of two predictions in two parts, and that from a prediction made of the label alone."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import (
    as_float32,
    paired_logits,
    require_rank,
    require_same_shape,
    require_temperature,
)


def decoupled_divergences(
    labels: tf.Tensor, source_logits: tf.Tensor, learner_logits: tf.Tensor, temperature: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """The two parts of `kl_divergence` that a label makes: whether it is this class, and which it is else.

    With `p = softmax(source / T)`, `q = softmax(learner / T)` and c the labelled class:

    - target: the divergence of the distributions `(p_c, 1 - p_c)` and `(q_c, 1 - q_c)`;
    - non-target: that of the softmaxes over the other K - 1 classes alone.

    `kl_divergence = target + (1 - p_c) · non-target`. Neither is multiplied by T^2, as there. No logarithm of a
    difference is taken, so logits of any size give finite values. With two classes the non-target part is 0.

    Args:
        labels: integers [batch] in 0..classes-1, or distributions [batch, classes], of which the largest class counts.
        source_logits: [batch, classes], any float type, the prediction that is imitated.
        learner_logits: [batch, classes], any float type, the prediction that imitates.
        temperature: softening of both predictions, finite and above 0.

    Returns:
        (target, non-target), float32 [batch] each, in nats.

    Raises:
        ValueError: if the shapes do not belong together, or the temperature is out of range.

    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022. Their code subtracts 1,000 from the
        labelled class' logit where this leaves the class out.
    """
    require_temperature(temperature)
    source_logits, learner_logits = paired_logits(source_logits, learner_logits)
    labelled = _one_hot_of_largest(labels, learner_logits) > 0
    own, others = zip(*(_parts(one / temperature, labelled) for one in (source_logits, learner_logits)), strict=True)
    target = tf.reduce_sum(tf.exp(own[0]) * (own[0] - own[1]), axis=-1)
    # The labelled class has a logarithm of 0 in both, which is no difference.
    weights = tf.where(labelled, 0.0, tf.exp(others[0]))
    return target, tf.reduce_sum(weights * (others[0] - others[1]), axis=-1)


def virtual_teacher_divergence(
    labels: tf.Tensor, logits: tf.Tensor, *, confidence: float, temperature: float, learner_temperature: float = 1.0
) -> tf.Tensor:
    """Divergence from a teacher that nobody trained, who is nearly sure of the label and says nothing of the rest.

    `loss = sum_k p_k log(p_k / q_k)` with `p = softmax(u / temperature)` of the numbers u, which are `confidence` for
    the labelled class and `(1 - confidence) / (K - 1)` for each other, and `q = softmax(z / learner_temperature)`.

    Args:
        labels: integers [batch] in 0..classes-1, or distributions [batch, classes], of which u is the mixture.
        logits: [batch, classes], any float type, z, 2 classes or more.
        confidence: u of the labelled class, 0..1.
        temperature: softening of u, finite and above 0.
        learner_temperature: softening of the learner's prediction, finite and above 0.

    Returns:
        float32 [batch], in nats.

    Raises:
        ValueError: if the shapes do not belong together, or a temperature is out of range.

    Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020.
        The paper softens both sides; the code that its figures are from softens u alone, which is the default here. u
        are probabilities, but it is their softmax that is taken, in the paper and in the code.
    """
    require_temperature(temperature)
    require_temperature(learner_temperature, "learner_temperature")
    logits = as_float32(logits)
    require_rank("logits", logits, 2, "[batch, classes]")
    if logits.shape[-1] == 1:
        raise ValueError("a virtual teacher of one class has no other to share with: 2 classes or more are needed")
    classes = tf.cast(tf.shape(logits)[-1], tf.float32)
    labels = _distributions(labels, logits)
    teacher = confidence * labels + (1.0 - confidence) / (classes - 1.0) * (1.0 - labels)
    log_teacher = tf.nn.log_softmax(teacher / temperature)
    log_learner = tf.nn.log_softmax(logits / learner_temperature)
    return tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_learner), axis=-1)


def _parts(logits: tf.Tensor, labelled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logarithms of (labelled class, rest), [batch, 2], and of the softmax over the rest, [batch, classes]."""
    # The lowest float stands for a logit of minus infinity: no weight in any sum, and no NaN in a gradient.
    rest = tf.where(labelled, logits.dtype.min, logits)
    of_rest = tf.reduce_logsumexp(rest, axis=-1, keepdims=True)
    of_labelled = tf.reduce_sum(tf.where(labelled, logits, 0.0), axis=-1, keepdims=True)
    both = tf.nn.log_softmax(tf.concat([of_labelled, of_rest], axis=-1))
    return both, tf.where(labelled, 0.0, logits - of_rest)


def _one_hot_of_largest(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.convert_to_tensor(labels)
    return _distributions(labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1), logits)


def _distributions(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 1:
        if not labels.dtype.is_integer:
            raise ValueError(f"labels of shape [batch] must be integers, got {labels.dtype.name}")
        labels = tf.one_hot(labels, tf.shape(logits)[-1], dtype=tf.float32)
        labels = tf.ensure_shape(labels, [None, logits.shape[-1]])
    require_same_shape("labels", labels, "logits", logits)
    return as_float32(labels)
