"""Active neurons: in how many directions a loss pulls at a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import losses
from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.cka import Representation, representations
from tfdistill.analysis.study import Study
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Examples that are taken unless the user says how many. There are no more directions than examples.
EXAMPLES = 2_000


def spectrum(gradients: np.ndarray) -> np.ndarray:
    """Eigenvalues of `C = E[g g']`, from the largest, 0 or more; as many as the shorter side of the gradients.

    Args:
        gradients: [N, D], of the loss of each example.
    """
    gradients = gradients.reshape(len(gradients), -1).astype(np.float64)
    short = gradients.T @ gradients if gradients.shape[1] <= len(gradients) else gradients @ gradients.T
    return _eigenvalues(short / len(gradients))


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.eigvalsh(matrix)[::-1], 0)


def count_active_neurons(eigenvalues: np.ndarray, share: float = 0.95) -> int:
    """The least number of directions that hold `share` of the gradients' energy: min{i: sum_(j≤i) λ_j / sum λ ≥ share}.

    Args:
        eigenvalues: from the largest, see `spectrum`.
        share: 1 - ε, 0..1.

    Returns:
        0 where there are no gradients at all.

    Source: Cui et al., "Active Subspace of Neural Networks: Structural Analysis and Universal Attacks", 2019, which
    Huang et al. (CVPR 2021), Fig. 4, count by. ε is theirs from memory: the second paper gives none.
    """
    held = np.cumsum(eigenvalues)
    if not len(held) or held[-1] <= 0:
        return 0
    # Rounding may leave the last sum a little below the whole.
    return int(np.searchsorted(held, share * held[-1] * (1 - 1e-12)) + 1)


def gradients_at(network: keras.Model, taps: Sequence[str]) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """What gives the gradient of each example's cross-entropy with respect to taps, float32 [B, ...] by tap.

    Args:
        network: functional, from images to a dict of taps.
        taps: which.
    """

    def compute(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            found = network(images, training=False)
            # Of the sum, as no example's loss depends on another example.
            loss = tf.reduce_sum(losses.cross_entropy(labels, found["logits"]))
        gradients = tape.gradient(loss, {tap: found[tap] for tap in taps})
        return {tap: tf.cast(one, tf.float32) for tap, one in gradients.items() if one is not None}

    # One trace, whatever the size of a batch.
    images = tf.TensorSpec(network.inputs[0].shape, tf.float32)
    return tf.function(compute, autograph=False).get_concrete_function(images, tf.TensorSpec((None,), tf.int32))


class ActiveNeurons(Analysis):
    """How many directions hold most of the gradients at the last feature map, and at its halves."""

    title = "Active neurons"
    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework, Fig. 4"

    def check(self, study: Study) -> None:
        study.require_classes(2, "counting active neurons")
        study.require_examples(2, "counting active neurons")
        for subject in study.subjects:
            subject.require_gradients("counting active neurons")
            for tap in self._taps(study):
                subject.require_tap(tap)

    def find(self, study: Study) -> Findings:
        parts = representations(study, self._taps(study))
        eigenvalues = {
            part.name: _eigenvalues(one) for part, one in zip(parts, self._matrices(study, parts), strict=True)
        }
        share = study.options.gradient_share
        counts = {name: count_active_neurons(one, share) for name, one in eigenvalues.items()}
        held = {name: np.cumsum(one) / max(one.sum(), 1e-300) for name, one in eigenvalues.items()}
        kept = {name: one[: count_active_neurons(eigenvalues[name], 0.999)] for name, one in held.items()}
        numbers = {
            "share": share,
            "examples": len(study.chosen(EXAMPLES)),
            "active_neurons": counts,
            "held": kept,
            "eigenvalues": {name: one[: len(kept[name])] for name, one in eigenvalues.items()},
        }
        rows = [
            {"representation": name, "directions": number, "held": one, "eigenvalue": eigenvalues[name][number - 1]}
            for name, ones in kept.items()
            for number, one in enumerate(ones, start=1)
        ]
        looks = {part.name: (study.labels.index(part.subject.label), part.name_within) for part in parts}
        table = [["representation", "active neurons"], *([name, str(count)] for name, count in counts.items())]
        return Findings(numbers, rows, lambda: _draw(kept, counts, share, looks), aligned(table, right=[1]))

    def _matrices(self, study: Study, parts: Sequence[Representation]) -> list[np.ndarray]:
        """`E[g g']` of each representation, or where that is smaller the products of examples; summed over batches."""
        split = study.chosen(EXAMPLES)
        sizes = [_length(part) for part in parts]
        sums: list[Any] = [np.zeros((size, size)) if size <= len(split) else [] for size in sizes]
        for found in self._gradients(study):
            for place, part in enumerate(parts):
                own = found.get((part.subject.label, part.tap))
                if own is None:
                    continue
                flat = part.of(own).reshape(len(own), -1)
                if isinstance(sums[place], list):
                    sums[place].append(flat)
                else:
                    sums[place] += flat.T.astype(np.float64) @ flat
        whole = [np.concatenate(one) if isinstance(one, list) else one for one in sums]
        return [
            (one.astype(np.float64) @ one.T if isinstance(kept, list) else one) / len(split)
            for kept, one in zip(sums, whole, strict=True)
        ]

    def _gradients(self, study: Study) -> Iterator[Mapping[tuple[str, str], np.ndarray]]:
        taps, split = self._taps(study), study.chosen(EXAMPLES)
        asked = [(one, gradients_at(one.network, taps)) for one in study.subjects]
        for answers in study.answers(split, {}, "gradients"):
            for subject, compute in asked:
                own = compute(tf.constant(answers.images), tf.constant(answers.labels))
                found = {tap: value.numpy() for tap, value in own.items()}
                if missing := [tap for tap in taps if tap not in found]:
                    said = f"the logits of {subject.label} do not depend on {missing[0]}; give another"
                    raise ArgumentError("taps", said)
                subject.require_finite({f"gradients of {tap}": one for tap, one in found.items()}, answers.index)
                yield {(subject.label, tap): value for tap, value in found.items()}

    def _taps(self, study: Study) -> Sequence[str]:
        return study.options.taps or ("features",)


def _length(part: Representation) -> int:
    shape = part.subject.network.output[part.tap].shape[1:]
    return int(np.prod([*shape[:-1], len(part.channels) if part.part else shape[-1]]))


def _draw(
    held: Mapping[str, np.ndarray], counts: Mapping[str, int], share: float, looks: Mapping[str, tuple[int, str]]
) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.spectra import spectra

    return {"": spectra(held, counts, share, looks)}
