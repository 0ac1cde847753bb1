"""Inheritance and exploration: the source's factors, learned with one part of a map and avoided with the other."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import choose
from tfdistill.engine.updates import Weight
from tfdistill.helpers import factors
from tfdistill.networks.taps import features_of
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.auto_encoder import ORDERS_OF_RECONSTRUCTION, AutoEncoder
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer

SPLITS = {"random": True, "natural": False}
PARTS = ("inheritance", "exploration")


class Inheritance(Transfer):
    """The learner inherits what the source knows with one part of its channels, and explores with the other.

    With the last feature maps f_l and f_s, the larger averaged down to the smaller, and an auto-encoder of the source's
    map that is trained along:

    - reconstruction: `d(f_s, D(F_s))` with `F_s = E(f_s)`;
    - inheritance: the distance of `F_s` to the factor of the part that inherits, by an encoder of its own;
    - exploration: minus the distance to the factor of the other part, by an encoder of its own.

    The learner's update moves all four coders. `F_s` is a constant for the last two terms, so that reconstruction alone
    moves the auto-encoder. A part without channels has neither encoder nor term.

    With `preparation_epochs` the auto-encoder is trained in a phase of its own before, by the reconstruction alone, and
    stays as that leaves it: the learner's update moves the other two, and has the other two terms. A subclass may say
    by `seen` what of the factors is compared.

    Args:
        weights: of the terms, by what they are: "inheritance", "exploration", and "reconstruction" where it is one.
        share: η, the share of channels that inherit, 0..1.
        split: "random", drawn once for a learner and kept with every checkpoint, or "natural": the first inherit.
        metric: distance of factors, of `losses.INHERITANCE_METRICS`.
        reconstruction: "l1" or "l2".
        factor_channels: channels of a factor; 0 takes half of the narrower of the two feature maps.
        leading_activation: LeakyReLU before the first convolution of every coder.
        preparation_epochs: of the auto-encoder's own phase; 0 trains it along.
        name: of a transfer of its own, whose terms begin with it; empty for the terms of a method.

    Raises:
        ValueError: an unknown choice, or weights of other terms.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    Eqs. 1-6. Its methods say the values and how the paper was read, see `IEDML`.
    """

    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework (CVPR 2021)"

    def __init__(
        self,
        weights: Mapping[str, Weight],
        *,
        share: float,
        split: str,
        metric: str,
        reconstruction: str,
        factor_channels: int,
        leading_activation: bool,
        preparation_epochs: int = 0,
        name: str = "",
    ) -> None:
        super().__init__(name or "inheritance", weights["inheritance"])
        self.begin = f"{name}_" if name else ""
        self.preparation_epochs = preparation_epochs
        self.weights, self.share, self.drawn = weights, share, choose("split", split, SPLITS)
        self.metrics = {
            "inheritance": choose("metric", metric, losses.INHERITANCE_METRICS),
            "exploration": choose("metric", metric, losses.EXPLORATION_METRICS),
        }
        self.order = choose("reconstruction", reconstruction, ORDERS_OF_RECONSTRUCTION)
        self.factor_channels, self.leading_activation = factor_channels, leading_activation

    def lesson(self, pairing: Pairing) -> Lesson:
        own_shape, source_shape = (features_of(one).shape[1:] for one in (pairing.learner, pairing.source))
        size = factors.smaller(own_shape, source_shape)
        channels = self.factor_channels or min(own_shape[-1], source_shape[-1]) // 2
        coder = functools.partial(factors.coder, seeds=pairing.seeds, leading_activation=self.leading_activation)
        seed = pairing.learner_seed if self.drawn else None
        indices = dict(zip(PARTS, factors.split_channels(own_shape[-1], self.share, seed=seed), strict=True))
        encoders = {
            part: coder((*size, own_shape[-1]), channels, name=f"{pairing.prefix}_{part}", indices=own)
            for part, own in indices.items()
            if own
        }
        encoder = coder((*size, source_shape[-1]), channels, name=f"{pairing.prefix}_encoder")
        decoder = coder((*size, channels), source_shape[-1], name=f"{pairing.prefix}_decoder")
        auto_encoder = AutoEncoder(encoder, decoder, size, self.order)

        def compared(own: Taps, factor: tf.Tensor, call: CallModel) -> Terms:
            target, found = self.seen(factor), {}
            for part, own_encoder in encoders.items():
                read = call(own_encoder, factors.pooled(own["features"], size))
                found[self.begin + part] = self.metrics[part](self.seen(read), target)
            return found

        def along(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            error, factor = auto_encoder.error(source, call)
            # The learner's update moves this encoder too, which only reconstruction should do.
            return {f"{self.begin}reconstruction": error, **compared(own, tf.stop_gradient(factor), call)}

        def taught(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            return compared(own, auto_encoder.factor(source, call), call)

        trained = () if self.preparation_epochs else ("reconstruction",)
        weights = {self.begin + part: self.weights[part] for part in (*trained, *encoders)}
        if not self.preparation_epochs:
            return Lesson(weights, along, (*auto_encoder.models, *encoders.values()))
        preparation = auto_encoder.preparation(self.preparation_epochs)
        return Lesson(weights, taught, tuple(encoders.values()), auto_encoder.models, preparation)

    def seen(self, factor: tf.Tensor) -> tf.Tensor:
        """What of a factor `[batch, height, width, channels]` is compared, `[batch, ...]`: here all of it."""
        return factor
