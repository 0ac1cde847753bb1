"""A network whose answers can be differentiated twice, as losses on input gradients do: exactly, and at less cost.

TensorFlow differentiates `tf.nn.moments` once; a second time it leaves out how the variance depends on the mean. With
Keras' own batch normalization the gradients of a loss on input gradients are then off by a constant per channel. Its
gradient of the fused kernel is right, but is made of many operations, each as large as a map.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfdistill.networks import convolutions, graphs, layers

NORMALIZATIONS = (keras.layers.BatchNormalization, layers.BatchNormalization)


class TwiceDifferentiable(keras.Model):
    """A network with the same layers, variables and taps, but for how it is differentiated twice in training mode.

    Its batch normalizations by the batch's statistics are `normalized_by_batch`, and move no running statistics. Those
    that stand still, that have a mask or another axis than the last, and those in a model within the network that
    cannot be opened, are called as they are, and so is every other layer: Keras' layer and group normalization, which
    take moments, stay inexact.

    Args:
        network: functional, from images to a dict of taps.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name=network.name, dtype="float32", autocast=False)
        self.graph = graphs.flat_graph(network)
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = False) -> dict[str, tf.Tensor]:
        def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
            if type(operation) in NORMALIZATIONS:
                mode = {"training": training, **keywords}
                if _is_by_batch(operation, *arguments, **mode):
                    return _normalized(operation, arguments[0])
            return operation(*arguments, **keywords)

        return graphs.run_through(self.graph, tf.cast(images, self.graph.inputs[0].dtype), call)


def _is_by_batch(
    layer: keras.layers.BatchNormalization, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
) -> bool:
    has_kernel = layer.axis in (-1, inputs.shape.rank - 1) and layer.compute_dtype != "float64" and mask is None
    return bool(training and layer.trainable and has_kernel and not layer.renorm and not layer.synchronized)


def _normalized(layer: keras.layers.BatchNormalization, inputs: tf.Tensor) -> tf.Tensor:
    inputs, channels = tf.cast(inputs, layer.compute_dtype), inputs.shape[-1]
    maps = inputs if inputs.shape.rank == 4 else tf.reshape(inputs, [-1, 1, 1, channels])
    if maps.dtype == tf.bfloat16 and not convolutions.has_bfloat16_kernels():
        maps = tf.cast(maps, tf.float32)
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones([channels])
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros([channels])
    outputs = normalized_by_batch(maps, scale, offset, layer.epsilon)
    if inputs.shape.rank != 4:
        outputs = tf.ensure_shape(tf.reshape(outputs, tf.shape(inputs)), inputs.shape)
    return tf.cast(outputs, inputs.dtype)


def normalized_by_batch(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Normalizes by the batch's mean and variance, by the fused kernel, with a gradient that may be differentiated.

    With `x^ = (x - mean) r`, `r = 1 / sqrt(variance + epsilon)`, m the mean over all but the channels and
    `P(a) = a - m(a) - x^ m(a x^)`, the gradient for x is `d = scale r P(g)`, g that for the outputs. A loss with the
    gradient v for d has the gradients `scale r P(v)` for g, `s = sum g r P(v)` for scale, and
    `-r (scale m(g r P(v)) x^ + m(g x^) scale r P(v) + m(v x^) d)` for x. The kernel of d gives P(v) as well.

    The gradients for scale and offset are constants for who differentiates again.

    Args:
        inputs: x, [batch, height, width, channels], float32, bfloat16 or float16.
        scale: float32 [channels].
        offset: float32 [channels].
        epsilon: added to the variance.

    Returns:
        of the inputs' type and shape.
    """

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple:
        outputs, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )

        def kernel(gradients: tf.Tensor, scale: tf.Tensor) -> list[tf.Tensor]:
            """scale r P(gradients), and the sums of gradients x^ and of gradients."""
            first, second, third = reserved
            found = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=gradients,
                x=inputs,
                scale=scale,
                reserve_space_1=first,
                reserve_space_2=second,
                reserve_space_3=third,
                epsilon=epsilon,
                is_training=True,
            )
            return list(found[:3])

        @tf.custom_gradient
        def backward(gradients: tf.Tensor, inputs: tf.Tensor, scale: tf.Tensor) -> tuple:
            found, of_scale, of_offset = kernel(gradients, scale)

            def again(given: tf.Tensor, *_: tf.Tensor) -> tuple:
                projected, on_unit, _ = kernel(given, tf.ones_like(scale))
                projected = tf.cast(projected, tf.float32)
                count = tf.maximum(tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32), 1.0)
                inverse = tf.math.rsqrt(variance * (count - 1.0) / count + epsilon)
                slope = tf.reduce_sum(tf.cast(gradients, tf.float32) * projected, axis=(0, 1, 2))
                # Each factor has a value per channel, so that a map is multiplied once.
                of_inputs = -tf.square(inverse) * scale * slope / count
                moved = (tf.cast(inputs, tf.float32) - mean) * of_inputs
                moved -= projected * (inverse * scale * of_scale / count)
                moved -= tf.cast(found, tf.float32) * (inverse * on_unit / count)
                return tf.cast(projected * scale, gradients.dtype), tf.cast(moved, inputs.dtype), slope

            return (found, of_scale, of_offset), again

        return outputs, lambda gradients: backward(gradients, inputs, scale)

    return forward(inputs, scale, offset)
