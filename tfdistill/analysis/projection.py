"""The penultimate layer's vectors of three classes, projected onto the plane through the means of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned
from tfdistill.data import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EMBEDDING = "embedding"


@dataclass(frozen=True)
class Projection:
    """Vectors of three classes in the plane of their means.

    Attributes:
        points: [N, 2], in the units of the vectors; the first class's mean is the origin, and the second's lies on the
            first axis.
        means: of the three classes, [3, 2].
        spread: the mean distance of a point to its class's mean, over the mean distance of two means; small where
            classes are tight.
    """

    points: np.ndarray
    means: np.ndarray
    spread: float


def project(vectors: np.ndarray, labels: np.ndarray, classes: Sequence[int]) -> Projection:
    """Projects vectors onto the plane through three classes' means.

    With the means t1, t2, t3, e1 points from t1 to t2, and e2 is what is left of t3 - t1 without e1 (Gram-Schmidt).

    Args:
        vectors: [N, D], of these three classes alone.
        labels: integers [N].
        classes: the three, in their order.

    Raises:
        ArgumentError: a class has no vectors, or the means lie on one line.

    Source: Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, §2, with the means of classes
    for the templates, as Kim et al. (IJCAI 2021), Fig. 5, draw it.
    """
    vectors = vectors.reshape(len(vectors), -1).astype(np.float64)
    if absent := [one for one in classes if not np.any(labels == one)]:
        raise ArgumentError("classes", f"class {absent[0]} has no examples here")
    means = np.stack([vectors[labels == one].mean(axis=0) for one in classes])
    across, up = means[1] - means[0], means[2] - means[0]
    length = np.linalg.norm(across)
    first = across / length if length > 0 else across
    up = up - (up @ first) * first
    height = np.linalg.norm(up)
    if length == 0 or height <= 1e-9 * length:
        raise ArgumentError("classes", "the means of the three classes lie on one line, which spans no plane")
    axes = np.stack([first, up / height], axis=1)
    points, centres = (vectors - means[0]) @ axes, (means - means[0]) @ axes
    places = {one: place for place, one in enumerate(classes)}
    own = centres[[places[int(one)] for one in labels]]
    apart = np.mean([np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    return Projection(points, centres, float(np.linalg.norm(points - own, axis=1).mean() / apart))


class Projections(Analysis):
    """Examples of three classes in the plane of their means, a panel for each network."""

    title = "Projection of the penultimate layer"
    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), Fig. 5"

    def check(self, study: Study) -> None:
        study.require_classes(3, "the projection")
        split, numbers = self._examples(study)
        for one in numbers:
            if not np.any(split.labels == one):
                name = study.class_names[one]
                raise ArgumentError("classes", f"there are no examples of {name} here; give others, or another --split")
        for subject in study.subjects:
            subject.require_tap(self._tap(study))

    def find(self, study: Study) -> Findings:
        (split, classes), tap = self._examples(study), self._tap(study)
        passes = list(study.answers(split, dict.fromkeys(study.labels, (tap,)), "projection"))
        labels = np.concatenate([one.labels for one in passes])
        index = np.concatenate([one.index for one in passes])
        vectors = {name: np.concatenate([one.taps[name][tap] for one in passes]) for name in study.labels}
        found = {name: project(values, labels, classes) for name, values in vectors.items()}
        names = [study.class_names[one] for one in classes]
        numbers = {
            "tap": tap,
            "classes": names,
            "examples": len(split),
            "networks": {name: {"spread": one.spread, "means": one.means} for name, one in found.items()},
        }
        rows = [
            {"network": name, "example": place, "class": study.class_names[label], "x": x, "y": y}
            for name, one in found.items()
            for place, label, (x, y) in zip(index, labels, one.points, strict=True)
        ]
        table = [["network", "spread"], *([name, f"{one.spread:.3f}"] for name, one in found.items())]
        named = dict(zip(classes, names, strict=True))
        return Findings(numbers, rows, lambda: _draw(found, labels, named), aligned(table, right=[1]))

    def _tap(self, study: Study) -> str:
        if len(study.options.taps) > 1:
            raise ArgumentError("taps", "must be one for the projection")
        return study.options.taps[0] if study.options.taps else EMBEDDING

    def _examples(self, study: Study) -> tuple[Split, list[int]]:
        classes, split = study.class_numbers(3), study.whole()
        return study.chosen(split=split.take(np.flatnonzero(np.isin(split.labels, classes)))), classes


def _draw(found: Mapping[str, Projection], labels: np.ndarray, names: Mapping[int, str]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.projection import planes

    return {"": planes(found, labels, names)}
