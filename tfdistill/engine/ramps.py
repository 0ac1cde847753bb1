"""Weights of terms that grow over the first epochs of a training."""

from __future__ import annotations

import tensorflow as tf

from tfdistill.engine.updates import Weight


def ramped(weight: float, ramp_epochs: float) -> Weight:
    """`weight · exp(−5 · (1 − min(e, R) / R)²)` of the epoch e, counted from 0: from 0.0067 to 1 times the weight.

    Args:
        weight: what the ramp ends with.
        ramp_epochs: its length R in epochs, from 0, which is no ramp.

    Source: Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017, §2.1.
    """
    if ramp_epochs == 0:
        return weight

    def at(epoch: tf.Tensor) -> tf.Tensor:
        left = 1.0 - tf.minimum(epoch / ramp_epochs, 1.0)
        return weight * tf.exp(-5.0 * left**2)

    return at
