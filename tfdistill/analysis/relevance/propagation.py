"""Relevance on its way from a logit down to the image, one call of a layer after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfdistill.analysis.relevance import rules
from tfdistill.analysis.relevance.composites import Composite
from tfdistill.analysis.relevance.plan import Stop, plan
from tfdistill.analysis.walk import Values, arguments_of, call, walk

# The least and the largest value of the pixels of each channel, as a network reads them.
PixelRange = tuple[np.ndarray, np.ndarray]


class Ended(NamedTuple):
    """Where the relevance of a batch has come to.

    Attributes:
        pixels: float32 [images, height, width, channels].
        biases: float64 [images], what constants of layers have absorbed.
        stabilizer: float64 [images], what epsilon has.
        removed: float64 [images], what was set to zero on the way.
    """

    pixels: tf.Tensor
    biases: tf.Tensor
    stabilizer: tf.Tensor
    removed: tf.Tensor


class Propagation:
    """The rules of a composite along the graph of a network, for images of one size.

    Args:
        model: as `canonical` makes it.
        composite: which rule where.
        image_shape: (height, width, channels).
        pixel_range: what pixels may be, for the bounded rule.

    Raises:
        ArgumentError: there is no rule for one of the layers.
    """

    def __init__(
        self, model: keras.Model, composite: Composite, image_shape: tuple[int, ...], pixel_range: PixelRange
    ) -> None:
        self._input, self._composite = id(model.inputs[0]), composite
        self._stops = plan(model, composite)
        self._low, self._high, self._ones = self._constants((1, *image_shape), pixel_range)

    def values(self, images: tf.Tensor) -> Values:
        """The values of all tensors of the graph, for images float32 [images, height, width, channels]."""
        return walk([one.node for one in self._stops], {self._input: images})

    def back(self, values: Values, relevance: Mapping[int, tf.Tensor], kept: Mapping[int, tf.Tensor]) -> Ended:
        """Relevance brought back to the pixels.

        Args:
            values: of the images.
            relevance: where it begins, by the ids of tensors.
            kept: by the ids of tensors whose relevance is not kept whole, the shares that are, 0..1, of a shape that
                broadcasts.
        """
        at, nothing = dict(relevance), tf.zeros([len(values[self._input])], tf.float64)
        biases = stabilizer = removed = nothing
        for stop in reversed(self._stops):
            (output,) = map(id, stop.node.outputs)
            if output not in at:
                continue
            arriving = at.pop(output)
            if output in kept:
                staying = arriving * kept[output]
                removed += rules.total(arriving - staying)
                arriving = staying
            passed = self._passed(stop, values, arriving)
            biases, stabilizer = biases + passed.biases, stabilizer + passed.stabilizer
            for tensor, one in zip(map(id, stop.heirs), passed.inputs, strict=True):
                at[tensor] = at[tensor] + one if tensor in at else one
        pixels = at.get(self._input, tf.zeros_like(values[self._input]))
        return Ended(pixels, biases, stabilizer, removed)

    def _passed(self, stop: Stop, values: Values, relevance: tf.Tensor) -> rules.Passed:
        layer, names = stop.node.operation, [id(one) for one in stop.heirs]
        inputs, epsilon = [values[name] for name in names], self._composite.epsilon
        read = {id(one): values[id(one)] for one in arguments_of(stop.node)}

        def of(given: Sequence[tf.Tensor]) -> tf.Tensor:
            return call(stop.node, read | dict(zip(names, given, strict=True)))[0]

        match stop.rule:
            case "stays":
                return rules.stay(relevance)
            case "moves":
                return rules.move(of, inputs, relevance)
            case "shares" | "gates":  # gates are held, so that the product is linear in the signal
                return rules.share(of, inputs, relevance)
            case "shifts":
                return rules.shift(of, inputs, relevance, epsilon=epsilon)
            case "normalizes":
                return rules.normalize(layer, inputs[0], relevance, epsilon=epsilon)
            case "brings":
                return rules.bring(of, inputs, relevance)
            case "gamma":
                return rules.favour(layer, inputs[0], relevance, gamma=self._composite.gamma)
            case "bounded":
                low, high = self._low[names[0]], self._high[names[0]]
                return rules.bound(layer, inputs[0], relevance, low=low, high=high)
            case "squared_weights":
                return rules.square(layer, inputs[0], relevance, ones=self._ones[names[0]])
        return rules.weigh(layer, inputs[0], relevance, epsilon=epsilon)

    def _constants(self, shape: tuple[int, ...], pixel_range: PixelRange) -> tuple[Values, Values, Values]:
        """The least values that kernels read of the image, the largest, and 1 where there is a pixel."""
        low, high = ({self._input: tf.constant(np.broadcast_to(one, shape), tf.float32)} for one in pixel_range)
        ones = {self._input: tf.ones(shape)}
        for stop in self._stops:
            if not stop.reads_pixels or stop.rule in ("bounded", "squared_weights", "gamma", "epsilon"):
                continue
            (output,) = map(id, stop.node.outputs)
            ends = [call(stop.node, one)[0] for one in (low, high)]
            low[output], high[output] = tf.minimum(*ends), tf.maximum(*ends)
            ones[output] = call(stop.node, ones)[0] if stop.rule == "moves" else tf.ones_like(ends[0])
        return low, high, ones
