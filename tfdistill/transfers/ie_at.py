"""IE-AT: inheritance and exploration of attention maps."""

from __future__ import annotations

from typing import Annotated, Literal

import tensorflow as tf

from tfdistill.bounds import ArgumentError, Number, PreparationEpochs, RampedWeight, Share, checked
from tfdistill.helpers import factors
from tfdistill.networks.taps import features_of
from tfdistill.transfers.inheritance import Inheritance
from tfdistill.transfers.transfer import Lesson, Pairing


class IEAT(Inheritance):
    """One part of the learner's channels looks where the source looks, the other part looks elsewhere.

    `λ_inh · mean |Â(F_inh) − Â(F_s)| − λ_exp · mean |Â(F_exp) − Â(F_s)|` with `A(F) = Σ_c F_c²`, each example's
    attention maps divided by their L2 norm. The factors are those of `IEFT`, which says how an auto-encoder is prepared
    for them.

    The auto-encoder is trained on the source as it is before the training, which suits a trained teacher. For peers
    that learn along `IEDML` trains it along; both share the code of the lesson.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.IEAT()])
    >>> [list(update.terms) for update in distiller.plan[-1].updates()]
    [['cross_entropy', 'ie_at_inheritance', 'ie_at_exploration']]

    Args:
        inheritance_weight: weight λ_inh of the inheritance term; in Python also a function of the epoch.
        exploration_weight: weight λ_exp of the exploration term; likewise.
        inheritance_share: η, the share of channels that inherit, 0..1. At 0 or 1 the term without channels is left out.
        split: "random" (the paper): a permutation drawn once from the seed and kept with every checkpoint; or
            "natural" (the authors' code): the first channels inherit.
        reconstruction: error of the auto-encoder, "l1": mean absolute error (the authors' code), or "l2": mean squared
            error (Eq. 1).
        factor_channels: channels of a factor; 0 takes half of the narrower of the two feature maps.
        leading_activation: LeakyReLU before the first convolution of every coder, as in the authors' code.
        preparation_epochs: epochs of the phase that trains the auto-encoder; they count in the run's epochs.
        name: how the terms in the logs and the names of the coders begin.

    Raises:
        ValueError: a value out of its range, a network without "features", maps whose sizes do not divide, or one of a
            single position.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    §4.2; attention as in Zagoruyko and Komodakis, ICLR 2017. Weights from §4.2 (100 on ImageNet), 30 epochs from the
    supplement.
    """

    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework (CVPR 2021)"

    @checked
    def __init__(
        self,
        *,
        inheritance_weight: RampedWeight = 50.0,
        exploration_weight: RampedWeight = 50.0,
        inheritance_share: Share = 0.5,
        split: Literal["random", "natural"] = "random",
        reconstruction: Literal["l1", "l2"] = "l1",
        factor_channels: Annotated[int, Number(0, 4_096)] = 0,
        leading_activation: bool = True,
        preparation_epochs: PreparationEpochs = 30,
        name: str = "ie_at",
    ) -> None:
        super().__init__(
            {"inheritance": inheritance_weight, "exploration": exploration_weight},
            share=inheritance_share,
            split=split,
            metric="l1",
            reconstruction=reconstruction,
            factor_channels=factor_channels,
            leading_activation=leading_activation,
            preparation_epochs=preparation_epochs,
            name=name,
        )

    def lesson(self, pairing: Pairing) -> Lesson:
        own, source = (features_of(one).shape[1:] for one in (pairing.learner, pairing.source))
        if factors.smaller(own, source) == (1, 1):
            raise ArgumentError(
                "networks",
                f"the last feature maps {tuple(own)} and {tuple(source)} meet at one position, whose attention is "
                "always the same; take larger images, or ie_ft",
            )
        return super().lesson(pairing)

    def seen(self, factor: tf.Tensor) -> tf.Tensor:
        return factors.attention(factor)
