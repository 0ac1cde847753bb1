"""What a task's tables say class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ByClass:
    """The score of each class.

    Attributes:
        score: its name, such as "accuracy".
        scores: 0 to 1, float64 [classes]; NaN for a class without examples.
        counted: what is counted, such as "examples".
        counts: how many there are of each class, [classes].
        confusion: how often each class (row) was taken for each (column), [classes, classes]; None where classes are
            not taken for each other.
    """

    score: str
    scores: np.ndarray
    counted: str
    counts: np.ndarray
    confusion: np.ndarray | None = None

    def worst_first(self) -> np.ndarray:
        """Classes that have examples, the lowest scores first; of equal ones those of more examples, then order."""
        order = np.lexsort((np.arange(len(self.counts)), -self.counts, self.scores))
        return order[self.counts[order] > 0]

    def facts(self, class_names: Sequence[str]) -> dict[str, Any]:
        """As JSON has it, in the order of the classes.

        Args:
            class_names: one for each class.
        """
        named = zip(class_names, self.scores, strict=True)
        found: dict[str, Any] = {
            self.score: {name: None if np.isnan(one) else float(one) for name, one in named},
            self.counted: {name: int(one) for name, one in zip(class_names, self.counts, strict=True)},
        }
        if self.confusion is not None:
            found["confusion"] = self.confusion.astype(np.int64).tolist()
        return found
