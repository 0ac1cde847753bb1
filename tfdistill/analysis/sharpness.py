"""Sharpness: how the loss rises when the weights are moved at random."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.answers import Progress
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned
from tfdistill.data import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Examples that are taken unless the user says how many: each noise and draw is a pass over them.
EXAMPLES = 1_000


@contextlib.contextmanager
def moved(network: keras.Model, sigma: float, seed: int) -> Iterator[None]:
    """Within the block every trainable weight has noise of N(0, sigma²); afterwards it is what it was, bit for bit.

    What is not trained stays: the statistics of batch normalization.

    Args:
        network: whose weights are moved.
        sigma: the deviation of the noise, 0 or more.
        seed: of the noise; noises of one seed have one direction and differ in length alone.
    """
    variables = list(network.trainable_variables)
    before = [variable.numpy() for variable in variables]
    draw = np.random.default_rng(seed)
    try:
        for variable, value in zip(variables, before, strict=True):
            noise = draw.standard_normal(value.shape, np.float32)
            if sigma:
                variable.assign(value.astype(np.float32) + np.float32(sigma) * noise)
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def loss_under_noise(
    network: keras.Model, loss: Callable[[], float], sigmas: Sequence[float], *, draws: int = 5, seed: int = 0
) -> np.ndarray:
    """The loss of a network under noise on its weights, [sigmas, draws].

    Args:
        network: its weights are moved and put back.
        loss: computes the loss of the network as its weights are.
        sigmas: deviations of the noise.
        draws: noises of each deviation.
        seed: of the first; the others follow it.

    Source: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    Fig. 4: at a flat minimum it rises slowly.
    """
    found = np.zeros((len(sigmas), draws))
    for row, sigma in enumerate(sigmas):
        for draw in range(draws):
            with moved(network, sigma, seed + draw):
                found[row, draw] = loss()
    return found


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """In nats, for each example of logits [N, K] and labels [N], float64 [N]."""
    logits = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


class Sharpness(Analysis):
    """The training loss of each network under noise on its weights."""

    title = "Sharpness under noise on the weights"
    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework, Fig. 4"

    def check(self, study: Study) -> None:
        study.require_classes(2, "sharpness")
        for subject in study.subjects:
            subject.require_gradients("sharpness, which moves its weights,")
            if not subject.network.trainable_variables:
                said = f"{subject.label} has no trainable weights, and noise is put on these"
                raise ArgumentError(subject.argument, said)
            if study.part(subject, "train") is None:
                raise ArgumentError(
                    "split", f"the data has no part 'train', whose loss sharpness is, for {subject.label}"
                )
            if any(len(one.shape) > 1 for one in subject.network.non_trainable_variables):
                study.note(f"{subject.label} has weights that its training does not move; no noise is put on them.")
        if any(sigma < 0 for sigma in study.options.sigmas) or not study.options.sigmas:
            raise ArgumentError("sigmas", "must be deviations of 0 or more, such as 0,0.01,0.02")

    def find(self, study: Study) -> Findings:
        sigmas, draws = study.options.sigmas, study.options.draws
        splits = {one.label: study.chosen(EXAMPLES, split=study.part(one, "train")) for one in study.subjects}
        study.note(f"Noise of {draws} draws on the weights; {len(next(iter(splits.values()))):,} training examples.")
        progress = study.progress(sum(len(split) for split in splits.values()) * len(sigmas) * draws)
        found = {
            one.label: loss_under_noise(
                one.network,
                _loss(study, one, splits[one.label], progress),
                sigmas,
                draws=draws,
                seed=study.options.seed,
            )
            for one in study.subjects
        }
        progress.end(f"sharpness: {len(found)} networks, {len(sigmas)} deviations of {draws} draws")
        networks = {
            label: {"mean": one.mean(axis=1), "least": one.min(axis=1), "greatest": one.max(axis=1), "draws": one}
            for label, one in found.items()
        }
        rows = [
            {"network": label, "sigma": sigma, "draw": draw, "cross_entropy": loss}
            for label, one in found.items()
            for sigma, of_draws in zip(sigmas, one, strict=True)
            for draw, loss in enumerate(of_draws)
        ]
        return Findings(
            {"sigmas": sigmas, "networks": networks}, rows, lambda: _draw(sigmas, found), _lines(sigmas, found)
        )


def _loss(study: Study, subject: Subject, split: Split, progress: Progress) -> Callable[[], float]:
    def loss() -> float:
        total = 0.0
        passes = study.answers(split, {subject.label: ("logits",)}, f"sharpness, {subject.label}", progress=progress)
        try:
            for answers in passes:
                total += cross_entropy(answers.taps[subject.label]["logits"], answers.labels).sum()
        except ArgumentError as error:
            raise ArgumentError("sigmas", f"under the noise {error.said}; give smaller deviations") from error
        return total / len(split)

    return loss


def _lines(sigmas: Sequence[float], found: Mapping[str, np.ndarray]) -> list[str]:
    rows = [["network", *(f"σ = {sigma:g}" for sigma in sigmas)]]
    rows += [
        [label, *(f"{losses.mean():.3f} ± {losses.std(ddof=1):.3f}" for losses in one)] for label, one in found.items()
    ]
    return aligned(rows, right=range(1, len(sigmas) + 1))


def _draw(sigmas: Sequence[float], found: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.lines import bands

    return {"": bands(sigmas, found, "deviation σ of the noise on the weights", "training cross-entropy in nats")}
