"""What every loss asks of its tensors: float32 values, and shapes that belong together."""

from __future__ import annotations

import math

import tensorflow as tf

NORM_EPSILON = 1e-12


def as_float32(value: tf.Tensor) -> tf.Tensor:
    """Return `value` as a float32 tensor, so that a loss never works in bfloat16.

    Args:
        value: a tensor, or anything TensorFlow turns into one, of any shape and numeric type.

    Returns:
        A float32 tensor of the same shape.
    """
    return tf.cast(tf.convert_to_tensor(value), tf.float32)


def flattened(name: str, value: tf.Tensor) -> tf.Tensor:
    """Return a tensor [batch, ...] of rank 2 or more as float32 [batch, elements].

    Args:
        name: the tensor's argument name, for the message.
        value: [batch, ...], any float type.

    Raises:
        ValueError: if it has no element dimension.
    """
    value = as_float32(value)
    if value.shape.rank is not None and value.shape.rank < 2:
        raise ValueError(f"{name} must be [batch, ...] with at least 2 dimensions, got shape {value.shape}")
    elements = value.shape[1:].num_elements()
    # -1 stands for the elements only where they are unknown: it cannot be inferred for an empty batch.
    return tf.reshape(value, [-1, elements] if elements is not None else [tf.shape(value)[0], -1])


def unit(values: tf.Tensor, axis: int | None = None) -> tf.Tensor:
    """Return a tensor divided by its L2 norm, which counts as 1e-12 where it is less.

    Args:
        values: a tensor of any shape and float type.
        axis: along which the norms are taken; all of the tensor has one norm if not given.
    """
    # TensorFlow's epsilon bounds the squared norm.
    return tf.math.l2_normalize(values, axis=axis, epsilon=NORM_EPSILON**2)


def require_same_shape(first_name: str, first: tf.Tensor, second_name: str, second: tf.Tensor) -> None:
    """Raise unless two tensors can have the same shape, so that nothing broadcasts in silence.

    Only static shapes are looked at: inside a `tf.function` this costs nothing per step.

    Args:
        first_name: the first tensor's argument name, for the message.
        first: a tensor of any shape.
        second_name: the second tensor's argument name, for the message.
        second: a tensor of any shape.

    Raises:
        ValueError: if a dimension known in both differs, or the ranks do.
    """
    if not first.shape.is_compatible_with(second.shape):
        raise ValueError(
            f"{first_name} and {second_name} must have the same shape, got {first.shape} and {second.shape}"
        )


def require_rank(name: str, tensor: tf.Tensor, rank: int, meaning: str) -> None:
    """Raise unless a tensor has the given number of dimensions.

    Args:
        name: the tensor's argument name, for the message.
        tensor: a tensor of any shape.
        rank: the number of dimensions it must have.
        meaning: those dimensions in words, such as "[batch, classes]".

    Raises:
        ValueError: if the rank is known and another.
    """
    if tensor.shape.rank not in (None, rank):
        raise ValueError(f"{name} must be {meaning}, got shape {tensor.shape}")


def paired_maps(learner_map: tf.Tensor, source_map: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return both feature maps as float32, once they are known to be of one shape.

    Args:
        learner_map: [batch, height, width, channels], any float type.
        source_map: the same shape.

    Raises:
        ValueError: if the shapes differ or are no maps.
    """
    learner, source = as_float32(learner_map), as_float32(source_map)
    require_rank("learner_map", learner, 4, "[batch, height, width, channels]")
    require_same_shape("learner_map", learner, "source_map", source)
    return learner, source


def paired_logits(source_logits: tf.Tensor, learner_logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return both logits as float32, once they are known to belong together.

    Args:
        source_logits: [batch, classes], any float type.
        learner_logits: the same shape.

    Raises:
        ValueError: if the shapes differ or are not [batch, classes].
    """
    source_logits, learner_logits = as_float32(source_logits), as_float32(learner_logits)
    require_rank("source_logits", source_logits, 2, "[batch, classes]")
    require_same_shape("source_logits", source_logits, "learner_logits", learner_logits)
    return source_logits, learner_logits


def require_temperature(temperature: float, name: str = "temperature") -> None:
    """Raise unless a temperature is finite and above 0.

    Args:
        temperature: what logits are divided by.
        name: the argument's name, for the message.

    Raises:
        ValueError: if it is out of range.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {temperature}")
