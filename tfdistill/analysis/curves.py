"""Curves over epochs: test accuracy with its range over seeds, and how far networks of one run agree."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.calibration import softmax
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("equal", "divergence", "divergence_back")
# What tells the runs of several seeds apart, as tables name them.
SEED = re.compile(r"[-_ ]?seed[-_ ]?\d+")
TINY = 1e-12


def agreement(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """How far two networks agree on each example.

    Args:
        first: logits [N, K].
        second: logits [N, K].

    Returns:
        each [N]: "equal", whether both give one answer; "divergence", KL(first ‖ second) of the softmaxes in nats, and
        "divergence_back", KL(second ‖ first).
    """
    one, other = softmax(first), softmax(second)
    ratio = np.log(np.maximum(one, TINY)) - np.log(np.maximum(other, TINY))
    return {
        "equal": first.argmax(axis=1) == second.argmax(axis=1),
        "divergence": np.sum(one * ratio, axis=1),
        "divergence_back": -np.sum(other * ratio, axis=1),
    }


def curve(subject: Subject) -> dict[int, float]:
    """The accuracy of a network on the split that its training scored, 0..1, by epoch; empty where none is recorded."""
    column = f"val_{subject.name}/accuracy"
    return {int(row["epoch"]): float(row[column]) for row in subject.history if row.get(column)}


class Curves(Analysis):
    """Test accuracy over epochs, one line for runs that differ in the seed alone, and the agreement of peers."""

    title = "Curves"
    paper = "Yao and Sun, Knowledge Transfer via Dense Cross-Layer Mutual-Distillation (ECCV 2020), Fig. 2"

    def check(self, study: Study) -> None:
        if not any(map(curve, study.subjects)):
            raise ArgumentError(
                "run", "none of the networks has a record of its epochs; curves need runs that have one"
            )

    def find(self, study: Study) -> Findings:
        if absent := [one.label for one in study.subjects if not curve(one)]:
            study.note(f"{', '.join(absent)} without a record of epochs: no curve is drawn.")
        if judged := [one.label for one in study.subjects if "validation" in one.splits]:
            study.note(
                f"The accuracies of {', '.join(judged)} are of validation examples, which each epoch is scored on."
            )
        lines = {name: _matrix([curve(one) for one in group]) for name, group in self._groups(study).items()}
        agreed = [row for pair in self._pairs(study) for row in self._agreement(study, *pair)]
        numbers = {
            "curves": {
                name: {"epochs": epochs, "accuracy": values, "mean": np.nanmean(values, axis=1)}
                for name, (epochs, values) in lines.items()
            },
            "agreement": agreed,
        }
        rows = [
            {"kind": "accuracy", "first": name, "second": "", "epoch": epoch, "seed": seed, "value": value}
            for name, (epochs, values) in lines.items()
            for epoch, of_seeds in zip(epochs, values, strict=True)
            for seed, value in enumerate(of_seeds)
            if np.isfinite(value)
        ]
        rows += [
            {"kind": name, "first": one["first"], "second": one["second"], "epoch": one["epoch"], "value": one[name]}
            for one in agreed
            for name in MEASURES
        ]
        return Findings(numbers, rows, lambda: _draw(lines, agreed), _lines(lines, agreed))

    def _groups(self, study: Study) -> dict[str, list[Subject]]:
        """Networks whose labels differ in the seed alone, by the label without it."""
        found: dict[str, list[Subject]] = {}
        for one in study.subjects:
            if curve(one):
                found.setdefault(SEED.sub("", one.label) or one.label, []).append(one)
        return found

    def _pairs(self, study: Study) -> list[tuple[Subject, Subject]]:
        """Every two networks of one run, as one epoch has them."""
        pairs = itertools.combinations(study.subjects, 2)
        found = [(one, other) for one, other in pairs if one.run and (one.run, one.epoch) == (other.run, other.epoch)]
        if found and not all(set(one.kept) & set(other.kept) for one, other in found):
            study.note("A run that keeps no epochs (--keep_epochs) has its agreement at the end alone.")
        return found

    def _agreement(self, study: Study, first: Subject, second: Subject) -> list[dict[str, Any]]:
        """The agreement of two networks at the epochs that their run has kept, and at its end; or at their own."""
        if first.epoch is not None:
            return [self._row(study, first.epoch, first, second)]
        last = max((int(row["epoch"]) for row in first.history), default=0)
        epochs = sorted({*first.kept} & {*second.kept} - {last})
        moments = [(epoch, self._as_of(first, epoch), self._as_of(second, epoch)) for epoch in epochs]
        return [self._row(study, *moment) for moment in [*moments, (last, first, second)]]

    def _row(self, study: Study, epoch: int, first: Subject, second: Subject) -> dict[str, Any]:
        return {"first": first.label, "second": second.label, "epoch": epoch, **mean_agreement(study, first, second)}

    def _as_of(self, subject: Subject, epoch: int) -> Subject:
        return dataclasses.replace(subject, network=subject.kept[epoch]())


def mean_agreement(study: Study, first: Subject, second: Subject) -> dict[str, float]:
    """The `agreement` of two networks, its mean over the study's examples."""
    split, pair = study.chosen(), dataclasses.replace(study, subjects=(first, second), _answering={})
    sums = np.zeros(len(MEASURES))
    for answers in pair.answers(split, {one.label: ("logits",) for one in (first, second)}, "agreement"):
        found = agreement(*(answers.taps[one.label]["logits"] for one in (first, second)))
        sums += [found[name].sum() for name in MEASURES]
    return dict(zip(MEASURES, (sums / len(split)).tolist(), strict=True))


def _matrix(curves: Sequence[Mapping[int, float]]) -> tuple[list[int], np.ndarray]:
    """The epochs of several curves, and their values [epochs, curves]; NaN where one has none."""
    epochs = sorted({epoch for one in curves for epoch in one})
    return epochs, np.array([[one.get(epoch, np.nan) for one in curves] for epoch in epochs])


def _lines(lines: Mapping[str, tuple[list[int], np.ndarray]], agreed: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [["network", "runs", "epochs", "last accuracy", "least", "greatest"]]
    for name, (epochs, values) in lines.items():
        last = values[-1][np.isfinite(values[-1])]
        told = [f"{one:.2%}" for one in (last.mean(), last.min(), last.max())]
        table.append([name, str(values.shape[1]), str(epochs[-1]), *told])
    found = aligned(table, right=range(1, 6))
    if agreed:
        pairs = [["first", "second", "epoch", "equal answers", "KL(first ‖ second)", "KL(second ‖ first)"]]
        for one in agreed:
            told = [f"{one['equal']:.2%}", *(f"{one[name]:.4f}" for name in MEASURES[1:])]
            pairs.append([one["first"], one["second"], str(one["epoch"]), *told])
        found += ["", *aligned(pairs, right=range(2, 6))]
    return found


def _draw(lines: Mapping[str, tuple[list[int], np.ndarray]], agreed: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.lines import over_epochs

    return {"": over_epochs(lines, agreed)}
