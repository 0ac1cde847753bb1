"""How a network's answer changes with its image."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.networks.taps import tap_of
from tfdistill.taps import CallModel, Taps


def input_gradients(
    model: keras.Model, images: tf.Tensor, call: CallModel, classes: tf.Tensor | None = None
) -> tuple[Taps, tf.Tensor, tf.Tensor]:
    """Calls a model, and gives the gradient of one logit of each example for the images.

    `g_b = ∂ Σ_j z_j[c_j] / ∂ x_b` for the logits z of the images x and a class c for each. Where an example's logits
    depend on its own image alone, that is the gradient of its own logit. In training mode batch normalization has them
    depend on the whole batch's images, by its mean and variance, and the gradient goes through these too.

    The call leaves no trace: running statistics, and generators of dropout's masks, are what they were. What it reads
    of the model's variables is on the tapes that record around it, so that the gradients can be differentiated.

    Args:
        model: functional, from images to a dict of taps with the logits.
        images: `[batch, height, width, channels]`, as the model is shown them.
        call: calls it in the mode that is asked for.
        classes: c, integers `[batch]`; the class of the largest logit, the first of equals, if not given.

    Returns:
        the taps, the classes, and the gradients, of the images' shape in float32.

    Raises:
        ValueError: there is no gradient, as where pixels are rounded on the way.
    """
    images = tf.cast(images, tf.float32)
    # A scope within a scope knows nothing of the outer one's values; so they are passed on.
    values = [(variable, tf.convert_to_tensor(variable)) for variable in model.variables]
    scope = keras.StatelessScope(values, initialize_variables=False)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        with scope:
            taps = call(model, images)
        logits = tf.cast(taps["logits"], tf.float32)
        if classes is None:
            classes = tf.argmax(logits, axis=1)
        is_chosen = tf.one_hot(classes, logits.shape[-1], True, False, dtype=tf.bool)
        chosen = tf.reduce_sum(tf.where(is_chosen, logits, 0.0), axis=1)
    try:
        gradients = tape.gradient(chosen, images)
    except LookupError:  # an operation that TensorFlow cannot differentiate
        gradients = None
    if gradients is None:
        raise ArgumentError(
            "networks",
            f"the answer of {model.name} has no gradient for its images, as where a network rounds pixels, or reads "
            "whole numbers, or comes from a SavedModel that cannot be differentiated; take another one",
        )
    return taps, classes, gradients


def require_input_gradients(model: keras.Model) -> None:
    """Refuses a network that cannot be differentiated by its images, tried on a black one.

    Args:
        model: functional, from images of one size to a dict of taps with the logits.

    Raises:
        ValueError: as `input_gradients`, or the model has no logits, such as a detector.
    """
    tap_of(model, "logits")
    input_gradients(model, tf.zeros([1, *model.input_shape[1:]]), lambda one, images: one(images, training=False))
