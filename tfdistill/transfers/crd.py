"""CRD: contrastive representation distillation."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import ArgumentError, Number, RampedWeight, checked
from tfdistill.helpers.connectors import linear_embedding
from tfdistill.helpers.memory_bank import NORM_EPSILON, MemoryBank
from tfdistill.networks.taps import tap_of
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class CRD(Transfer):
    """The learner's embedding of an image is nearer to the source's of the same image than to those of other classes.

    `weight · (L(e, F) + L(f, E))` with the noise-contrastive loss L of an example and M examples of other classes. e is
    a linear layer of the learner's embedding divided by its norm, f the same of the source's, and the learner's update
    moves both layers. E and F are memories of e and f of every training example: the negatives come from there.
    `L(e, F) = −log h(e·F_b) − Σ_j log(1 − h(e·F_j))`, `h(s) = exp(s / T) / Z / (exp(s / T) / Z + M / N)`, N training
    examples; Z is N times the mean of exp(s / T) over the first batch, and stays.

    The two memories have `2 · N · units · 4` bytes. Each of several replicas has its own, of the examples it saw.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> crd = tfdistill.CRD(examples=[3, 1, 4, 1], negatives=2)
    >>> distiller = tfdistill.Distillation(student, teacher, [crd])

    Args:
        negatives: M, how many examples of other classes each example is told from.
        temperature: T of the likelihoods.
        momentum: share of a remembered embedding that stays when its example comes again.
        units: length of the embeddings.
        weight: weight of the term; in Python also a function of the epoch.
        examples: the class of every training example, at the place that a batch's `"index"`, int64 `[batch]`, has for
            it; -1 at a place without one. The command gives those of the run. Images of objects have no class: there
            each is of its own, such as its place, and is told from all others.
        name: of the term in the logs, and in the names of what is built.

    Raises:
        ValueError: a number out of range, no examples, or examples of one class.

    Source: Tian, Krishnan and Isola, "Contrastive Representation Distillation", ICLR 2020, Eqs. 17 to 19, with the
    numbers of the authors' code. There an example is not drawn twice for one other; here it may be.
    """

    paper = "Tian et al., Contrastive Representation Distillation (ICLR 2020)"
    # Of the batch it reads no label, but unlabelled images are none of its examples.
    reads_labels = True

    @checked
    def __init__(
        self,
        *,
        negatives: Annotated[int, Number(1, 10_000_000)] = 16_384,
        # Below, the likelihoods of many pairs add up to more than float32 has room for.
        temperature: Annotated[float, Number(0.02, 1_000)] = 0.07,
        momentum: Annotated[float, Number(0, 1, below=True)] = 0.5,
        units: Annotated[int, Number(1, 65_536)] = 128,
        weight: RampedWeight = 0.8,
        examples: np.ndarray | list[int] | None = None,
        name: str = "crd",
    ) -> None:
        super().__init__(name, weight)
        self.negatives, self.temperature, self.momentum, self.units = negatives, temperature, momentum, units
        self.examples = None if examples is None else np.asarray(examples)
        if self.examples is not None and (self.examples.ndim != 1 or self.examples.dtype.kind not in "iu"):
            raise ArgumentError("examples", "must be the classes of the training examples, integers [N]")

    def lesson(self, pairing: Pairing) -> Lesson:
        if self.examples is None:
            raise ArgumentError("examples", f"{self.name} remembers every training example; say the class of each")
        embeddings = [
            linear_embedding(
                tap_of(network, "embedding").shape[1:],
                self.units,
                name=f"{pairing.prefix}_embedding_of_{side}",
                seeds=pairing.seeds,
            )
            for side, network in (("learner", pairing.learner), ("source", pairing.source))
        ]
        bank = MemoryBank(
            self.examples,
            self.units,
            negatives=self.negatives,
            temperature=self.temperature,
            momentum=self.momentum,
            seed=pairing.learner_seed,
            seeds=pairing.seeds,
            name=f"{pairing.prefix}_bank",
        )

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            if "index" not in batch:
                raise ValueError(
                    f"data: {self.name} remembers every example by its place; batches must be dicts with 'index'"
                )
            sides = [
                tf.math.l2_normalize(tf.cast(call(model, taps["embedding"]), tf.float32), axis=1, epsilon=NORM_EPSILON)
                for model, taps in zip(embeddings, (own, source), strict=True)
            ]
            of_learner, of_source = sides
            return {self.name: contrast(bank, of_learner, of_source, batch["index"], batch.get("labelled"))}

        return Lesson({self.name: self.weight}, terms, tuple(embeddings), kept=(bank,))


def contrast(
    bank: MemoryBank, learner: tf.Tensor, source: tf.Tensor, index: tf.Tensor, labelled: tf.Tensor | None = None
) -> tf.Tensor:
    """The loss of a batch, [batch], which the bank then remembers; no number for an example that it does not know."""
    rows, known = bank.rows(index)
    if labelled is not None:
        # The places of unlabelled images are those of another set.
        rows = tf.where(labelled != 0, rows, bank.examples)
        known |= labelled == 0
    counts = bank.counts(bank.drawn(rows, index))
    sides = bank.log_odds(learner, source, rows, counts)
    bank.remember(learner, source, rows)
    terms = [losses.noise_contrastive_loss(own, everyone, counts, bank.noise) for own, everyone in sides]
    return tf.where(known, tf.add_n(terms), float("nan"))
