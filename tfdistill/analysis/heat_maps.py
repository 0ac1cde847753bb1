"""Heat maps of single images: what Grad-CAM and relevance have in common as analyses."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.explained import PREDICTED, Classes, Explained, joined
from tfdistill.analysis.study import Study
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned
from tfdistill.data import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL = "label"
# Images, where nobody says how many.
USUAL = 8


@dataclass(frozen=True, eq=False)
class Found:
    """What one way to look at one network finds in some images.

    Attributes:
        maps: float32 [images, height, width].
        explained: the classes, and what the network says of them.
        numbers: what else there is of each image, float [images], by the name of its column.
    """

    maps: np.ndarray
    explained: Explained
    numbers: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Column:
    """One way to look at one network: a column of the picture.

    Attributes:
        network: the label of the network.
        of: what of it is looked at, such as a tap; empty where that goes without saying.
        find: looks at images [images, height, width, channels], as the network reads them.
    """

    network: str
    of: str
    find: Callable[[np.ndarray, Classes], Found]

    @property
    def title(self) -> str:
        """What the picture calls it."""
        return f"{self.network}, {self.of}" if self.of else self.network


@dataclass(frozen=True, eq=False)
class Pictured:
    """What a picture of heat maps shows.

    Attributes:
        images: 0..1, [images, height, width, channels].
        labels: int32 [images].
        columns: by title, what is found in these images.
        class_names: in the order of the labels.
    """

    images: np.ndarray
    labels: np.ndarray
    columns: Mapping[str, Found]
    class_names: Sequence[str]


class HeatMaps(Analysis):
    """An analysis that gives a map for every image and column; a subclass says the columns."""

    @abc.abstractmethod
    def columns(self, study: Study) -> list[Column]:
        """The columns of the picture.

        Raises:
            ArgumentError: a network has not what is looked at.
        """

    @abc.abstractmethod
    def lines(self, found: Mapping[str, Found]) -> list[str]:
        """What the terminal shows of the columns, by their titles."""

    @abc.abstractmethod
    def draw(self, pictured: Pictured) -> Mapping[str, Figure]:
        """The pictures."""

    def check(self, study: Study) -> None:
        self.columns(study)
        examples_of(study)
        classes_of(study, np.zeros(1, np.int32))

    def find(self, study: Study) -> Findings:
        columns, split = self.columns(study), examples_of(study)
        drawn = min(len(split), study.options.images)
        if drawn < len(split):
            study.note(f"The picture has the first {drawn} of {len(split):,} images; --images says how many.")
        shown: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        index: list[np.ndarray] = []
        parts: dict[str, list[Found]] = {one.title: [] for one in columns}
        alike = Alikeness(len(columns))
        for batch in study.answers(split, {}, self.title):
            labels.append(batch.labels)
            index.append(batch.index)
            found = [one.find(batch.images, classes_of(study, batch.labels)) for one in columns]
            alike.add([one.maps for one in found])
            kept = max(0, drawn - sum(len(one) for one in shown))
            # Copies, as a view would keep the whole batch in memory.
            shown.append(batch.images[:kept].copy())
            for column, one in zip(columns, found, strict=True):
                parts[column.title].append(replace(one, maps=one.maps[:kept].copy()))
        whole = {title: _joined(some) for title, some in parts.items()}
        pictured = Pictured(
            _pixels(np.concatenate(shown), study), np.concatenate(labels)[:drawn], whole, study.class_names
        )
        rows = list(_rows(columns, whole, np.concatenate(labels), np.concatenate(index), study.class_names))
        numbers = {
            "images": rows,
            "alike": {"columns": [one.title for one in columns], "correlation": alike.correlation},
            "maps": {title: one.maps for title, one in whole.items()},
        }
        lines = [*self.lines(whole), *_alike_lines(columns, alike, study)]
        return Findings(numbers, rows, lambda: self.draw(pictured), lines)


class Alikeness:
    """How much maps of two columns are alike: Pearson's correlation over the pixels of an image, the mean over images.

    Args:
        columns: how many.
    """

    def __init__(self, columns: int) -> None:
        self._sums, self._counts = np.zeros((columns, columns)), np.zeros((columns, columns), int)

    def add(self, maps: Sequence[np.ndarray]) -> None:
        """Takes the maps [images, height, width] of every column; one that is the same everywhere does not count."""
        flat = np.stack([one.reshape(len(one), -1) for one in maps], axis=1).astype(np.float64)
        flat -= flat.mean(axis=2, keepdims=True)
        sizes = np.linalg.norm(flat, axis=2, keepdims=True)
        there = (sizes > 0) & (sizes.swapaxes(1, 2) > 0)
        flat /= np.where(sizes > 0, sizes, 1.0)
        self._sums += np.einsum("bip,bjp->ij", flat, flat)
        self._counts += there.sum(axis=0)

    @property
    def correlation(self) -> np.ndarray:
        """[columns, columns], -1..1; NaN where no image has a map in both."""
        with np.errstate(invalid="ignore"):
            return self._sums / np.where(self._counts > 0, self._counts, np.nan)


def examples_of(study: Study) -> Split:
    """The images that are looked at: of the classes that the user names, or of all.

    Raises:
        ArgumentError: the data has no such class, or no image of it.
    """
    names = study.options.classes
    if not names:
        return study.chosen(USUAL)
    numbers = study.class_numbers(len(names))
    whole = study.whole()
    places = np.concatenate([np.flatnonzero(whole.labels == one) for one in numbers])
    if not len(places):
        raise ArgumentError("classes", f"the {study.split} part has no example of {', '.join(names)}")
    return study.chosen(USUAL, split=whole.take(places))


def classes_of(study: Study, labels: np.ndarray) -> Classes:
    """The classes that are explained, of images with these labels.

    Raises:
        ArgumentError: the data has no such class.
    """
    if study.options.explain == LABEL:
        return labels
    if study.options.explain == PREDICTED:
        return PREDICTED
    try:
        chosen = replace(study, options=replace(study.options, classes=(study.options.explain,)))
        return chosen.class_numbers(1)[0]
    except ArgumentError as error:
        raise error.renamed("explain") from error


def _pixels(images: np.ndarray, study: Study) -> np.ndarray:
    """Images as they were before normalization, 0..1."""
    return np.clip(images * np.array(study.normalization.std) + np.array(study.normalization.mean), 0.0, 1.0)


def _joined(parts: Sequence[Found]) -> Found:
    return Found(
        np.concatenate([one.maps for one in parts]),
        joined([one.explained for one in parts]),
        {name: np.concatenate([one.numbers[name] for one in parts]) for name in parts[0].numbers},
    )


def _rows(
    columns: Sequence[Column],
    found: Mapping[str, Found],
    labels: np.ndarray,
    index: np.ndarray,
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    for column in columns:
        one = found[column.title]
        said = one.explained
        for place, label in enumerate(labels):
            yield {
                "network": column.network,
                "of": column.of,
                "example": int(index[place]),
                "label": names[label],
                "class": names[said.classes[place]],
                "predicted": names[said.predicted[place]],
                "probability": float(said.probabilities[place]),
                "confidence": float(said.confidences[place]),
                "logit": float(said.scores[place]),
                **{name: float(values[place]) for name, values in one.numbers.items()},
            }


def _alike_lines(columns: Sequence[Column], alike: Alikeness, study: Study) -> list[str]:
    """How much the maps of each column are like those of the first, or of the teacher."""
    if len(columns) < 2:
        return []
    first = next((place for place, one in enumerate(columns) if one.network == study.teacher), 0)
    rows = [[one.title, f"{value:.3f}"] for one, value in zip(columns, alike.correlation[first], strict=True)]
    return [
        "",
        f"correlation of maps with those of {columns[first].title}, mean over images",
        *aligned(rows, right=[1]),
    ]
