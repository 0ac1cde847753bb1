"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.columns import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Confusions that the terminal shows of each network.
TOLD = 5


def confusion_matrix(answers: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many examples of each true class (row) are given each answer (column), int64 [classes, classes]."""
    return np.bincount(labels.astype(np.int64) * classes + answers, minlength=classes**2).reshape(classes, classes)


def shares(matrix: np.ndarray) -> np.ndarray:
    """A confusion matrix in shares of each true class, 0..1; a class without examples has zeros."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


class Confusion(Analysis):
    """The confusion matrix of each network."""

    title = "Confusion"

    def check(self, study: Study) -> None:
        study.require_classes(2, "a confusion matrix")

    def find(self, study: Study) -> Findings:
        names, split = study.class_names, study.chosen()
        found = {label: np.zeros((len(names),) * 2, np.int64) for label in study.labels}
        for answers in study.answers(split, dict.fromkeys(study.labels, ("logits",)), "confusion"):
            for label, own in answers.taps.items():
                found[label] += confusion_matrix(own["logits"].argmax(axis=1), answers.labels, len(names))
        numbers = {"examples": len(split), "classes": names, "matrices": found}
        rows = [row for label, one in found.items() for row in _rows(label, one, names)]
        return Findings(numbers, rows, lambda: _draw(found, names), _lines(rows))


def _rows(label: str, matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every entry that is not 0, the most frequent confusions first and the right answers last."""
    share = shares(matrix)
    there = sorted(np.argwhere(matrix), key=lambda at: (at[0] == at[1], -share[tuple(at)], *at))
    return [
        {
            "network": label,
            "true": names[row],
            "answer": names[column],
            "examples": matrix[row, column],
            "share": share[row, column],
        }
        for row, column in there
    ]


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    table, told = [["network", "true class", "taken for", "share", "examples"]], dict[str, int]()
    for row in rows:
        label = row["network"]
        if row["true"] != row["answer"] and told.get(label, 0) < TOLD:
            told[label] = told.get(label, 0) + 1
            table.append([label, row["true"], row["answer"], f"{row['share']:.1%}", str(row["examples"])])
    return aligned(table, right=[3, 4])


def _draw(found: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.matrix import confusions

    return {"": confusions({label: shares(one) for label, one in found.items()}, names)}
