"""IE-OD: inheritance and exploration by the distance of rectified factors."""

from __future__ import annotations

from typing import Annotated, Literal

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number, PreparationEpochs, RampedWeight, Share, checked, choose
from tfdistill.transfers.inheritance import Inheritance

DISTANCES_AS_PRINTED = {"normalized": False, "printed": True}


class IEOD(Inheritance):
    """One part of the learner's channels inherits what the source's factors activate, the other explores the rest.

    `λ_inh · d(F_inh, F_s) − λ_exp · d(F_exp, F_s)`, with `d(F, G)` the distance of `max(F, 0)` and `max(G, 0)`. The
    factors are those of `IEFT`, which says how an auto-encoder is prepared for them.

    The auto-encoder is trained on the source as it is before the training, which suits a trained teacher. For peers
    that learn along `IEDML` trains it along; both share the code of the lesson.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.IEOD()])
    >>> [list(update.terms) for update in distiller.plan[-1].updates()]
    [['cross_entropy', 'ie_od_inheritance', 'ie_od_exploration']]

    Args:
        inheritance_weight: weight λ_inh of the inheritance term; in Python also a function of the epoch.
        exploration_weight: weight λ_exp of the exploration term; likewise.
        inheritance_share: η, the share of channels that inherit, 0..1. At 0 or 1 the term without channels is left out.
        split: "random" (the paper): a permutation drawn once from the seed and kept with every checkpoint; or
            "natural" (the authors' code): the first channels inherit.
        distance: "normalized": each example's rectified factors are divided by their L2 norm, and the root of the mean
            square counts; "printed": the Euclidean distance as the paper prints it. Nothing bounds that one, and
            exploration may grow for ever.
        reconstruction: error of the auto-encoder, "l1": mean absolute error (the authors' code), or "l2": mean squared
            error (Eq. 1).
        factor_channels: channels of a factor; 0 takes half of the narrower of the two feature maps.
        leading_activation: LeakyReLU before the first convolution of every coder, as in the authors' code.
        preparation_epochs: epochs of the phase that trains the auto-encoder; they count in the run's epochs.
        name: how the terms in the logs and the names of the coders begin.

    Raises:
        ValueError: a value out of its range, a network without "features", or maps whose sizes do not divide.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    §4.2, which prints the student's features in the place of the source's. Normalizing is ours: the weights of 50 are
    for distances of factors of norm 1. Weights from §4.2 (100 on ImageNet), 30 epochs from the supplement.
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
        distance: Literal["normalized", "printed"] = "normalized",
        reconstruction: Literal["l1", "l2"] = "l1",
        factor_channels: Annotated[int, Number(0, 4_096)] = 0,
        leading_activation: bool = True,
        preparation_epochs: PreparationEpochs = 30,
        name: str = "ie_od",
    ) -> None:
        super().__init__(
            {"inheritance": inheritance_weight, "exploration": exploration_weight},
            share=inheritance_share,
            split=split,
            metric="l2",
            reconstruction=reconstruction,
            factor_channels=factor_channels,
            leading_activation=leading_activation,
            preparation_epochs=preparation_epochs,
            name=name,
        )
        if choose("distance", distance, DISTANCES_AS_PRINTED):
            self.metrics = {"inheritance": losses.euclidean_distance, "exploration": _negative_distance}

    def seen(self, factor: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(factor)


def _negative_distance(learner: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    return -losses.euclidean_distance(learner, source)
