"""Tells logits from what is a softmax or sigmoid of them already: the losses take it once more otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.networks.graphs import sources_of

Weights = list[tuple[keras.Variable, tf.Tensor]]

EXAMPLES = 8
SPREAD = 30.0  # of the probe's values: a softmax or sigmoid of them stays between 0 and 1, nothing linear does
UNKNOWN_SIZE = 32
LONGEST = 8  # operations looked back, at most


def require_logits(images: keras.KerasTensor, logits: keras.KerasTensor, what: str) -> None:
    """Refuses probabilities where logits belong, whatever computes them.

    The last operations before `logits`, up to the first that has weights, are run on wide random values with random
    weights: an activation of a layer, a function of TensorFlow or Keras, a Lambda or a layer of one's own show alike
    what they are. Where an operation before that joins several tensors, the whole network is run on random images.
    Logarithms of probabilities pass: they are logits, whose softmax is the same.

    Args:
        images: symbolic, what the network reads.
        logits: symbolic, [batch, classes].
        what: begins the message.

    Raises:
        ValueError: in one line, the layer and what to do.
    """
    last = logits
    for operation, source in _chain(logits):
        last, weights = source, getattr(operation, "weights", ())
        kind = _kind(_run_on_random(source, logits, _random_weights(weights)))
        if kind:
            raise ValueError(f"{what}: layer {operation.name!r} applies a {kind}; {_remedy(operation, source)}")
        if weights:
            return
    if (
        len(sources_of(last)) > 1
        and _kind(_run_on_random(images, logits, _present_weights(images, logits))) == "softmax"
    ):
        joining = last._keras_history.operation.name
        raise ValueError(f"{what}: layer {joining!r} gives probabilities, rows that sum to 1; give logits")


def _chain(tensor: keras.KerasTensor) -> Iterator[tuple[Any, keras.KerasTensor]]:
    """The operations before `tensor`, last first, each with what it reads, as long as each reads one tensor."""
    for _ in range(LONGEST):
        operation, sources = tensor._keras_history.operation, sources_of(tensor)
        if len(sources) != 1:
            return
        (tensor,) = sources
        yield operation, tensor


def _random_weights(weights: Sequence[keras.Variable]) -> Weights:
    """Random weights in place of the layer's own, which may still be zeros, where its outputs would show nothing."""
    draw, drawn = np.random.default_rng(1), []
    for one in weights:
        if "float" in one.dtype:
            value = draw.normal(size=one.shape)
            drawn.append((one, keras.ops.cast(np.abs(value) if "variance" in one.name else value, one.dtype)))
    return drawn


def _present_weights(images: keras.KerasTensor, logits: keras.KerasTensor) -> Weights:
    """The values of the whole network, this replica's: reading them together would be a meeting of all workers."""
    found = []
    for operation in keras.Function(images, logits).operations:
        for one in getattr(operation, "weights", ()):
            distributed = isinstance(one.value, tf.distribute.DistributedValues)
            found.append((one, tf.identity(one.value.values[0] if distributed else one.value)))
    return found


def _run_on_random(source: keras.KerasTensor, logits: keras.KerasTensor, weights: Weights) -> np.ndarray | None:
    """`logits` for random values of `source`, with these weights; None where it cannot be computed."""
    shape = [UNKNOWN_SIZE if size is None else size for size in source.shape[1:]]
    values = np.random.default_rng(0).normal(scale=SPREAD, size=(EXAMPLES, *shape)).astype("float32")
    try:
        with keras.StatelessScope(weights):
            outputs = keras.Function(source, logits)(keras.ops.cast(values, source.dtype))
        return np.asarray(keras.ops.cast(outputs, "float32"))
    except Exception:  # whatever a layer of the user's own raises for such values: there is nothing to be seen then
        return None


def _kind(values: np.ndarray | None) -> str:
    """What rows of `values` can only be: "softmax", "sigmoid", or "" for anything else."""
    if values is None or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 + 1e-3:
        return ""
    if np.abs(values.sum(-1) - 1).max() < 1e-2:
        return "softmax"
    # What is the same for every example says nothing: an output that this probe leaves at 0, say.
    return "sigmoid" if np.ptp(values, axis=0).max() > 0 else ""


def _remedy(operation: Any, source: keras.KerasTensor) -> str:
    if getattr(operation, "weights", None) and hasattr(operation, "activation"):
        return "build it with activation=None"
    return f"take what it reads as logits, the output of {source._keras_history.operation.name!r}"
