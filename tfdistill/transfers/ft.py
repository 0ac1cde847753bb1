"""FT: factor transfer."""

from __future__ import annotations

import functools
from typing import Annotated, Literal

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number, PreparationEpochs, RampedWeight, checked, choose
from tfdistill.helpers import factors
from tfdistill.networks.taps import features_of
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.auto_encoder import ORDERS_OF_RECONSTRUCTION, AutoEncoder
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer

CODERS = {"plain": False, "normalized": True}


class FT(Transfer):
    """The learner's last feature map, translated, becomes the source's factors: what an auto-encoder makes of its map.

    `weight · mean |T̂(f_l) − P̂(f_s)|`, each example's factors divided by their L2 norm. The paraphraser P is the encoder
    of an auto-encoder of the source's map, which a phase before the training trains by its reconstruction error and
    which stays as that leaves it. The learner's update moves the translator T. Of two sizes the larger map is averaged
    down to the smaller before.

    The paraphraser is trained on the source as it is before the training, which suits a trained teacher. A peer that
    learns along is another one later; for peers `IEDML` trains such an auto-encoder along.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.FT(preparation_epochs=1)])
    >>> [phase.name for phase in distiller.plan]
    ['ft_preparation', 'training']

    Args:
        paraphrase_rate: k: a factor has k times as many channels as the source's map, rounded down, and one at least.
        coders: "plain": three convolutions with biases and LeakyReLU(0.1) each (Kim et al.); "normalized": with
            BatchNorm, and a LeakyReLU before the first, as the comparisons with IE-KD have it.
        reconstruction: error of the auto-encoder, "l1": mean absolute error (the authors' code), or "l2": mean squared
            error.
        preparation_epochs: epochs of the phase that trains the auto-encoder; they count in the run's epochs.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the names of paraphraser and translator.

    Raises:
        ValueError: a value out of its range, a network without "features", or maps whose sizes do not divide.

    Source: Kim et al., "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018; the mean,
    the weight and 5 epochs are those of the authors' code. Their decoder has transposed convolutions, which at stride 1
    are the same family of maps as the plain ones here.
    """

    paper = "Kim et al., Paraphrasing Complex Network: Network Compression via Factor Transfer (NeurIPS 2018)"

    @checked
    def __init__(
        self,
        *,
        paraphrase_rate: Annotated[float, Number(0, 16, above=True)] = 0.5,
        coders: Literal["plain", "normalized"] = "plain",
        reconstruction: Literal["l1", "l2"] = "l1",
        preparation_epochs: PreparationEpochs = 5,
        weight: RampedWeight = 500.0,
        name: str = "ft",
    ) -> None:
        super().__init__(name, weight)
        self.paraphrase_rate, self.preparation_epochs = paraphrase_rate, preparation_epochs
        self.normalized = choose("coders", coders, CODERS)
        self.order = choose("reconstruction", reconstruction, ORDERS_OF_RECONSTRUCTION)

    def lesson(self, pairing: Pairing) -> Lesson:
        own_shape, source_shape = (features_of(one).shape[1:] for one in (pairing.learner, pairing.source))
        size = factors.smaller(own_shape, source_shape)
        # 0.29 · 100 is 28.999... in binary; what is meant is 29.
        channels = max(1, int(self.paraphrase_rate * source_shape[-1] + 1e-9))
        coder = functools.partial(
            factors.coder, seeds=pairing.seeds, leading_activation=self.normalized, normalized=self.normalized
        )
        translator = coder((*size, own_shape[-1]), channels, name=f"{pairing.prefix}_translator")
        encoder = coder((*size, source_shape[-1]), channels, name=f"{pairing.prefix}_paraphraser")
        decoder = coder((*size, channels), source_shape[-1], name=f"{pairing.prefix}_decoder")
        paraphraser = AutoEncoder(encoder, decoder, size, self.order)

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            translated = call(translator, factors.pooled(own["features"], size))
            return {self.name: self.loss(translated, paraphraser.factor(source, call))}

        preparation = paraphraser.preparation(self.preparation_epochs)
        return Lesson({self.name: self.weight}, terms, (translator,), paraphraser.models, preparation)

    def loss(self, learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
        """The distance of two factors, `[batch]`."""
        return losses.normalized_distance(learner, source, order=1)
