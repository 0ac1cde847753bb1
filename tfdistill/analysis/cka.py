"""Linear centred kernel alignment (CKA): how alike two representations of the same examples are."""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned
from tfdistill.data import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows or columns of one product, and bytes of features that are kept in memory; more lie in a file meanwhile.
BLOCK, IN_MEMORY = 2_048, 2**30
HALVES = ("first half", "second half")


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """`|X'Y|² / (|X'X| |Y'Y|)` of two sets of features, each centred over the examples; Frobenius norms.

    Where a representation is longer than there are examples, the same norms come from Gram matrices, `<XX', YY'>`. Both
    are summed block by block, so that neither a matrix of features nor one of examples is ever whole in memory.

    Args:
        first: [N, ...], flattened.
        second: [N, ...], of any length.

    Returns:
        0..1; 1 where one is the other rotated, scaled and shifted; 0 where either does not vary.

    Raises:
        ArgumentError: the numbers of examples differ, or there is one alone.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, Eqs. 1-3.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ArgumentError("first", f"must have the examples of second, two or more: {len(first)}, {len(second)}")
    one, other = _centred(first), _centred(second)
    scale = math.sqrt(_alignment(one, one) * _alignment(other, other))
    return _alignment(one, other) / scale if scale > 0 else 0.0


def _centred(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1)
    return np.asarray(flat - flat.mean(axis=0, dtype=np.float64).astype(flat.dtype))


def _alignment(one: np.ndarray, other: np.ndarray) -> float:
    """`|X'Y|²` of centred features."""
    if max(one.shape[1], other.shape[1]) > len(one):
        return _by_examples(one, other)
    blocks = range(0, one.shape[1], BLOCK)
    return float(sum(np.sum(np.square(one[:, at : at + BLOCK].T @ other), dtype=np.float64) for at in blocks))


def _by_examples(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for row, column in itertools.combinations_with_replacement(range(0, len(one), BLOCK), 2):
        grams = [values[row : row + BLOCK] @ values[column : column + BLOCK].T for values in (one, other)]
        total += float(np.sum(grams[0] * grams[1], dtype=np.float64)) * (1 if row == column else 2)
    return total


@dataclass(frozen=True)
class Representation:
    """What of a network is compared: a tap, or some channels of it."""

    subject: Subject
    tap: str
    part: str = ""
    channels: tuple[int, ...] = ()
    named: bool = True

    @property
    def name(self) -> str:
        """How pictures and tables call it; the tap is left out where all are of one."""
        return ", ".join(filter(None, [self.subject.label, self.tap if self.named else "", self.part]))

    @property
    def name_within(self) -> str:
        """What it is of its network."""
        return ", ".join(filter(None, [self.tap if self.named else "", self.part])) or "whole"

    def of(self, features: np.ndarray) -> np.ndarray:
        """The part of a tap's values [N, ..., C] that it is."""
        return features[..., list(self.channels)] if self.part else features


class CKA(Analysis):
    """CKA of every two representations: networks, layers, and the halves of the last feature map."""

    title = "Linear CKA"
    paper = "Huang et al., Revisiting Knowledge Distillation: An Inheritance and Exploration Framework, Fig. 4"

    def check(self, study: Study) -> None:
        study.require_examples(2, "CKA")
        for subject, tap in itertools.product(study.subjects, self._taps(study)):
            subject.require_tap(tap)
        if len(representations(study, self._taps(study))) < 2:
            raise ArgumentError("run", "CKA is one of two representations; give two networks, or two --taps")

    def find(self, study: Study) -> Findings:
        taps, split = self._taps(study), study.chosen()
        parts = representations(study, taps)
        pairs = list(itertools.combinations_with_replacement(range(len(parts)), 2))
        raw = np.zeros((len(parts), len(parts)))
        with features_of(study, split, taps) as found:
            progress = study.progress(len(pairs))
            for row, column in pairs:
                one, other = (
                    _centred(parts[place].of(found[parts[place].subject.label, parts[place].tap]))
                    for place in (row, column)
                )
                raw[row, column] = raw[column, row] = _alignment(one, other)
                progress.add(1, "CKA: pairs of representations")
            progress.end(f"CKA: {len(pairs)} pairs of representations")
        matrix = normalized(raw)
        for part, own in zip(parts, raw.diagonal(), strict=True):
            if own <= 0:
                study.note(f"{part.name} does not vary over the examples; its CKA is put as 0.")
        names = [one.name for one in parts]
        rows = [{"first": names[a], "second": names[b], "cka": matrix[a, b]} for a, b in pairs]
        numbers = {"examples": len(split), "taps": taps, "representations": names, "cka": matrix}
        return Findings(numbers, rows, lambda: _draw(names, matrix), _lines(names, matrix))

    def _taps(self, study: Study) -> Sequence[str]:
        return study.options.taps or ("features",)


def normalized(alignments: np.ndarray) -> np.ndarray:
    """CKA of every two of R representations from `|X'Y|²`, [R, R]; 0 for one that does not vary."""
    own = np.sqrt(np.maximum(alignments.diagonal(), 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(alignments / np.outer(own, own))


def representations(study: Study, taps: Sequence[str]) -> list[Representation]:
    """What is compared: every tap of every network and, if halves are wanted, those of "features".

    The halves are those that inherit and explore where the training has parted them, else the first and second.
    """
    found, named = [], len(taps) > 1
    for subject, tap in itertools.product(study.subjects, taps):
        found.append(Representation(subject, tap, named=named))
        if tap == "features" and study.options.halves:
            halves = halves_of(subject)
            found += [Representation(subject, tap, name, tuple(one), named) for name, one in halves.items() if one]
    return found


def halves_of(subject: Subject) -> Mapping[str, Sequence[int]]:
    """The channels of "features" by half: as the training has parted them, or in their natural order."""
    if subject.halves:
        return subject.halves
    channels = range(int(subject.network.output["features"].shape[-1]))
    half = len(channels) // 2
    return dict(zip(HALVES, (channels[:half], channels[half:]), strict=True))


@contextlib.contextmanager
def features_of(study: Study, split: Split, taps: Sequence[str]) -> Iterator[dict[tuple[str, str], np.ndarray]]:
    """The taps of all networks for some examples, float32 [N, ...] by label and tap.

    What would take more than a gigabyte lies in a file of the system's temporary folder until the block is left.
    """
    shapes = {
        (one.label, tap): (len(split), *one.network.output[tap].shape[1:]) for one in study.subjects for tap in taps
    }
    total = sum(4 * math.prod(shape) for shape in shapes.values())
    with tempfile.TemporaryDirectory(prefix="tfdistill-") as folder:
        found: dict[tuple[str, str], np.ndarray] = {}
        for number, (key, shape) in enumerate(shapes.items()):
            file = Path(folder) / f"{number}"
            in_file = total > IN_MEMORY
            found[key] = np.memmap(file, np.float32, "w+", shape=shape) if in_file else np.empty(shape, np.float32)
        place = 0
        for answers in study.answers(split, {one.label: taps for one in study.subjects}, "features"):
            for (label, tap), kept in found.items():
                kept[place : place + len(answers.labels)] = answers.taps[label][tap]
            place += len(answers.labels)
        yield found


def _lines(names: Sequence[str], matrix: np.ndarray) -> list[str]:
    numbers = [str(number) for number in range(1, len(names) + 1)]
    rows = [["", "", *numbers]]
    rows += [
        [number, name, *(f"{one:.3f}" for one in row)] for number, name, row in zip(numbers, names, matrix, strict=True)
    ]
    return aligned(rows, right=[0, *range(2, 2 + len(names))])


def _draw(names: Sequence[str], matrix: np.ndarray) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.matrix import likeness

    return {"": likeness(names, matrix)}
