"""How far the feature maps of two networks are from each other: L1, L2 and cosines over a set of examples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("l1", "l2", "cosine", "pixel_cosine")
# Of a norm, as PyTorch's cosine_similarity has it.
EPSILON = 1e-8


def feature_distances(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Distances and likeness of two feature maps, example by example.

    Args:
        first: [N, ..., C], any rank from 2.
        second: the same shape.

    Returns:
        each float64 [N]: "l1", the mean over elements of |a - b|; "l2", the mean of (a - b)²; "cosine" of the two maps
        as one long vector each; "pixel_cosine", the cosine of the two vectors of channels at each position, its mean
        over positions.

    Raises:
        ArgumentError: the shapes differ.

    Source: Chung et al., "Feature-map-level Online Adversarial Knowledge Distillation", ICML 2020, Table 7, which gives
    no formulas; its figures fit means and not norms.
    """
    if first.shape != second.shape or first.ndim < 2:
        raise ArgumentError("first", f"must be [N, ..., C] as second is, not {first.shape} and {second.shape}")
    one, other = (values.reshape(len(values), -1, values.shape[-1]).astype(np.float64) for values in (first, second))
    flat, flat_other = (values.reshape(len(values), 1, -1) for values in (one, other))
    return {
        "l1": np.abs(one - other).mean(axis=(1, 2)),
        "l2": np.square(one - other).mean(axis=(1, 2)),
        "cosine": _cosine(flat, flat_other)[:, 0],
        "pixel_cosine": _cosine(one, other).mean(axis=1),
    }


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = [np.maximum(np.linalg.norm(values, axis=-1), EPSILON) for values in (one, other)]
    return np.sum(one * other, axis=-1) / (norms[0] * norms[1])


class FeatureDistance(Analysis):
    """Distances of feature maps between every two networks of a run, or between each network and the teacher."""

    title = "Distances of feature maps"
    paper = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020), Table 7"

    def check(self, study: Study) -> None:
        pairs = pairs_of(study, "the distance of features")
        for tap, (first, second) in itertools.product(self._taps(study), pairs):
            for one in (first, second):
                one.require_tap(tap)
            shapes = [tuple(one.network.output[tap].shape[1:]) for one in (first, second)]
            if shapes[0] != shapes[1]:
                told = [f"{shape} of {one.label}" for shape, one in zip(shapes, (first, second), strict=True)]
                raise ArgumentError("taps", f"{tap} is {' and '.join(told)}; a distance needs one shape")

    def find(self, study: Study) -> Findings:
        pairs, taps, split = pairs_of(study, self.title), self._taps(study), study.chosen()
        sums: dict[tuple[str, str, str], np.ndarray] = {}
        asked = {one.label: taps for pair in pairs for one in pair}
        for answers in study.answers(split, asked, "distances of features"):
            for tap, (first, second) in itertools.product(taps, pairs):
                found = feature_distances(*(answers.taps[one.label][tap] for one in (first, second)))
                sums.setdefault((tap, first.label, second.label), np.zeros(len(MEASURES)))
                sums[tap, first.label, second.label] += [found[name].sum() for name in MEASURES]
        rows = [
            {"tap": tap, "first": first, "second": second, **dict(zip(MEASURES, total / len(split), strict=True))}
            for (tap, first, second), total in sums.items()
        ]
        return Findings({"examples": len(split), "distances": rows}, rows, lambda: _draw(rows), _lines(rows))

    def _taps(self, study: Study) -> Sequence[str]:
        return study.options.taps or ("features",)


def pairs_of(study: Study, what: str) -> list[tuple[Subject, Subject]]:
    """Each network with the teacher; where there is none, every two networks of one run, and of any run otherwise.

    Raises:
        ArgumentError: there is one network alone.
    """
    if len(study.subjects) < 2:
        raise ArgumentError("run", f"{what} is one between two networks; give another network, or a --teacher")
    *others, last = study.subjects
    if study.teacher:
        return [(one, last) for one in others]
    pairs = list(itertools.combinations(study.subjects, 2))
    return [(one, other) for one, other in pairs if one.run and one.run == other.run] or pairs


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [["tap", "first", "second", "L1", "L2 (mean square)", "cosine", "cosine per pixel"]]
    table += [[row["tap"], row["first"], row["second"], *(f"{row[name]:.4f}" for name in MEASURES)] for row in rows]
    return aligned(table, right=range(3, 7))


def _draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.distances import distances

    return {"": distances(rows)}
