"""Inheritance and exploration, in both directions at once (IE-DML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import keras

from tfdistill.bounds import Number
from tfdistill.methods.arguments import Order, Share, TermWeight, checked, require_peers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.tasks import Task
from tfdistill.topology import all_pairs
from tfdistill.transfers import Inheritance, Transfer


class IEDML(LabelsAndTransfers):
    """Each network inherits what its peers know with one part of its features, and explores with the other.

    `L_k = CE(y, z_k) + λ_rec·L_rec + λ_inh·L_inh + λ_exp·L_exp`, with, for the peer j that network k learns from,

    - `F_j = E(f_j)`, `L_rec = d(f_j, D(F_j))`: an auto-encoder of the peer's last feature map, trained along;
    - `L_inh = + mean |F̂_inh − F̂_j|`, `L_exp = − mean |F̂_exp − F̂_j|`: factors of the two channel subsets of k's own
      last feature map, each by an encoder of its own, `F̂` normalised per example.

    One optimizer per network moves the network, its two encoders and the auto-encoder of its peer. The auto-encoder
    reads a peer that this update does not move, and `F_j` is a constant for the inheritance and exploration terms:
    reconstruction moves the auto-encoder only, the two others move the network and its encoders only.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.IEDML(peers, inheritance_weight=50.0)
    >>> [update.name for update in distiller.phase.updates()]
    ['resnet8_1', 'resnet8_2']

    Args:
        networks: two networks, as in the paper, or more: then each learns from all others, the terms averaged.
        inheritance_weight: weight λ_inh of the inheritance term.
        exploration_weight: weight λ_exp of the exploration term.
        reconstruction_weight: weight λ_rec of the reconstruction term.
        inheritance_share: η, the share of channels that inherit, 0..1. At 0 or 1 the term without channels is left out.
        split: "random" (the paper): a permutation drawn once from the seed and kept with every checkpoint; or
            "natural" (the authors' code): the first channels inherit.
        metric: distance of factors: "l1" (the paper's choice), "l2", "cosine", "partial_l2" or "l1_cka" (its Table 6a).
        reconstruction: "l1": mean absolute error (the authors' code), or "l2": mean squared error (Eq. 1).
        factor_channels: channels of a factor; 0 takes half of the narrower of the two feature maps.
        leading_activation: LeakyReLU before the first convolution of every encoder, as in the authors' code.
        update: "alternating": network after network, each on a fresh forward pass (§3.3); or "joint".
        task: the supervised loss and metrics.
        seed: of the helpers' weights and of the split.

    Raises:
        ValueError: fewer than two networks, a network without "features", a share outside 0..1, or an unknown choice.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    §3.3, Eqs. 1-6; weights 0.8, 50, 50 from §4.5. The paper does not say who owns the auto-encoders nor where the
    reconstruction's gradient ends; the reading above keeps the peers' backbones free of terms that are not theirs.
    The distances are means over a factor's elements: with sums, weights of 50 would exceed the cross-entropy by three
    orders of magnitude.
    """

    protocol = "ie_cifar"
    source = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework (CVPR 2021)"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        inheritance_weight: TermWeight = 50.0,
        exploration_weight: TermWeight = 50.0,
        reconstruction_weight: TermWeight = 0.8,
        inheritance_share: Share = 0.5,
        split: Literal["random", "natural"] = "random",
        metric: Literal["l1", "l2", "cosine", "partial_l2", "l1_cka"] = "l1",
        reconstruction: Literal["l1", "l2"] = "l1",
        factor_channels: Annotated[int, Number(0, 4_096)] = 0,
        leading_activation: bool = True,
        update: Order = "alternating",
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        self.order = update
        lessons = Inheritance(
            {
                "reconstruction": reconstruction_weight,
                "inheritance": inheritance_weight,
                "exploration": exploration_weight,
            },
            share=inheritance_share,
            split=split,
            metric=metric,
            reconstruction=reconstruction,
            factor_channels=factor_channels,
            leading_activation=leading_activation,
        )
        self.take([lessons], all_pairs(networks), seed=seed, prefix=_learner_from_source)


def _learner_from_source(transfer: Transfer, learner: keras.Model, source: keras.Model) -> str:
    return f"{learner.name}_from_{source.name}"
