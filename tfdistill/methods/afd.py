"""Adversarial feature distillation (AFD)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import Number
from tfdistill.engine.updates import Part, Phase, Update, joint
from tfdistill.helpers import discriminators
from tfdistill.helpers.matching import Matching, match
from tfdistill.methods.arguments import (
    ArgumentError,
    Rate,
    Temperature,
    TermWeight,
    checked,
    choose,
    require_peers,
)
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.methods.transferring import with_courses
from tfdistill.networks import initialization
from tfdistill.networks.taps import features_of
from tfdistill.optimizers import OptimizerSettings
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Task
from tfdistill.topology import cycle
from tfdistill.transfers import KD


class AFD(LabelsAndTransfers):
    """Networks learn each other's predictions and, by fooling discriminators, how each other's feature maps are spread.

    In a cycle 1 → 2 → … → K → 1, network k learns from the one before it, j; two networks learn from each other. With
    the last feature maps `f` of all networks from one forward pass, and a discriminator `D_k` per network,

    - `L_k = CE(y, z_k) + logit_weight · T² · KL(p_j(T) ‖ p_k(T))` moves network k, by SGD;
    - `L_Gk = (1 − D_k(f_k))²` moves network k without its classifier, by an Adam of its own;
    - `L_Dk = (1 − D_k(f_j))² + D_k(f_k)²` moves `D_k`, by an Adam of its own.

    All gradients are taken at the same weights. Then every network's `L_k` is applied, then every `L_Gk`, then every
    `L_Dk`. Where f_k and f_j have different channels, a transfer layer, which `L_Gk` moves too, stands between f_k and
    `D_k`.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.AFD(peers, temperature=3.0)
    >>> list(distiller.helpers)
    ['resnet8_1_discriminator', 'resnet8_2_discriminator']

    Args:
        networks: two or more networks.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        logit_weight: weight of the mutual term; at 0 it is left out, and the labels and the discriminators teach.
        adversarial: "on"; "off": logits only, without discriminators and without the second optimizer; "decay_only":
            the control between the two, where the second optimizer moves the feature extractors by nothing but its
            weight decay.
        feature_learning_rate: initial rate of Adam, for feature extractors and discriminators.
        feature_weight_decay: coupled weight decay of Adam, for feature extractors and discriminators.
        feature_milestones: epochs (from 0) at which Adam's rate drops to a tenth. Where --epochs makes the run longer
            or shorter than its protocol, the drops keep their share of it. A protocol that ends earlier has no drop.
        task: the supervised loss and metrics.
        seed: of the discriminators' and transfer layers' weights.

    Raises:
        ValueError: fewer than two networks, a network without "features", or a value out of range.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", ICML 2020, §3 and §4.
    Readings where the paper is silent: its supplement sums cross-entropy and KL over the examples, at rates that only
    fit a mean, which is taken here. A discriminator sees real and fake maps in two calls, each with the statistics of
    its own batch. Its gradients come from the same forward pass as all others. The decay of 0.1 is added to the
    gradient, as in PyTorch's Adam: both moments then contain it, and it pulls a weight whose adversarial gradient is
    small towards 0 by about the rate at every step. Decoupled, it would hardly do anything. "KD only" in the paper's
    ablation (Table 2) is "off", and loses that pull along with the adversarial term; "decay_only" tells them apart.
    """

    protocol = "afd"
    source = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020)"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        temperature: Temperature = 3.0,
        logit_weight: TermWeight = 1.0,
        adversarial: Literal["on", "off", "decay_only"] = "on",
        feature_learning_rate: Rate = 2e-5,
        feature_weight_decay: TermWeight = 0.1,
        feature_milestones: Annotated[tuple[float, ...], Number(0, 1_000_000, above=True)] = (75.0, 150.0),
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        self.feature_settings = _adam(feature_learning_rate, feature_weight_decay, feature_milestones)
        self.feature_groups = choose("adversarial", adversarial, FEATURE_GROUPS)
        self.sources = {learner.name: source.name for learner, source in cycle(networks)}
        if logit_weight:
            mutual = KD(temperature=temperature, weight=logit_weight, name="mutual")
            self.take([mutual], [(learner, [source]) for learner, source in cycle(networks)])
        self.extractors: dict[str, keras.Model] = {}
        self.matchings: dict[str, Matching] = {}
        self.discriminators: dict[str, keras.Model] = {}
        if "features" in self.feature_groups:
            self.extractors = {network.name: feature_extractor(network) for network in networks}
        if "discriminators" in self.feature_groups:
            self._build_discriminators(seed)

    def _build_discriminators(self, seed: int) -> None:
        seeds = initialization.LayerSeeds(seed)
        for learner, source in cycle(self.networks):
            matching = match(learner, source, seeds=seeds)
            made = discriminators.discriminator(matching.shape, name=f"{learner.name}_discriminator", seeds=seeds)
            self.matchings[learner.name], self.discriminators[learner.name] = matching, made
            self.helpers |= {helper.name: helper for helper in (*matching.helpers(), made)}

    def recipe(
        self, networks: OptimizerSettings | None = None, *, stretch: float = 1.0
    ) -> dict[str, OptimizerSettings]:
        features = self.feature_settings.stretched(stretch)
        return {**super().recipe(networks), **dict.fromkeys(self.feature_groups, features)}

    def phases(self) -> tuple[Phase, ...]:
        parts: list[Part] = [self.part(network) for network in self.networks]
        for name, extractor in self.extractors.items():
            if name in self.matchings:
                models, adversarial = (extractor, *self.matchings[name].helpers()), {"adversarial": 1.0}
                update = Update(f"{name}_features", models, adversarial, group="features")
                parts.append((update, functools.partial(self._adversarial_terms, name)))
            else:
                # Weighted 0: it gives every weight of the extractor a gradient of exactly zero for Adam to add the
                # decay to, without a discriminator, and its value shows in the logs what the decay does to the maps.
                update = Update(f"{name}_features", (extractor,), {"mean_activation": 0.0}, group="features")
                parts.append((update, functools.partial(_mean_activation_terms, name)))
        for name, discriminator in self.discriminators.items():
            update = Update(discriminator.name, (discriminator,), {"discrimination": 1.0}, group="discriminators")
            parts.append((update, functools.partial(self._discrimination_terms, name)))
        return with_courses((Phase(joint(parts, self._verdicts)),), self.courses, self.call_model)

    def _verdicts(self, batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Taps]:
        """What every discriminator makes of its network's map, "fake", and of the source's, "real"."""
        verdicts: dict[str, Taps] = {}
        for learner, discriminator in self.discriminators.items():
            own, peer = self.matchings[learner].maps(taps[learner], taps[self.sources[learner]], self.call_model)
            real, fake = self.call_model(discriminator, peer), self.call_model(discriminator, own)
            verdicts[discriminator.name] = {"real": real, "fake": fake}
        return verdicts

    # One call on the fake serves both losses: who moves is decided by the updates, which own different models.

    def _adversarial_terms(self, learner: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        return {"adversarial": losses.generator_loss(taps[self.discriminators[learner].name]["fake"])}

    def _discrimination_terms(self, learner: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        verdict = taps[self.discriminators[learner].name]
        return {"discrimination": losses.discriminator_loss(verdict["real"], verdict["fake"])}


# What `adversarial` chooses: the groups of updates besides the networks'.
FEATURE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "on": ("features", "discriminators"),
    "off": (),
    "decay_only": ("features",),
}


def feature_extractor(network: keras.Model) -> keras.Model:
    """The network up to its last feature map, with the same variables.

    Raises:
        ValueError: the network has no tap "features".
    """
    return keras.Model(network.input, features_of(network), name=f"{network.name}_feature_extractor")


def _adam(learning_rate: float, weight_decay: float, milestones: tuple[float, ...]) -> OptimizerSettings:
    try:
        return OptimizerSettings(
            kind="adam",
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule="step" if milestones else "constant",
            milestones=tuple(milestones),
        )
    except ArgumentError as error:
        raise error.renamed(f"feature_{error.argument}") from None


def _mean_activation_terms(name: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
    return {"mean_activation": tf.reduce_mean(tf.cast(taps[name]["features"], tf.float32), axis=[1, 2, 3])}
