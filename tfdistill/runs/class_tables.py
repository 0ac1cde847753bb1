"""What a run or an evaluation reports class by class: lines for the terminal, files, and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.files import write_json, write_text
from tfdistill.tasks import Task
from tfdistill.tasks.by_class import ByClass
from tfdistill.tasks.confusion import most_confused_with

# Classes that the terminal shows of each network, and that results.json names.
SHOWN = 10
# Pixels that a picture of a matrix has at least, so that few classes can be seen.
PICTURE = 256


def by_network(tables: Mapping[str, np.ndarray], task: Task) -> dict[str, ByClass]:
    """What is known of each class, for every network of which something is.

    Args:
        tables: by `<network>/<table>`.
        task: whose tables they are.
    """
    owners = dict.fromkeys(name.rpartition("/")[0] for name in tables)
    own = {
        owner: {name.removeprefix(f"{owner}/"): table for name, table in tables.items() if name.startswith(f"{owner}/")}
        for owner in owners
    }
    found = {owner: task.by_class(parts) for owner, parts in own.items()}
    return {owner: one for owner, one in found.items() if one is not None}


def class_lines(network: str, found: ByClass, class_names: Sequence[str], most: int = SHOWN) -> list[str]:
    """The score of each class of a network for the terminal, worst first, and how many classes are not shown.

    Args:
        network: its name.
        found: of its classes.
        class_names: one for each class.
        most: how many classes are shown.
    """
    order = found.worst_first()
    lines = [f"classes of {network}, worst first"]
    width = max((len(class_names[one]) for one in order[:most]), default=0)
    for label in order[:most]:
        taken = most_confused_with(found.confusion, label) if found.confusion is not None else None
        wrongly = f"  {taken[1]} taken for {class_names[taken[0]]}" if taken else ""
        lines.append(
            f"  {class_names[label]:<{width}}  {found.scores[label]:>7.2%} of {found.counts[label]:.0f}{wrongly}"
        )
    if len(order) > most:
        rest = found.scores[order[most:]]
        lines.append(f"  and {len(rest)} more, {rest[0]:.2%} to {rest[-1]:.2%}")
    if without := len(found.counts) - len(order):
        lines.append(f"  {without} class{'es have' if without > 1 else ' has'} no {found.counted} here")
    return lines


def class_facts(split: str, found: Mapping[str, ByClass], class_names: Sequence[str]) -> dict[str, Any]:
    """Score, number of examples and confusion matrix of every network, as JSON has it.

    Args:
        split: what was scored, such as "test".
        found: by network.
        class_names: one for each class.
    """
    networks = {network: one.facts(class_names) for network, one in found.items()}
    return {"split": split, "class_names": list(class_names), "networks": networks}


def worst_classes(found: Mapping[str, ByClass], class_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The classes of the lowest score of each network, worst first, with that score."""
    return {
        network: {class_names[label]: float(one.scores[label]) for label in one.worst_first()[:SHOWN]}
        for network, one in found.items()
    }


def write_confusion(path: Path, split: str, found: Mapping[str, ByClass], class_names: Sequence[str]) -> None:
    """Writes the matrices of all networks to a file: JSON as `class_facts`, or CSV, a row for each network and class.

    Args:
        path: ends with .json or .csv.
        split: what was scored.
        found: by network, each with a matrix.
        class_names: one for each class.

    Raises:
        FileError: it cannot be written.
    """
    if path.suffix == ".json":
        write_json(path, class_facts(split, found, class_names))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "class", *class_names])
    for network, one in found.items():
        for name, row in zip(class_names, np.asarray(one.confusion, np.int64), strict=True):
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


def markdown(network: str, found: ByClass, class_names: Sequence[str], most: int = 100) -> str:
    """The score of each class as a table of Markdown, worst first, for TensorBoard; arguments as of `class_lines`."""
    order = found.worst_first()
    rows = [f"| {class_names[one]} | {found.scores[one]:.2%} | {found.counts[one]:.0f} |" for one in order[:most]]
    more = [f"\nand {len(order) - most} more"] if len(order) > most else []
    head = f"| class of {network} | {found.score.replace('_', ' ')} | {found.counted} |"
    return "\n".join([head, "| --- | ---: | ---: |", *rows, *more])
