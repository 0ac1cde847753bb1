"""Collaborative learning: several ways to make one teacher of the networks' logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import keras
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods.arguments import ArgumentError, Temperature, TermWeight, checked, choose, require_peers
from tfdistill.methods.one_target import OneTarget
from tfdistill.taps import Batch, Taps
from tfdistill.tasks import Task

ITERATIONS = 30


class KDCL(OneTarget):
    """Networks learn from the labels and from one teacher, made of all their logits and the labels.

    `L_k = CE(y, z_k) + weight · T² · KL(p_t(T) ‖ p_k(T))`, with `z_t` as `target` says; all networks are updated from
    the same forward pass. `z_t` contains the learner's own logits, which its update moves: a stop_gradient keeps the
    target from coming towards the learner.

    >>> peers = [tfdistill.networks.resnet8(classes=10) for _ in range(2)]
    >>> distiller = tfdistill.KDCL(peers, target="linear")
    >>> distiller.compile("adam")

    Args:
        networks: two or more networks.
        target: how the teacher's logits are made. "min_logit": each network's logits are shifted so that the labelled
            class has 0, then the smallest of every class is taken; "naive": the logits of the network whose
            cross-entropy on the batch is lowest; "linear": the convex combination of the networks' logits whose
            cross-entropy on the batch is lowest; "mean": their mean.
        weight: weight of the distillation term.
        temperature: T of both distributions; the term is multiplied by T², so that its gradient keeps its scale.
        task: the supervised loss and metrics.

    Raises:
        ValueError: fewer than two networks, a temperature that is not positive, or an unknown target.

    Source: Guo et al., "Online Knowledge Distillation via Collaborative Learning", CVPR 2020: KDCL-Naive, KDCL-Linear,
    KDCL-MinLogit. Written from memory of the paper, not checked against its text: the three targets, the loss, T = 2
    and weight 1. Readings of ours: "naive" and "linear" choose once per batch, not per image; with several replicas
    each chooses on its share of the batch. The labelled class of a mixed label is its largest. "min_logit" is the
    default, because every example has its own target and every network something to learn; in "naive" the chosen
    network has nothing. Left out: KDCL-General, whose shares need held-out data, and the paper's own distortion of the
    images for each network; here all networks see the same images. "mean" is the plain ensemble, for comparison.
    """

    protocol = "afd"
    protocol_note = (
        "This is not KDCL's own protocol: its paper's text was not at hand, and its epochs, rates and decay may be "
        "others. AFD's stands here, by which AFD's paper trains every online method that it compares."
    )
    source = "Guo et al., Online Knowledge Distillation via Collaborative Learning (CVPR 2020)"

    @checked
    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        target: Literal["min_logit", "naive", "linear", "mean"] = "min_logit",
        weight: TermWeight = 1.0,
        temperature: Temperature = 2.0,
        task: Task | None = None,
    ) -> None:
        super().__init__(networks, task=task)
        require_peers(networks, task)
        self.target = choose("target", target, TARGETS)
        self.weight, self.temperature = weight, temperature

    def target_logits(self, batch: Batch, taps: Mapping[str, Taps]) -> tf.Tensor:
        logits = tf.stack([tf.cast(taps[network.name]["logits"], tf.float32) for network in self.networks])
        labels = None if self.target is mean_logits else batch["labels"]
        return self.target(tf.stop_gradient(logits), labels)

    def require_unlabelled(self) -> None:
        if self.target is not mean_logits:
            raise ArgumentError(
                "target", "must be 'mean' for batches with unlabelled examples; every other is made by their labels"
            )


def mean_logits(logits: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
    """The mean over the networks, whatever the labels: `[networks, batch, classes]` to `[batch, classes]`."""
    return tf.reduce_mean(logits, axis=0)


def lowest_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The logits of the one network whose mean cross-entropy over the batch is lowest; of equals the first.

    Args:
        logits: float32 `[networks, batch, classes]`.
        labels: integers `[batch]`, or distributions `[batch, classes]`.

    Returns:
        float32 `[batch, classes]`.
    """
    means = [tf.reduce_mean(losses.cross_entropy(labels, one)) for one in tf.unstack(logits)]
    return tf.gather(logits, tf.argmin(tf.stack(means)))


def smallest_logits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`z_t[c] = min_k (z_k[c] - z_k[y])`: the labelled class gets 0, every other class the lowest score against it.

    No network gives the labelled class a higher probability than this target does.

    Args:
        logits: float32 `[networks, batch, classes]`.
        labels: integers `[batch]`, or distributions `[batch, classes]`, of which the largest class counts.

    Returns:
        float32 `[batch, classes]`.
    """
    labelled = _one_hot(labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1), logits)
    own = tf.reduce_sum(labelled * logits, axis=-1, keepdims=True)
    return tf.reduce_min(logits - own, axis=0)


def best_combination(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """`Σ_k a_k z_k`, with shares `a` (from 0, sum 1) of least mean cross-entropy over the batch, a convex problem.

    Exponentiated gradient from equal shares, `a_k ∝ exp(score_k)` with `score_k -= step · dL/da_k`: `ITERATIONS` tries,
    the step doubled after one that was kept, halved after one that was not. Kept is what does not go too far: where the
    slope at the new shares still does not rise along the way there, the loss of a convex problem is no higher. Slopes
    tell that where losses in float32 no longer differ. No loop in the graph and no branch, so XLA compiles it. Shares
    of 0 are out of reach: where one network alone is as good, its logits are the result.

    Args:
        logits: float32 `[networks, batch, classes]`.
        labels: integers `[batch]`, or distributions `[batch, classes]`.

    Returns:
        float32 `[batch, classes]`.
    """
    wanted = _one_hot(labels, logits) if labels.shape.rank == 1 else tf.cast(labels, tf.float32)
    examples = tf.cast(tf.shape(logits)[1], tf.float32)

    def shares_and_slope(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shares = tf.nn.softmax(scores)
        errors = tf.nn.softmax(tf.tensordot(shares, logits, 1)) - wanted
        slope = tf.tensordot(logits, errors, ((1, 2), (0, 1))) / examples
        # What all slopes have in common moves no share; without it the scores stay small.
        return shares, slope - tf.reduce_mean(slope)

    scores = tf.zeros(logits.shape[0])
    shares, slope = shares_and_slope(scores)
    step = tf.math.divide_no_nan(1.0, tf.reduce_max(tf.abs(slope)))
    for _ in range(ITERATIONS):
        tried = scores - step * slope
        tried_shares, tried_slope = shares_and_slope(tried)
        kept = tf.reduce_sum(tried_slope * (tried_shares - shares)) <= 0
        scores, shares = tf.where(kept, tried, scores), tf.where(kept, tried_shares, shares)
        slope, step = tf.where(kept, tried_slope, slope), step * tf.where(kept, 2.0, 0.5)
    return lowest_cross_entropy(tf.concat([logits, tf.tensordot(shares, logits, 1)[None]], axis=0), labels)


def _one_hot(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.one_hot(labels, logits.shape[-1], dtype=tf.float32)


TARGETS = {
    "min_logit": smallest_logits,
    "naive": lowest_cross_entropy,
    "linear": best_combination,
    "mean": mean_logits,
}
