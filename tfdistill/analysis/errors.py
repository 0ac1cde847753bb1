"""What networks get wrong: their most confident errors as images, and what a student loses of its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.calibration import softmax
from tfdistill.analysis.study import Study
from tfdistill.columns import aligned
from tfdistill.data import NORMALIZATIONS, Split, evaluation_batches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of an example, who is right: by whether the teacher is, and whether the student is.
OUTCOMES = {(1, 1): "both right", (1, 0): "teacher alone", (0, 1): "student alone", (0, 0): "both wrong"}


@dataclass(frozen=True)
class Predictions:
    """A network's answers, each array of N examples.

    Attributes:
        classes: the answers, integers.
        confidence: the probability of the answer, 0..1.
        truth: the probability of the true class, 0..1.
        right: whether the answer is the true class.
    """

    classes: np.ndarray
    confidence: np.ndarray
    truth: np.ndarray
    right: np.ndarray


def predictions(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    """The answers that logits [N, K] give, and how sure they are.

    Args:
        logits: [N, K].
        labels: the true classes, integers [N].
    """
    probabilities = softmax(logits)
    answers = probabilities.argmax(axis=1)
    rows = np.arange(len(labels))
    return Predictions(answers, probabilities[rows, answers], probabilities[rows, labels], answers == labels)


def most_confident_errors(found: Predictions, count: int) -> np.ndarray:
    """Positions of the errors whose confidence is largest, in its order; at most `count`."""
    wrong = np.flatnonzero(~found.right)
    return wrong[np.argsort(-found.confidence[wrong], kind="stable")[:count]]


def lost(student: Predictions, teacher: Predictions, count: int) -> np.ndarray:
    """Positions of the examples that the teacher has right and the student wrong, at most `count`.

    Those come first whose true class the student gives the least of the teacher's probability.
    """
    there = np.flatnonzero(teacher.right & ~student.right)
    return there[np.argsort((student.truth - teacher.truth)[there], kind="stable")[:count]]


def outcomes(student: Predictions, teacher: Predictions) -> dict[str, int]:
    """How many examples both have right, one alone, or neither."""
    return {
        name: int(np.sum((teacher.right == of_teacher) & (student.right == of_student)))
        for (of_teacher, of_student), name in OUTCOMES.items()
    }


class Errors(Analysis):
    """The most confident errors of each network, and what it loses of the teacher's right answers."""

    title = "Errors"

    def check(self, study: Study) -> None:
        study.require_classes(2, "the analysis of errors")

    def find(self, study: Study) -> Findings:
        split = study.chosen()
        parts: dict[str, list[Predictions]] = {}
        labels = []
        for answers in study.answers(split, dict.fromkeys(study.labels, ("logits",)), "errors"):
            labels.append(answers.labels)
            for label, own in answers.taps.items():
                parts.setdefault(label, []).append(predictions(own["logits"], answers.labels))
        found = {label: _joined(one) for label, one in parts.items()}
        if not study.teacher:
            study.note("Without --teacher nothing is said of the examples that are lost.")
        students = [one for one in study.labels if study.teacher and one != study.teacher]
        teacher = found.get(study.teacher)
        counted = {one: outcomes(found[one], teacher) for one in students if teacher is not None}
        shown = Shown(split, np.concatenate(labels), study.class_names, found)
        numbers = {
            "examples": len(split),
            "networks": {
                label: {"accuracy": one.right.mean(), "errors": int(np.sum(~one.right))} for label, one in found.items()
            },
            "outcomes": counted,
        }
        count = study.options.images
        errors = {label: most_confident_errors(one, count) for label, one in found.items()}
        gone = {label: lost(found[label], teacher, count) for label in counted if teacher is not None}
        rows = [row for label in found for row in shown.rows(label, teacher)]
        return Findings(
            numbers, rows, lambda: _draw(shown, errors, gone, counted, study.teacher), _lines(found, counted)
        )


@dataclass(frozen=True, eq=False)
class Shown:
    """Examples with what networks say of them, for pictures and tables.

    Attributes:
        split: the examples.
        labels: their true classes, [N].
        class_names: in the order of the labels.
        found: the networks' answers by label.
    """

    split: Split
    labels: np.ndarray
    class_names: Sequence[str]
    found: Mapping[str, Predictions]

    def images(self, positions: np.ndarray) -> np.ndarray:
        """Pixels at some positions, uint8 [count, H, W, C]."""
        if not len(positions):
            return np.zeros((0, *self.split.image_shape), np.uint8)
        raw = evaluation_batches(
            self.split.take(positions), batch_size=len(positions), normalization=NORMALIZATIONS["raw"]
        )
        (batch,) = raw
        return np.rint(batch["images"].numpy()).clip(0, 255).astype(np.uint8)

    def caption(self, label: str, position: int) -> str:
        """The true class, and below it the network's answer with its confidence."""
        one = self.found[label]
        answer = self.class_names[one.classes[position]]
        return f"{self.class_names[self.labels[position]]}\n{answer} {one.confidence[position]:.0%}"

    def rows(self, label: str, teacher: Predictions | None) -> list[dict[str, Any]]:
        """All errors of a network, the most confident first."""
        one = self.found[label]
        return [
            {
                "network": label,
                "example": self.split.index[at],
                "place": self.split.place(at),
                "true": self.class_names[self.labels[at]],
                "answer": self.class_names[one.classes[at]],
                "confidence": one.confidence[at],
                "probability_of_true": one.truth[at],
                **({} if teacher is None else {"teacher_is_right": bool(teacher.right[at])}),
            }
            for at in most_confident_errors(one, len(one.right))
        ]


def _joined(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(*(np.concatenate([vars(one)[name] for one in parts]) for name in vars(parts[0])))


def _lines(found: Mapping[str, Predictions], counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    names = list(OUTCOMES.values()) if counted else []
    rows = [["network", "accuracy", "errors", *names]]
    for label, one in found.items():
        told = [f"{counted[label][name]:,}" if label in counted else "" for name in names]
        rows.append([label, f"{one.right.mean():.2%}", f"{np.sum(~one.right):,}", *told])
    return aligned(rows, right=range(1, len(rows[0])))


def _draw(
    shown: Shown,
    errors: Mapping[str, np.ndarray],
    gone: Mapping[str, np.ndarray],
    counted: Mapping[str, Mapping[str, int]],
    teacher: str,
) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.examples import Row, examples

    def row(title: str, label: str, positions: np.ndarray) -> Row:
        captions = [shown.caption(label, int(one)) for one in positions]
        return Row(title, shown.images(positions), captions)

    legend = "below each image: its true class; the network's answer and its confidence"
    rows = [row(f"{label}: most confident errors", label, one) for label, one in errors.items()]
    figures = {"": examples(rows, legend)}
    if gone:
        total = len(shown.labels)
        told = {
            label: ", ".join(f"{name} {count / total:.1%}" for name, count in counted[label].items()) for label in gone
        }
        titles = {label: f"{label} is wrong and {teacher} right; of all examples: {told[label]}" for label in gone}
        figures["lost"] = examples([row(titles[label], label, one) for label, one in gone.items()], legend)
    return figures
