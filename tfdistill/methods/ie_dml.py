"""Inheritance and exploration, in both directions at once (IE-DML)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, rounds_in_order
from tfdistill.helpers import factors
from tfdistill.methods.arguments import Order, Share, TermWeight, checked, choose, require_peers
from tfdistill.networks import initialization
from tfdistill.networks.taps import features_of
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Classification
from tfdistill.topology import all_pairs

SPLITS = {"random": True, "natural": False}
ORDERS_OF_RECONSTRUCTION = {"l1": 1, "l2": 2}


class IEDML(Distiller):
    """Each network inherits what its peers know with one part of its features, and explores with the other.

    `L_k = CE(y, z_k) + λ_rec·L_rec + λ_inh·L_inh + λ_exp·L_exp`, with, for the peer j that network k learns from,

    - `F_j = E(f_j)`, `L_rec = d(f_j, D(F_j))`: an auto-encoder of the peer's last feature map, trained along;
    - `L_inh = + mean |F̂_inh − F̂_j|`, `L_exp = − mean |F̂_exp − F̂_j|`: factors of the two channel subsets of k's own
      last feature map, each by an encoder of its own, `F̂` normalised per example.

    One optimizer per network moves the network, its two encoders and the auto-encoder of its peer. The auto-encoder
    reads a peer that this update does not move, and `F_j` is a constant for the inheritance and exploration terms:
    reconstruction moves the auto-encoder only, the two others move the network and its encoders only.

    Args:
        networks: two networks, as in the paper, or more: then each learns from all others, the terms averaged.
        inheritance_weight: λ_inh.
        exploration_weight: λ_exp.
        reconstruction_weight: λ_rec.
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
        task: Classification | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks)
        self.term_weights = {
            self.task.loss_name: 1.0,
            "reconstruction": reconstruction_weight,
            "inheritance": inheritance_weight,
            "exploration": exploration_weight,
        }
        self.metrics_of_factors = {
            "inheritance": choose("metric", metric, losses.INHERITANCE_METRICS),
            "exploration": choose("metric", metric, losses.EXPLORATION_METRICS),
        }
        self.reconstruction_order = choose("reconstruction", reconstruction, ORDERS_OF_RECONSTRUCTION)
        self.update = update
        drawn = choose("split", split, SPLITS)
        seeds = initialization.LayerSeeds(seed)
        make_coder = functools.partial(factors.coder, seeds=seeds, leading_activation=leading_activation)
        self.lessons: dict[str, list[Lesson]] = {network.name: [] for network in networks}
        for index, (learner, sources) in enumerate(all_pairs(networks)):
            channels = features_of(learner).shape[-1]
            parts = factors.split_channels(channels, inheritance_share, seed=seed + index if drawn else None)
            for source in sources:
                lesson = build_lesson(learner, source, parts, factor_channels, make_coder)
                self.lessons[learner.name].append(lesson)
                self.helpers |= {helper.name: helper for helper in lesson.helpers()}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(rounds_in_order(self.update, [self._part(network) for network in self.networks])),)

    def _part(self, learner: keras.Model) -> tuple:
        lessons = self.lessons[learner.name]
        left_out = set(self.metrics_of_factors) - set(lessons[0].encoders)
        weights = {term: weight for term, weight in self.term_weights.items() if term not in left_out}
        models = (learner, *(helper for lesson in lessons for helper in lesson.helpers()))
        return Update(learner.name, models, weights), functools.partial(self._terms, learner.name)

    def _terms(self, learner: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = taps[learner]
        taught = [self._lesson_terms(lesson, own, taps[lesson.source]) for lesson in self.lessons[learner]]
        averaged = {name: tf.add_n([terms[name] for terms in taught]) / len(taught) for name in taught[0]}
        return {self.task.loss_name: self.task.loss(batch, own), **averaged}

    def _lesson_terms(self, lesson: Lesson, own: Taps, peer: Taps) -> Terms:
        observed = factors.pooled(peer["features"], lesson.size)
        factor = self.call_model(lesson.encoder, observed)
        rebuilt = self.call_model(lesson.decoder, factor)
        # The update that the terms below belong to moves this encoder too, which only reconstruction should do.
        target = tf.stop_gradient(factor)
        terms = {"reconstruction": losses.reconstruction(observed, rebuilt, self.reconstruction_order)}
        for part, encoder in lesson.encoders.items():
            read = self.call_model(encoder, factors.pooled(own["features"], lesson.size))
            terms[part] = self.metrics_of_factors[part](read, target)
        return terms


@dataclass(frozen=True)
class Lesson:
    """What one network learns from one peer with: the peer's auto-encoder, and an encoder for each part of its own."""

    source: str
    size: tuple[int, int]
    encoder: keras.Model
    decoder: keras.Model
    encoders: Mapping[str, keras.Model]

    def helpers(self) -> list[keras.Model]:
        return [self.encoder, self.decoder, *self.encoders.values()]


def build_lesson(
    learner: keras.Model,
    source: keras.Model,
    parts: tuple[list[int], list[int]],
    factor_channels: int,
    make_coder: Callable[..., keras.Model],
) -> Lesson:
    """The helpers for `learner` to learn from `source`; `parts` are the channels that inherit and that explore."""
    own, peer = features_of(learner).shape[1:], features_of(source).shape[1:]
    size = factors.smaller(own, peer)
    channels = factor_channels or min(own[-1], peer[-1]) // 2
    prefix = f"{learner.name}_from_{source.name}"
    encoders = {
        part: make_coder((*size, own[-1]), channels, name=f"{prefix}_{part}", indices=indices)
        for part, indices in zip(("inheritance", "exploration"), parts, strict=True)
        if indices
    }
    return Lesson(
        source=source.name,
        size=size,
        encoder=make_coder((*size, peer[-1]), channels, name=f"{prefix}_encoder"),
        decoder=make_coder((*size, channels), peer[-1], name=f"{prefix}_decoder"),
        encoders=encoders,
    )
