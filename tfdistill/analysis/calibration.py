"""Calibration: whether a network is right as often as it is sure; reliability, ECE, and temperature scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.columns import aligned
from tfdistill.data import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A temperature is looked for in between; at the ends nothing would be gained any more.
COLDEST, HOTTEST = 1e-3, 1e3


@dataclass(frozen=True)
class Reliability:
    """How sure a network is and how often it is right, in bins of its confidence.

    Attributes:
        counts: examples of each bin, int64 [M]; the bins have one width and divide 0..1.
        confidence: mean largest probability of each bin, 0..1, [M]; NaN where a bin is empty.
        accuracy: share of right answers of each bin, 0..1, [M]; NaN likewise.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """The edges of the bins, [M + 1]."""
        return np.linspace(0, 1, len(self.counts) + 1)

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1: the mean of |accuracy - confidence|, each bin by its share."""
        there = self.counts > 0
        gaps = np.abs(self.accuracy[there] - self.confidence[there])
        return float(np.sum(self.counts[there] / self.counts.sum() * gaps))

    @property
    def mean_accuracy(self) -> float:
        """Taken over all examples, 0..1."""
        return float(np.nansum(self.accuracy * self.counts) / self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        """Taken over all examples, 0..1."""
        return float(np.nansum(self.confidence * self.counts) / self.counts.sum())


def reliability(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> Reliability:
    """A reliability diagram's numbers.

    Args:
        probabilities: [N, K], rows of sum 1.
        labels: the true classes, integers [N].
        bins: M, all of width 1/M; a confidence on an edge counts to the bin below it.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, Eqs. 2-3. Kim et al. (IJCAI 2021),
    Fig. 8, take 10 bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(places, one, bins) / counts for one in (confidence, right)]
    return Reliability(counts, *means)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> float:
    """The mean gap of accuracy and confidence, 0..1: `sum_m |B_m| / N |acc(B_m) - conf(B_m)|`; see `reliability`."""
    return reliability(probabilities, labels, bins=bins).error


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits [N, K], float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that makes the cross-entropy of `softmax(logits / T)` smallest, in 0.001..1000.

    The cross-entropy is convex in 1/T, and its slope is bisected.

    Args:
        logits: [N, K], finite.
        labels: the true classes, integers [N].

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, §4.2.
    """
    logits = logits.astype(np.float64)
    own = logits[np.arange(len(labels)), labels]
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(60):
        middle = (low + high) / 2
        slope = np.mean(np.sum(softmax(logits * np.exp(middle)) * logits, axis=1) - own)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


class Calibration(Analysis):
    """Reliability and ECE on training and test examples, before temperature scaling and after it."""

    title = "Calibration"
    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), Fig. 8"

    def check(self, study: Study) -> None:
        study.require_classes(2, "calibration")
        study.require_examples(2, "calibration, which fits a temperature on some and scores others,")

    def find(self, study: Study) -> Findings:
        parts = list(dict.fromkeys(["train", study.split]))
        found = {one.label: self._of(one, study, parts) for one in study.subjects}
        return Findings(
            {"bins": study.options.bins, "networks": {label: _numbers(parts) for label, parts in found.items()}},
            [row for label, parts in found.items() for name, one in parts.items() for row in _rows(label, name, one)],
            lambda: _draw(found),
            _lines(found),
        )

    def _of(self, subject: Subject, study: Study, parts: list[str]) -> dict[str, tuple[Reliability, float]]:
        """By what is scored, how it is calibrated and at which temperature."""
        found, bins = {}, study.options.bins
        for name in parts:
            split = study.part(subject, name)
            if split is None:
                continue
            logits, labels = logits_of(subject, study, study.chosen(split=split), f"calibration, {name}")
            found[name] = reliability(softmax(logits), labels, bins=bins), 1.0
        validation = None if study.split == "validation" else study.part(subject, "validation")
        name = study.split
        if validation is None:
            study.note(
                f"The temperature is fitted on every second {name} example and scored on the others, as there are no "
                "validation examples beside them."
            )
            fitted, (logits, labels) = (logits[::2], labels[::2]), (logits[1::2], labels[1::2])
            name = f"half of {name}"
            found[name] = reliability(softmax(logits), labels, bins=bins), 1.0
        else:
            fitted = logits_of(subject, study, study.chosen(split=validation), "calibration, validation")
        temperature = fit_temperature(*fitted)
        found[f"{name}, scaled"] = reliability(softmax(logits / temperature), labels, bins=bins), temperature
        return found


def logits_of(subject: Subject, study: Study, split: Split, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The logits of some examples, float32 [N, K], and their labels, int32 [N]."""
    taps = {subject.label: ("logits",)}
    passes = list(study.answers(split, taps, f"{what}, {subject.label}"))
    logits = np.concatenate([one.taps[subject.label]["logits"] for one in passes])
    return logits, np.concatenate([one.labels for one in passes])


def _numbers(parts: Mapping[str, tuple[Reliability, float]]) -> dict[str, Any]:
    return {
        name: {
            "ece": one.error,
            "temperature": temperature,
            "examples": int(one.counts.sum()),
            "accuracy": one.mean_accuracy,
            "confidence": one.mean_confidence,
            "bins": {"counts": one.counts, "confidence": one.confidence, "accuracy": one.accuracy},
        }
        for name, (one, temperature) in parts.items()
    }


def _rows(label: str, part: str, found: tuple[Reliability, float]) -> list[dict[str, Any]]:
    one, temperature = found
    bins = zip(one.edges[:-1], one.edges[1:], one.counts, one.confidence, one.accuracy, strict=True)
    return [
        {
            "network": label,
            "part": part,
            "temperature": temperature,
            "ece": one.error,
            "from": low,
            "to": high,
            "examples": count,
            "confidence": confidence,
            "accuracy": accuracy,
        }
        for low, high, count, confidence, accuracy in bins
    ]


def _lines(found: Mapping[str, Mapping[str, tuple[Reliability, float]]]) -> list[str]:
    rows = [["network", "part", "examples", "accuracy", "confidence", "ECE", "temperature"]]
    rows += [
        [
            label,
            part,
            f"{one.counts.sum():,}",
            f"{one.mean_accuracy:.2%}",
            f"{one.mean_confidence:.2%}",
            f"{one.error:.2%}",
            f"{temperature:.3f}",
        ]
        for label, parts in found.items()
        for part, (one, temperature) in parts.items()
    ]
    return aligned(rows, right=range(2, 7))


def _draw(found: Mapping[str, Mapping[str, tuple[Reliability, float]]]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.reliability import diagrams

    return {"": diagrams(found)}
