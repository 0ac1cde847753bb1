"""The auto-encoder of a source's last feature map, whose code is the factor that a learner takes."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.helpers import factors
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Preparation

ORDERS_OF_RECONSTRUCTION = {"l1": 1, "l2": 2}


@dataclass(frozen=True)
class AutoEncoder:
    """An encoder and a decoder of a source's last feature map.

    Attributes:
        encoder: from the map, averaged down to `size`, to the factor.
        decoder: from the factor back to the map.
        size: height and width of both.
        order: of the reconstruction error: 1, mean absolute error, or 2, mean squared error.
    """

    encoder: keras.Model
    decoder: keras.Model
    size: tuple[int, int]
    order: int

    @property
    def models(self) -> tuple[keras.Model, keras.Model]:
        """Encoder and decoder."""
        return self.encoder, self.decoder

    def factor(self, source: Taps, call: CallModel) -> tf.Tensor:
        """The source's factor, `[batch, *size, factor channels]`."""
        return call(self.encoder, factors.pooled(source["features"], self.size))

    def error(self, source: Taps, call: CallModel) -> tuple[tf.Tensor, tf.Tensor]:
        """The reconstruction error, `[batch]`, and the factor that it was made from."""
        observed = factors.pooled(source["features"], self.size)
        factor = call(self.encoder, observed)
        return losses.reconstruction(observed, call(self.decoder, factor), self.order), factor

    def preparation(self, epochs: int) -> Preparation:
        """A phase of `epochs` that moves the auto-encoder alone, by the reconstruction error."""

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return {"reconstruction": self.error(source, call)[0]}

        return Preparation(epochs, self.models, {"reconstruction": 1.0}, terms)
