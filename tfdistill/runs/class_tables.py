"""What a run or an evaluation reports class by class: lines for the terminal, files, and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.files import write_json, write_text
from tfdistill.tasks import Classification
from tfdistill.tasks.confusion import class_accuracies, most_confused_with, summary, worst_first

# Classes that the terminal shows of each network, and that results.json names.
SHOWN = 10
# Pixels that a picture of a matrix has at least, so that few classes can be seen.
PICTURE = 256


def by_network(tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The confusion matrix of each network, from tables by `<network>/confusion`."""
    return {name.removesuffix("/confusion"): table for name, table in tables.items() if name.endswith("/confusion")}


def class_lines(network: str, matrix: np.ndarray, class_names: Sequence[str], most: int = SHOWN) -> list[str]:
    """Per-class accuracy of a network for the terminal, worst first, and how many classes are not shown.

    Args:
        network: its name.
        matrix: whole numbers [classes, classes], rows by label.
        class_names: one for each class.
        most: how many classes are shown.
    """
    accuracies, counts, order = class_accuracies(matrix), matrix.sum(axis=1), worst_first(matrix)
    lines = [f"classes of {network}, worst first"]
    width = max((len(class_names[one]) for one in order[:most]), default=0)
    for label in order[:most]:
        taken = most_confused_with(matrix, label)
        wrongly = f"  {taken[1]} taken for {class_names[taken[0]]}" if taken else ""
        lines.append(f"  {class_names[label]:<{width}}  {accuracies[label]:>7.2%} of {counts[label]:.0f}{wrongly}")
    if len(order) > most:
        rest = accuracies[order[most:]]
        lines.append(f"  and {len(rest)} more, {rest[0]:.2%} to {rest[-1]:.2%}")
    if without := len(counts) - len(order):
        lines.append(f"  {without} class{'es have' if without > 1 else ' has'} no examples here")
    return lines


def class_facts(split: str, tables: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, number of examples and confusion matrix of every network, as JSON has it.

    Args:
        split: what was scored, such as "test".
        tables: by `<network>/confusion`.
        class_names: one for each class.
    """
    found = {network: summary(matrix, class_names) for network, matrix in by_network(tables).items()}
    return {"split": split, "class_names": list(class_names), "networks": found}


def worst_classes(tables: Mapping[str, np.ndarray], class_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The classes of the lowest accuracy of each network, worst first, with that accuracy."""
    return {
        network: {class_names[one]: float(class_accuracies(matrix)[one]) for one in worst_first(matrix)[:SHOWN]}
        for network, matrix in by_network(tables).items()
    }


def write_confusion(path: Path, split: str, tables: Mapping[str, np.ndarray], class_names: Sequence[str]) -> None:
    """Writes the matrices of all networks to a file: JSON as `class_facts`, or CSV, a row for each network and class.

    Args:
        path: ends with .json or .csv.
        split: what was scored.
        tables: by `<network>/confusion`.
        class_names: one for each class.

    Raises:
        FileError: it cannot be written.
    """
    if path.suffix == ".json":
        write_json(path, class_facts(split, tables, class_names))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "class", *class_names])
    for network, matrix in by_network(tables).items():
        for name, row in zip(class_names, matrix.astype(np.int64), strict=True):
            writer.writerow([network, name, *row])
    write_text(path, text.getvalue())


def picture(matrix: np.ndarray) -> np.ndarray:
    """A matrix as a picture: a row's shares from white to blue, uint8 [height, width, 3].

    Args:
        matrix: numbers [classes, classes], rows by label.
    """
    counts = np.asarray(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colours = 255 - shares[..., None] * (255 - np.array([8, 48, 107]))
    scale = -(-PICTURE // len(counts))
    return np.rint(colours).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def markdown(network: str, matrix: np.ndarray, class_names: Sequence[str], most: int = 100) -> str:
    """Per-class accuracy as a table of Markdown, worst first, for TensorBoard; the arguments are `class_lines`'."""
    accuracies, counts, order = class_accuracies(matrix), matrix.sum(axis=1), worst_first(matrix)
    rows = [f"| {class_names[one]} | {accuracies[one]:.2%} | {counts[one]:.0f} |" for one in order[:most]]
    more = [f"\nand {len(order) - most} more"] if len(order) > most else []
    return "\n".join(
        [f"| class of {network} | {Classification.headline} | examples |", "| --- | ---: | ---: |", *rows, *more]
    )
