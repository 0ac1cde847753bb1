"""ReviewKD: knowledge review."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import RampedWeight, RampEpochs, checked
from tfdistill.helpers.review import review
from tfdistill.helpers.tap_pairs import named_pairs
from tfdistill.networks.taps import before_relu_of, map_of, tap_of
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer, grown


class ReviewKD(Transfer):
    """The learner's maps at every depth, with what its deeper ones know, become the source's.

    `weight · min((e + 1) / R, 1) · Σ d(h, f_s)` of the epoch e, from 0, where R is `ramp_epochs`, summed over the
    levels: the stages, the last with the last, and the embedding as a map of one position. h is made of the learner's
    map of a level and of all deeper ones, fused by gates (`helpers.review`); the learner's update moves what makes it.
    d is the squared distance of the maps and of their averages over 4×4, 2×2 and one position.

    The source's maps are taken before their last ReLU, where its taps have them, as this project's networks do; else
    as they are. The learner's are resized to the source's by nearest pixels.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.ReviewKD(weight=0.6)])

    Args:
        ramp_epochs: epochs over which the weight grows, by equal steps; at 0 it is whole from the start. It does not
            stretch with the length of the run.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs, and in the name of the model that it builds.

    Raises:
        ValueError: a negative weight, or a network without stages or without an embedding.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, in the form and with the numbers of
    mdistiller, which counts epochs from 1: there the weight is 0.6 for ResNet-20 from ResNet-56, 1 for ResNet-32 from
    ResNet-110 and 5 for WRN-40-1 from WRN-40-2.
    """

    paper = "Chen et al., Distilling Knowledge via Knowledge Review (CVPR 2021)"

    @checked
    def __init__(self, *, ramp_epochs: RampEpochs = 20.0, weight: RampedWeight = 1.0, name: str = "review_kd") -> None:
        super().__init__(name, weight)
        self.ramp_epochs = ramp_epochs

    def lesson(self, pairing: Pairing) -> Lesson:
        pairs = named_pairs("stages", pairing.learner, pairing.source)
        own_taps = [own for own, _ in pairs]
        source_taps = [before_relu_of(pairing.source, source) for _, source in pairs]
        reviewing = review(
            _shapes(pairing.learner, own_taps),
            _shapes(pairing.source, source_taps),
            name=f"{pairing.prefix}_review",
            seeds=pairing.seeds,
        )

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            reviewed = call(reviewing, _levels(own, own_taps))
            wanted = _levels(source, source_taps)
            each = [losses.hierarchical_distance(*level) for level in zip(reviewed, wanted, strict=True)]
            return {self.name: tf.add_n(each)}

        return Lesson({self.name: grown(self.weight, self.ramp_epochs)}, terms, (reviewing,))


def _shapes(network: keras.Model, taps: list[str]) -> list[tuple[int, int, int]]:
    embedding = tap_of(network, "embedding")
    if len(embedding.shape) != 2:
        raise ValueError(
            f"networks: {network.name}: 'embedding' must be [batch, channels], not {tuple(embedding.shape)}"
        )
    return [*(map_of(network, tap).shape[1:] for tap in taps), (1, 1, embedding.shape[-1])]


def _levels(taps: Taps, maps: list[str]) -> list[tf.Tensor]:
    return [*(taps[name] for name in maps), taps["embedding"][:, None, None, :]]
