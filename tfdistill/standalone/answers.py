"""What an export says of one image: a class, or objects; as text, and as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# What an export gives for one image, by the name of the output.
Row = Mapping[str, np.ndarray]


class Answer(Protocol):
    """Puts into words what an export gives for an image."""

    @property
    def names(self) -> Sequence[str]:
        """One for each class."""

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs that it reads."""

    def lines(self, row: Row) -> list[str]:
        """What is printed: a line behind the image's name, and those below it."""

    def facts(self, row: Row) -> dict[str, Any]:
        """The same as JSON has it."""


@dataclass(frozen=True)
class OneClass:
    """The class of the highest probability.

    Attributes:
        names: one for each class.
    """

    names: Sequence[str]
    outputs = ("probabilities",)

    def lines(self, row: Row) -> list[str]:
        """The class and its probability; see `Answer`."""
        said = self.facts(row)
        return [f"{said['class']} with probability {said['probability']:.3f}"]

    def facts(self, row: Row) -> dict[str, Any]:
        """`class` and `probability`; see `Answer`."""
        probabilities = row["probabilities"]
        return {"class": self.names[int(probabilities.argmax())], "probability": float(probabilities.max())}


@dataclass(frozen=True)
class Objects:
    """Objects in an image, the surest first.

    Attributes:
        names: one for each class.
        least_score: those below are left out.
    """

    names: Sequence[str]
    least_score: float
    outputs = ("boxes", "scores", "classes", "count")

    def lines(self, row: Row) -> list[str]:
        """How many there are, and a line for each; see `Answer`."""
        found = self.facts(row)["objects"]
        width = max((len(one["class"]) for one in found), default=0)
        sides = ("top", "left", "bottom", "right")
        told = [
            f"{one['class']:<{width}}  {one['score']:.3f}  "
            + "  ".join(f"{side} {value:.1f}" for side, value in zip(sides, one["box"], strict=True))
            for one in found
        ]
        return ["1 object" if len(found) == 1 else f"{len(found)} objects", *told]

    def facts(self, row: Row) -> dict[str, Any]:
        """`objects`, each with `class`, `score` and `box`: top, left, bottom, right in pixels; see `Answer`."""
        kept = self.kept(row)
        return {
            "objects": [
                {"class": self.names[label], "score": float(score), "box": [float(side) for side in box]}
                for box, score, label in zip(kept["boxes"], kept["scores"], kept["classes"], strict=True)
            ]
        }

    def kept(self, row: Row) -> dict[str, np.ndarray]:
        """Boxes, scores and classes of the objects that are sure enough."""
        count = int(np.count_nonzero(row["scores"][: int(row["count"])] >= self.least_score))
        return {name: row[name][:count] for name in ("boxes", "scores", "classes")}
