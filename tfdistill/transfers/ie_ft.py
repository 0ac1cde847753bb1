"""IE-FT: inheritance and exploration of factors."""

from __future__ import annotations

from typing import Annotated, Literal

from tfdistill.bounds import Number, PreparationEpochs, RampedWeight, Share, checked
from tfdistill.transfers.inheritance import Inheritance


class IEFT(Inheritance):
    """One part of the learner's channels inherits the source's factors, the other part explores what they lack.

    `λ_inh · mean |F̂_inh − F̂_s| − λ_exp · mean |F̂_exp − F̂_s|`, each example's factors divided by their L2 norm.
    `F_s` is what the encoder of an auto-encoder makes of the source's last feature map. A phase before the training
    trains the auto-encoder by its reconstruction error, and it stays as that leaves it. `F_inh` and `F_exp` are what an
    encoder each makes of a part of the learner's last feature map; the learner's update moves these. Of two sizes the
    larger map is averaged down to the smaller before.

    The auto-encoder is trained on the source as it is before the training, which suits a trained teacher. For peers
    that learn along `IEDML` trains it along; both share the code of the lesson.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.IEFT()])
    >>> [list(update.terms) for update in distiller.plan[-1].updates()]
    [['cross_entropy', 'ie_ft_inheritance', 'ie_ft_exploration']]

    Args:
        inheritance_weight: weight λ_inh of the inheritance term; in Python also a function of the epoch.
        exploration_weight: weight λ_exp of the exploration term; likewise.
        inheritance_share: η, the share of channels that inherit, 0..1. At 0 or 1 the term without channels is left out.
        split: "random" (the paper): a permutation drawn once from the seed and kept with every checkpoint; or
            "natural" (the authors' code): the first channels inherit.
        metric: distance of factors: "l1" (the paper's choice), "l2", "cosine", "partial_l2" or "l1_cka" (its Table 6a).
        reconstruction: error of the auto-encoder, "l1": mean absolute error (the authors' code), or "l2": mean squared
            error (Eq. 1).
        factor_channels: channels of a factor; 0 takes half of the narrower of the two feature maps.
        leading_activation: LeakyReLU before the first convolution of every coder, as in the authors' code.
        preparation_epochs: epochs of the phase that trains the auto-encoder; they count in the run's epochs.
        name: how the terms in the logs and the names of the coders begin.

    Raises:
        ValueError: a value out of its range, a network without "features", or maps whose sizes do not divide.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021, §3,
    Eqs. 1-4, and the supplement's Table 3; weights from §4.2 (100 on ImageNet), 30 epochs from the supplement.
    Distances are means over a factor's elements, as `IEDML` says.
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
        metric: Literal["l1", "l2", "cosine", "partial_l2", "l1_cka"] = "l1",
        reconstruction: Literal["l1", "l2"] = "l1",
        factor_channels: Annotated[int, Number(0, 4_096)] = 0,
        leading_activation: bool = True,
        preparation_epochs: PreparationEpochs = 30,
        name: str = "ie_ft",
    ) -> None:
        super().__init__(
            {"inheritance": inheritance_weight, "exploration": exploration_weight},
            share=inheritance_share,
            split=split,
            metric=metric,
            reconstruction=reconstruction,
            factor_channels=factor_channels,
            leading_activation=leading_activation,
            preparation_epochs=preparation_epochs,
            name=name,
        )
