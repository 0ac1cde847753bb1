"""Feature fusion learning (FFL)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.ensembles import ensemble_model
from tfdistill.engine.ramps import ramped
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.helpers.factors import smaller
from tfdistill.helpers.shared_trunk import share_trunk
from tfdistill.methods.arguments import ArgumentError, RampEpochs, Temperature, TermWeight, checked, require_peers
from tfdistill.networks import initialization, layers
from tfdistill.networks.taps import features_of, tap_of
from tfdistill.optimizers import OptimizerSettings
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.tasks import Task

FUSION_DECAY = 1e-5


class FFL(Distiller):
    """Networks learn from a classifier on their fused feature maps, and that classifier from their ensemble.

    `L = Σ_k CE(y, z_k) + CE(y, z_f) + weight · w(e) · T² · [Σ_k KL(p_f(T) ‖ p_k(T)) + KL(p_m(T) ‖ p_f(T))]`, with

    - `z_f`, the logits of the fusion module, which reads the last feature maps of all networks;
    - `z_m = 1/K · Σ_k z_k`; both targets, p_f and p_m, are constants;
    - `w(e) = exp(−5 · (1 − min(e, R) / R)²)` of the epoch e, from 0, where R is `ramp_epochs`.

    Two optimizers go down this one loss, as in the authors' code: one moves the networks, the other the fusion module,
    by the networks' rate and schedule, with Nesterov's momentum and a weight decay of its own (1e-5). So the two terms
    of the fused classifier also reach the networks, through their feature maps; the targets are stop_gradients, because
    they are made of what the networks' update moves. The fused classifier is delivered beside the networks, under the
    name "ensemble".

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.FFL(peers)
    >>> list(distiller.deliverables())
    ['resnet8_1', 'resnet8_2', 'ensemble']

    Args:
        networks: two or more networks of any architecture with a tap "features".
        shared_trunk: whether networks of one architecture share the first network's layers up to `tap`, as in ONE and
            in the authors' code; otherwise the networks are independent.
        tap: with a shared trunk, the tap that it ends with; the last but one stage if empty.
        temperature: T of all distributions; the terms are multiplied by T², so that their gradients keep their scale.
        weight: weight of the distillation terms after the ramp.
        ramp_epochs: epochs over which the distillation weight grows; at 0 the weight is whole from the start. It
            does not stretch with the length of the run.
        task: the supervised loss and metrics.
        seed: of the fusion module's initial weights.

    Raises:
        ValueError: fewer than two networks, maps whose sizes do not divide, networks that cannot share a trunk, or an
            argument out of range.

    Source: Kim et al., "Feature Fusion for Online Mutual Knowledge Distillation", ICPR 2020, and the authors' code,
    from which temperature 3, the ramp of 80 epochs, both optimizers and their protocol are taken. For networks whose
    maps differ, ours: larger maps are average-pooled to the smallest, and the fused map has as many channels as the
    widest.
    """

    protocol = "ffl"
    source = "Kim et al., Feature Fusion for Online Mutual Knowledge Distillation (ICPR 2020)"
    rebuilds_networks = True

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        shared_trunk: bool = False,
        tap: str = "",
        temperature: Temperature = 3.0,
        weight: TermWeight = 1.0,
        ramp_epochs: RampEpochs = 80.0,
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        require_peers(networks, task)
        if tap and not shared_trunk:
            raise ArgumentError("tap", f"{tap!r} is where a shared trunk ends; give shared_trunk too")
        shared = share_trunk(networks, tap) if shared_trunk else None
        super().__init__(shared.networks if shared else networks, task=task)
        self.shared = shared
        self.temperature, self.weight, self.ramp_epochs = temperature, weight, ramp_epochs
        shapes = [features_of(network).shape[1:] for network in self.networks]
        self.fusion = fusion_module(shapes, tap_of(self.networks[0], "logits").shape[-1], seed=seed)
        self.helpers["fusion"] = self.fusion
        self.fused = ensemble_model(self)

    def recipe(
        self, networks: OptimizerSettings | None = None, *, stretch: float = 1.0
    ) -> dict[str, OptimizerSettings]:
        recipe = super().recipe(networks)
        own = recipe["networks"]
        fusion = dataclasses.replace(own, nesterov=own.momentum > 0, weight_decay=FUSION_DECAY)
        return {**recipe, "fusion": fusion}

    def call_networks(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        taps = self.shared.call_networks(images, call) if self.shared else super().call_networks(images, call)
        return {**taps, "ensemble": call(self.fusion, [taps[network.name]["features"] for network in self.networks])}

    def ensemble(self, taps: Mapping[str, Taps]) -> Taps:
        return {"logits": taps["ensemble"]["logits"]}

    def deliverables(self) -> dict[str, keras.Model]:
        return {**super().deliverables(), self.fused.name: self.fused}

    def phases(self) -> tuple[Phase, ...]:
        supervised, distilled = self.task.loss_name, ramped(self.weight * self.temperature**2, self.ramp_epochs)
        fused = {f"fused_{supervised}": 1.0, "fused_distillation": distilled}
        networks = Update("networks", tuple(self.networks), {supervised: 1.0, "distillation": distilled, **fused})
        fusion = Update("fusion", (self.fusion,), fused, group="fusion")
        return (Phase(joint([(networks, self._networks_terms), (fusion, self._fusion_terms)], self._fused_terms)),)

    def _fused_terms(self, batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Terms]:
        """The two terms of the fused classifier, which both updates go down."""
        fused = self.ensemble(taps)
        mean = tf.stop_gradient(self.task.ensemble([taps[network.name] for network in self.networks])["logits"])
        terms = {
            f"fused_{self.task.loss_name}": self.task.loss(batch, fused),
            "fused_distillation": losses.kl_divergence(mean, fused["logits"], self.temperature),
        }
        return {"fused_terms": terms}

    def _fusion_terms(self, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        return taps["fused_terms"]

    def _networks_terms(self, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = [taps[network.name] for network in self.networks]
        target = tf.stop_gradient(self.ensemble(taps)["logits"])
        return {
            self.task.loss_name: tf.add_n([self.task.loss(batch, one) for one in own]),
            "distillation": tf.add_n([losses.kl_divergence(target, one["logits"], self.temperature) for one in own]),
            **taps["fused_terms"],
        }


def fusion_module(shapes: Sequence[tuple[int, int, int]], classes: int, *, seed: int) -> keras.Model:
    """A classifier of several feature maps: concatenation, depthwise 3×3, 1×1, each with BatchNorm and ReLU, then GAP.

    Args:
        shapes: (height, width, channels) of every map; larger maps are average-pooled to the smallest.
        classes: of the classifier.
        seed: of its initial weights.

    Returns:
        A model from the list of maps [batch, height, width, channels] to the taps "features", as many channels as the
        widest of the maps, "embedding" and "logits".

    Raises:
        ValueError: a map's size is no multiple of the smallest.

    The convolutions start from N(0, 2 / (k · k · out_channels)), the depthwise one too, as in the authors' code: 0.0417
    for 2·64 channels, where one channel's own fan would say 0.47. Behind a normalization both scales are one function,
    but the same gradients turn the smaller kernel far more. The classifier starts from PyTorch's default.
    """
    seeds = initialization.LayerSeeds(seed)
    height, width, _ = functools.reduce(lambda one, other: (*smaller(one, other), other[-1]), shapes)
    inputs, pooled = [], []
    for position, shape in enumerate(shapes, start=1):
        maps = keras.Input(shape, name=f"maps{position}")
        inputs.append(maps)
        if shape[:2] != (height, width):
            factors = shape[0] // height, shape[1] // width
            maps = keras.layers.AveragePooling2D(factors, name=f"pool{position}")(maps)
        pooled.append(maps)
    fused = keras.layers.Concatenate(name="concatenate")(pooled)
    fused = layers.norm_relu(layers.depthwise_conv(fused, 3, seeds=seeds, name="depthwise"), name="depthwise")
    channels = max(shape[-1] for shape in shapes)
    fused = layers.norm_relu(layers.conv(fused, channels, 1, seeds=seeds, name="pointwise"), name="pointwise")
    return keras.Model(inputs, layers.classify(fused, classes, seeds=seeds), name="fusion")
