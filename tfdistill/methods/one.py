"""Knowledge distillation by an on-the-fly native ensemble (ONE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.ensembles import ensemble_model
from tfdistill.engine.ramps import ramped
from tfdistill.engine.updates import Phase, Update, joint
from tfdistill.helpers.shared_trunk import share_trunk
from tfdistill.methods.arguments import RampEpochs, Temperature, TermWeight, checked, require_peers
from tfdistill.networks import initialization, layers
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.tasks import Task


class ONE(Distiller):
    """Branches on one trunk learn from the labels and from their gated ensemble, which learns along.

    `L = Σ_k CE(y, z_k) + CE(y, z_e) + weight · w(e) · T² · Σ_k KL(p_e(T) ‖ p_k(T))`, with

    - `z_e = Σ_k g_k z_k`; the gate g is the softmax of ReLU(BatchNorm(linear(h))), where h is the trunk's map averaged
      over height and width: K shares per image, which sum to 1;
    - `w(e) = exp(−5 · (1 − min(e, R) / R)²)` of the epoch e, from 0, where R is `ramp_epochs`.

    One optimizer moves trunk, branches and gate. The ensemble is made of what it moves, so that p_e is a stop_gradient.
    The networks share the first network's trunk and keep their own branches; each, joined to the trunk, has exactly the
    weights of a network trained alone. The gated ensemble is delivered beside them, under the name "ensemble".

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.ONE(peers)
    >>> list(distiller.deliverables())
    ['resnet8_1', 'resnet8_2', 'ensemble']

    Args:
        networks: two or more networks of one architecture.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        weight: weight of the distillation term after the ramp.
        ramp_epochs: epochs over which the distillation weight grows; at 0 the weight is whole from the start. It
            does not stretch with the length of the run.
        tap: the tap that the trunk ends with; the last but one stage if empty.
        task: the supervised loss and metrics.
        seed: of the gate's initial weights.

    Raises:
        ValueError: fewer than two networks, networks that cannot share a trunk, or an argument out of range.

    Source: Lan et al., "Knowledge Distillation by On-the-Fly Native Ensemble", NeurIPS 2018, Eqs. 4-8; T = 3. The ramp
    is the authors' code's (80 epochs there), the papers do not mention it; that code adds 1e-7 to p_e, which changes
    nothing here, where no logarithm of a zero is taken. The branch of a Wide ResNet is the third group with the final
    normalization. The gate's BatchNorm sees K numbers per image: a batch (with several replicas, each one's share of
    it) of one image would leave it nothing to tell images apart by. Take 8 images or more.
    """

    protocol = "afd"
    protocol_note = (
        "AFD's paper says that it follows ONE's schedule. The script of ONE's authors for ResNet-32 has the same "
        "numbers but the first drop, which is an epoch later, at 151."
    )
    source = "Lan et al., Knowledge Distillation by On-the-Fly Native Ensemble (NeurIPS 2018)"
    rebuilds_networks = True

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        temperature: Temperature = 3.0,
        weight: TermWeight = 1.0,
        ramp_epochs: RampEpochs = 80.0,
        tap: str = "",
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        require_peers(networks, task)
        shared = share_trunk(networks, tap)
        super().__init__(shared.networks, task=task)
        self.shared = shared
        self.temperature, self.weight, self.ramp_epochs = temperature, weight, ramp_epochs
        self.gate = gate(shared.trunk.output[shared.tap].shape[1:], len(networks), seed=seed)
        self.helpers["gate"] = self.gate
        self.gated = ensemble_model(self)

    def call_networks(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        taps = self.shared.call_networks(images, call)
        first, *_ = own = [taps[network.name] for network in self.networks]
        shares = call(self.gate, first[self.shared.tap])
        logits = gated_sum(shares, [one["logits"] for one in own])
        return {**taps, "ensemble": {"shares": shares, "logits": logits}}

    def ensemble(self, taps: Mapping[str, Taps]) -> Taps:
        return {"logits": taps["ensemble"]["logits"]}

    def deliverables(self) -> dict[str, keras.Model]:
        return {**super().deliverables(), self.gated.name: self.gated}

    def phases(self) -> tuple[Phase, ...]:
        supervised = self.task.loss_name
        weights = {
            supervised: 1.0,
            f"ensemble_{supervised}": 1.0,
            "distillation": ramped(self.weight * self.temperature**2, self.ramp_epochs),
        }
        update = Update("networks", (*self.networks, self.gate), weights)
        return (Phase(joint([(update, self._terms)])),)

    def _terms(self, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = [taps[network.name] for network in self.networks]
        ensemble = self.ensemble(taps)
        target = tf.stop_gradient(ensemble["logits"])
        return {
            self.task.loss_name: tf.add_n([self.task.loss(batch, one) for one in own]),
            f"ensemble_{self.task.loss_name}": self.task.loss(batch, ensemble),
            "distillation": tf.add_n([losses.kl_divergence(target, one["logits"], self.temperature) for one in own]),
        }


def gate(shape: tuple[int, int, int], branches: int, *, seed: int) -> keras.Model:
    """The gate: from the trunk's map to every branch's share of the ensemble; all in float32.

    Args:
        shape: (height, width, channels) of the map.
        branches: their number K.
        seed: of its initial weights.

    Returns:
        A model from [batch, height, width, channels] to [batch, K]; rows are positive and sum to 1. Its parameters are
        those of the authors' code: channels · K + K of the linear layer and 2K of the normalization.
    """
    seeds = initialization.LayerSeeds(seed)
    maps = keras.Input(shape, name="maps")
    scores = keras.layers.Dense(
        branches,
        kernel_initializer=initialization.fan_in_uniform(next(seeds)),
        bias_initializer=initialization.bias_uniform(shape[-1], next(seeds)),
        name="scores",
        dtype="float32",
    )(layers.global_average(maps))
    scores = layers.BatchNormalization(name="norm", dtype="float32")(scores)
    shares = keras.layers.Softmax(name="shares", dtype="float32")(
        keras.layers.ReLU(name="relu", dtype="float32")(scores)
    )
    return keras.Model(maps, shares, name="gate")


def gated_sum(shares: Any, logits: Sequence[Any]) -> Any:
    """`Σ_k shares[:, k] · logits[k]`, `[batch, classes]`, of tensors or symbols.

    Args:
        shares: [batch, K].
        logits: K of [batch, classes].
    """
    stacked = keras.ops.stack([keras.ops.cast(one, "float32") for one in logits], axis=1)
    return keras.ops.sum(keras.ops.expand_dims(keras.ops.cast(shares, "float32"), -1) * stacked, axis=1)
