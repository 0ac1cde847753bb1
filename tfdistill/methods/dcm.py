"""Dense cross-layer mutual distillation (DCM)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import keras
import tensorflow as tf

from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Update, rounds_in_order
from tfdistill.helpers.auxiliary_heads import PLACES, auxiliary_heads
from tfdistill.methods.arguments import ArgumentError, Order, Temperature, TermWeight, checked, choose, require_peers
from tfdistill.networks import initialization
from tfdistill.taps import Batch, Taps, Terms
from tfdistill.tasks import Task

FINAL = "C1"  # the network's own classifier, as the paper numbers them

# Which terms a choice of `pairs` has.
PAIRS = {
    "dense": ("same_stage", "cross_stage"),
    "same": ("same_stage",),
    "cross": ("cross_stage",),
    "final": ("same_stage",),
    "none": (),
}


class DCM(Distiller):
    """Networks with auxiliary classifiers teach each other, every classifier of one every classifier of the other.

    `L_a = CE(y, z_a) + α Σ_i CE(y, z_a,i) + β T² Σ_i KL(p_b,i ‖ p_a,i) + γ T² Σ_{i≠j} KL(p_b,i ‖ p_a,j)` for network a
    and its peer b. The first sum is over the auxiliary classifiers, the two others over these and the final one, all
    with `p = softmax(z / T)`. The targets `p_b` are constants for network a, because an update moves its own network
    and heads only. With more than two networks the soft terms are means over the peers. Without heads this is deep
    mutual learning. In a network with `trainable = False` the heads alone learn; its peer is distilled from it.

    The heads are helpers "<network>_C2" and so on: evaluation runs none of them, and no export has them.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.DCM(peers, heads="C2")
    >>> list(distiller.helpers)
    ['resnet8_1_C2', 'resnet8_2_C2']

    Args:
        networks: two or more networks; with `pairs="none"` one will do.
        heads: auxiliary classifiers of each network, comma-separated: C2 is nearest to the network's end, C4 farthest
            from it, C3 between them; empty for none. Every network has the same heads. Heads of one place are of one
            stage.
        head_kind: "default": made of the network's own blocks; "narrow": half as wide; or "pooled": pooling and a
            linear classifier alone (the paper's APFC), which every network with stages can have.
        deep_supervision_weight: α, weight of the heads' cross-entropy.
        same_stage_weight: β, weight of the divergences between classifiers of one stage.
        cross_stage_weight: γ, weight of the divergences between classifiers of different stages.
        temperature: T of both distributions; the terms are multiplied by T², so that their gradient keeps its scale.
        pairs: classifiers that teach each other: "dense", all (DCM); "same", those of one stage (DCM-1); "cross",
            those of different stages (DCM-2); "final", the networks' own only (DML + DS); or "none" (deep supervision).
        update: "joint": every network from the same forward pass, as the paper's algorithm and code say; or
            "alternating": network after network, each on a fresh forward pass of all.
        task: the supervised loss and metrics.
        seed: of the heads' weights.

    Raises:
        ValueError: fewer networks than the pairs take, no such head for a network, a temperature that is not positive,
            an unknown choice, or "cross" without a head.

    Source: Yao and Sun, "Knowledge Transfer via Dense Cross-Layer Mutual-Distillation", ECCV 2020, Eqs. 6-9 and
    Algorithm 1; α = β = γ = T = 1. Eq. 2 writes the soft terms as cross-entropies; the authors' code has divergences,
    whose gradient is the same and which are 0 where two classifiers agree. The code smooths its probabilities by 1e-8
    against logarithms of 0, which logarithms of a softmax do not need. Its one optimizer over both networks moves
    each as an optimizer of its own does, because no term has a gradient for both.
    """

    protocol = "dcm_wide_resnet"
    source = "Yao and Sun, Knowledge Transfer via Dense Cross-Layer Mutual-Distillation (ECCV 2020)"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        heads: str | Sequence[str] = "C2,C3",
        head_kind: Literal["default", "narrow", "pooled"] = "default",
        deep_supervision_weight: TermWeight = 1.0,
        same_stage_weight: TermWeight = 1.0,
        cross_stage_weight: TermWeight = 1.0,
        temperature: Temperature = 1.0,
        pairs: Literal["dense", "same", "cross", "final", "none"] = "dense",
        update: Order = "joint",
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(networks, task=task)
        places = places_of(heads)
        soft = choose("pairs", pairs, PAIRS)
        if soft:
            require_peers(networks, task)
        if pairs == "cross" and not places:
            raise ArgumentError("pairs", "'cross' is between different stages, which takes a head; heads has none")
        self.temperature, self.update = temperature, update
        self.compared = (FINAL,) if pairs == "final" else (FINAL, *places)
        weights = {
            self.task.loss_name: 1.0,
            "deep_supervision": deep_supervision_weight,
            "same_stage": same_stage_weight * temperature**2,
            "cross_stage": cross_stage_weight * temperature**2,
        }
        left_out = {"same_stage", "cross_stage"} - set(soft)
        if not places:
            left_out |= {"deep_supervision", "cross_stage"}
        self.term_weights = {name: weight for name, weight in weights.items() if name not in left_out}
        self.soft_terms = {name: SOFT_TERMS[name] for name in SOFT_TERMS if name in self.term_weights}
        seeds = initialization.LayerSeeds(seed)
        self.heads = {
            one.name: auxiliary_heads(one, getattr(one, "architecture", None), places, kind=head_kind, seed=next(seeds))
            for one in networks
        }
        self.helpers |= {head.model.name: head.model for own in self.heads.values() for head in own.values()}

    def phases(self) -> tuple[Phase, ...]:
        parts = []
        for one in self.networks:
            models = (one, *(head.model for head in self.heads[one.name].values()))
            update = Update(one.name, models, self.term_weights)
            parts.append((update, functools.partial(self._terms, one.name)))
        return (Phase(rounds_in_order(self.update, parts, self._classifiers)),)

    def _classifiers(self, batch: Batch, taps: Mapping[str, Taps]) -> dict[str, Taps]:
        """What every auxiliary classifier gives, as "NETWORK/PLACE", and every network's predictions, stacked.

        The heads run here, once a round, and not in `call_networks`, which evaluation calls too.
        """
        found: dict[str, Taps] = {f"{name}/{FINAL}": taps[name] for name in self.heads}
        for name, own in self.heads.items():
            found |= {
                f"{name}/{place}": self.call_model(head.model, taps[name][head.tap]) for place, head in own.items()
            }
        if self.soft_terms:
            found["predictions"] = {name: self._log_probabilities(name, found) for name in self.heads}
        return found

    def _terms(self, learner: str, batch: Batch, taps: Mapping[str, Taps]) -> Terms:
        own = [taps[f"{learner}/{place}"] for place in (FINAL, *self.heads[learner])]
        return {**self._supervised(batch, own), **self._mutual(learner, taps.get("predictions", {}))}

    def _supervised(self, batch: Batch, outputs: Sequence[Taps]) -> Terms:
        final, *heads = (self.task.loss(batch, one) for one in outputs)
        return {self.task.loss_name: final} | ({"deep_supervision": tf.add_n(heads)} if heads else {})

    def _mutual(self, learner: str, predictions: Mapping[str, tf.Tensor]) -> Terms:
        sources = [prediction for name, prediction in predictions.items() if name != learner]
        return {
            name: tf.add_n([term(source, predictions[learner]) for source in sources]) / len(sources)
            for name, term in self.soft_terms.items()
        }

    def _log_probabilities(self, network: str, outputs: Mapping[str, Taps]) -> tf.Tensor:
        """`[classifiers, batch, classes]`, of the classifiers that are compared."""
        logits = tf.stack([tf.cast(outputs[f"{network}/{place}"]["logits"], tf.float32) for place in self.compared])
        return tf.nn.log_softmax(logits / self.temperature)


def places_of(heads: str | Sequence[str]) -> tuple[str, ...]:
    """The places of heads, in the order of `PLACES`.

    Args:
        heads: comma-separated, or one after another.

    Raises:
        ValueError: an unknown place, or one given twice.
    """
    given = heads.split(",") if isinstance(heads, str) else list(heads)
    given = [place.strip() for place in given if place.strip()]
    for place in given:
        choose("heads", place, dict.fromkeys(PLACES))
    if len(set(given)) < len(given):
        raise ArgumentError("heads", f"{','.join(given)!r} has a place twice")
    return tuple(place for place in PLACES if place in given)


def same_stage(source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
    """`Σ_i KL(source_i ‖ learner_i)`, `[batch]`, of logarithms of probabilities `[classifiers, batch, classes]`."""
    return tf.reduce_sum(_divergence(source, learner), axis=0)


def cross_stage(source: tf.Tensor, learner: tf.Tensor) -> tf.Tensor:
    """`Σ_{i≠j} KL(source_i ‖ learner_j)`, `[batch]`, of logarithms of probabilities `[classifiers, batch, classes]`."""
    different = 1.0 - tf.eye(source.shape[0])
    every = _divergence(source[:, None], learner[None])
    return tf.reduce_sum(different[:, :, None] * every, axis=(0, 1))


SOFT_TERMS = {"same_stage": same_stage, "cross_stage": cross_stage}


def _divergence(log_p: tf.Tensor, log_q: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)
