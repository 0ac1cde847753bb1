"""How relevance goes back through one layer, each rule as a gradient, so that it holds for every layer of its kind.

With inputs a, a rule states sums z(a) whose parts are a times the gradient of z. With the relevance R of the outputs,

    R_in = a * d/da sum(z * s),    s = R / z,

where s is a constant. What the constants of z would get is absorbed, and so is what a stabilizer of z takes.

Source: Montavon et al., "Layer-Wise Relevance Propagation: An Overview", 2019, Section 10.2 and Table 10.1; the bounded
rule and the squared weights: Montavon et al., "Explaining Nonlinear Classification Decisions with Deep Taylor
Decomposition", 2017, Eqs. 8 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

Call = Callable[[Sequence[tf.Tensor]], tf.Tensor]


class Passed(NamedTuple):
    """What becomes of the relevance of a layer's outputs.

    Attributes:
        inputs: the relevance of each input, of its shape.
        biases: [images], what the layer's constants absorb.
        stabilizer: [images], what epsilon absorbs.
    """

    inputs: list[tf.Tensor]
    biases: tf.Tensor
    stabilizer: tf.Tensor


def stay(relevance: tf.Tensor) -> Passed:
    """Relevance stays with its value, as at an activation."""
    nothing = total(tf.zeros_like(relevance))
    return Passed([relevance], nothing, nothing)


def move(call: Call, inputs: Sequence[tf.Tensor], relevance: tf.Tensor) -> Passed:
    """Relevance goes back to where a value came from, as at a concatenation; in max pooling, to the largest."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = call(inputs)
    nothing = total(tf.zeros_like(relevance))
    return Passed(tape.gradient(outputs, inputs, relevance), nothing, nothing)


def share(
    call: Call,
    inputs: Sequence[tf.Tensor],
    relevance: tf.Tensor,
    *,
    epsilon: float = 0.0,
    constant: tf.Tensor | float = 0.0,
) -> Passed:
    """The epsilon rule: inputs share the relevance of a sum as they share the sum.

    Args:
        call: the layer.
        inputs: of it.
        relevance: of its output.
        epsilon: what stabilizes sums, as a share of their root mean square in the image.
        constant: what the layer adds to its sums besides.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        sums = call(inputs)
    ratio, absorbed = _ratio(relevance, sums, epsilon)
    gradients = tape.gradient(sums, inputs, ratio)
    return Passed([a * g for a, g in zip(inputs, gradients, strict=True)], total(constant * ratio), absorbed)


def weigh(layer: keras.Layer, inputs: tf.Tensor, relevance: tf.Tensor, *, epsilon: float) -> Passed:
    """The epsilon rule of a layer with a kernel; for the arguments see `share`."""
    bias = _weights(layer)[1]
    constant = 0.0 if bias is None else bias
    return share(lambda given: layer(given[0]), [inputs], relevance, epsilon=epsilon, constant=constant)


def shift(call: Call, inputs: Sequence[tf.Tensor], relevance: tf.Tensor, *, epsilon: float) -> Passed:
    """The epsilon rule of a layer that adds constants which are not known beforehand."""
    constant = call([tf.zeros_like(one) for one in inputs])
    return share(call, inputs, relevance, epsilon=epsilon, constant=constant)


def normalize(
    layer: keras.layers.LayerNormalization, inputs: tf.Tensor, relevance: tf.Tensor, *, epsilon: float
) -> Passed:
    """The epsilon rule of a layer normalization whose deviation is held, which makes it linear; see `share`.

    Source: Ali et al., "XAI for Transformers: Better Explanations through Conservative Propagation", ICML 2022, §4.2.
    """
    axes = [axis % len(inputs.shape) for axis in layer.axis]
    broadcast = [size if place in axes else 1 for place, size in enumerate(inputs.shape)]
    scale = 1.0 if layer.gamma is None else tf.reshape(layer.gamma, broadcast)
    scale *= tf.math.rsqrt(tf.math.reduce_variance(inputs, axes, keepdims=True) + layer.epsilon)
    constant = layer(tf.zeros_like(inputs))

    def call(given: Sequence[tf.Tensor]) -> tf.Tensor:
        return scale * (given[0] - tf.reduce_mean(given[0], axes, keepdims=True)) + constant

    return share(call, [inputs], relevance, epsilon=epsilon, constant=constant)


def favour(layer: keras.Layer, inputs: tf.Tensor, relevance: tf.Tensor, *, gamma: float) -> Passed:
    """The gamma rule: parts that have the sign of their sum count 1 + gamma times.

    For inputs and sums of 0 or more it is the overview's rule of positive weights. Where residual sums or linear
    bottlenecks have negative ones too, it is the products that are told apart, so that no sum comes nearer to 0.

    Args:
        layer: with a kernel.
        inputs: of it.
        relevance: of its outputs.
        gamma: 0 or more.
    """
    kernel, bias = _weights(layer)
    up, down = (_positive(kernel), _positive(bias)), (_negative(kernel), _negative(bias))
    signed = bool(tf.reduce_any(inputs < 0.0))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        for_it, against = _weighed(layer, _positive(inputs), *up), _weighed(layer, _positive(inputs), *down)
        if signed:
            for_it += _weighed(layer, _negative(inputs), down[0], None)
            against += _weighed(layer, _negative(inputs), up[0], None)
        rises = for_it + against > 0.0
        sums = for_it + against + gamma * tf.where(rises, for_it, against)
    ratio, absorbed = _ratio(relevance, sums, 0.0)
    biases = tf.zeros([len(inputs)], tf.float64)
    if bias is not None:
        biases = total(ratio * (bias + gamma * tf.where(rises, *(one[1] for one in (up, down)))))
    return Passed([inputs * tape.gradient(sums, inputs, ratio)], biases, absorbed)


def bound(layer: keras.Layer, inputs: tf.Tensor, relevance: tf.Tensor, *, low: tf.Tensor, high: tf.Tensor) -> Passed:
    """The bounded rule (z^B) of a layer that reads pixels: parts are measured from the least or most a pixel can be.

    The layer's bias is left out.

    Args:
        layer: with a kernel.
        inputs: of it.
        relevance: of its outputs.
        low: the least values, [1, ...] as inputs.
        high: the largest.
    """
    kernel, _ = _weights(layer)
    inputs = [inputs, *(tf.broadcast_to(one, inputs.shape) for one in (low, high))]

    def sums(given: Sequence[tf.Tensor]) -> tf.Tensor:
        value, least, most = given
        from_least = _weighed(layer, least, _positive(kernel), None)
        return _weighed(layer, value, kernel, None) - from_least - _weighed(layer, most, _negative(kernel), None)

    passed = share(sums, inputs, relevance)
    return passed._replace(inputs=[tf.add_n(passed.inputs)])


def square(layer: keras.Layer, inputs: tf.Tensor, relevance: tf.Tensor, *, ones: tf.Tensor) -> Passed:
    """The rule of squared weights (w^2) of a layer that reads pixels: whatever these are, the weights share.

    Args:
        layer: with a kernel.
        inputs: of it.
        relevance: of its outputs.
        ones: [1, ...] as inputs, 1 where there is a pixel and 0 in padding.
    """
    kernel, _ = _weights(layer)
    return share(
        lambda given: _weighed(layer, given[0], kernel**2, None), [tf.broadcast_to(ones, inputs.shape)], relevance
    )


def bring(call: Call, inputs: Sequence[tf.Tensor], relevance: tf.Tensor) -> Passed:
    """Relevance of an image that was brought to other numbers or another size, shared by weights alone."""
    zero = call([tf.zeros_like(one) for one in inputs])
    return share(lambda given: call(given) - zero, [tf.ones_like(one) for one in inputs], relevance)


def _weights(layer: keras.Layer) -> tuple[tf.Tensor, tf.Tensor | None]:
    kernel, *bias = (tf.convert_to_tensor(one) for one in layer.weights)
    return kernel, bias[0] if bias else None


def _weighed(layer: keras.Layer, inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """The layer's outputs, had it these weights; no bias if None."""
    given = [kernel, *([tf.zeros_like(one) if bias is None else bias for one in layer.weights[1:]])]
    with keras.StatelessScope(state_mapping=list(zip(layer.weights, given, strict=True))):
        return layer(inputs)


def _ratio(relevance: tf.Tensor, sums: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Relevance over stabilized sums, and what the stabilizer absorbs, [images]."""
    if not epsilon:
        return tf.math.divide_no_nan(relevance, sums), tf.zeros([len(sums)], tf.float64)
    size = tf.sqrt(tf.reduce_mean(sums**2, axis=range(1, len(sums.shape)), keepdims=True))
    stabilizer = epsilon * size * tf.where(sums < 0.0, -1.0, 1.0)
    ratio = tf.math.divide_no_nan(relevance, sums + stabilizer)
    return ratio, total(stabilizer * ratio)


def _positive(values: tf.Tensor | None) -> tf.Tensor | None:
    return None if values is None else tf.nn.relu(values)


def _negative(values: tf.Tensor | None) -> tf.Tensor | None:
    return None if values is None else -tf.nn.relu(-values)


def total(values: tf.Tensor) -> tf.Tensor:
    """The sum of each image, [images]."""
    return tf.reduce_sum(tf.cast(values, tf.float64), axis=range(1, len(values.shape)))
