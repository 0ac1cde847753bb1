"""The files of an analysis: pictures, numbers as JSON and CSV, and the pictures for TensorBoard."""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfdistill.analysis.analysis import Findings
from tfdistill.files import FileError, write_json, write_text
from tfdistill.tables.pictures.canvas import publishable
from tfdistill.tables.pictures.files import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOGS = "logs"


def write(findings: Findings, name: str, facts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes NAME.json, NAME.csv, NAME.png and further pictures, and `logs/NAME/` for TensorBoard.

    Each file is written aside and renamed. What an earlier analysis of that name has left is replaced.

    Args:
        findings: what was found.
        name: of the analysis.
        facts: what was looked at, which the JSON file begins with.
        folder: where the files go; made if it is not there.

    Returns:
        the files, pictures first.

    Raises:
        FileError: a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"out: {folder} cannot be made: {error.strerror}") from error
    with publishable():
        figures = {_file(folder, name, part): figure for part, figure in findings.draw().items()}
        for path, figure in figures.items():
            save(figure, path)
        pixels = {path.stem: _pixels(figure) for path, figure in figures.items()}
    numbers, table = folder / f"{name}.json", folder / f"{name}.csv"
    write_json(numbers, plain({**facts, **findings.numbers}))
    write_text(table, comma_separated(findings.rows))
    write_events(folder / LOGS / name, pixels)
    return [*figures, numbers, table]


def _file(folder: Path, name: str, part: str) -> Path:
    return folder / (f"{name}_{part}.png" if part else f"{name}.png")


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a heading; floats with all their digits."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([plain(row) for row in rows])
    return text.getvalue()


def plain(value: Any) -> Any:
    """Arrays and NumPy's numbers as JSON has them; what is no number becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_events(folder: Path, pictures: Mapping[str, np.ndarray]) -> None:
    """Pictures as TensorBoard shows them, in place of those that lie in the folder.

    Args:
        folder: of this analysis alone.
        pictures: by their name, uint8 [height, width, 3].

    Raises:
        FileError: the folder cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        writer = tf.summary.create_file_writer(str(aside))
        with writer.as_default():
            for name, pixels in pictures.items():
                tf.summary.image(name, pixels[None], step=0)
        writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(aside, folder)
    except (OSError, tf.errors.OpError) as error:
        raise FileError(f"{folder}: cannot be written: {' '.join(str(error).split())}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _pixels(figure: Figure) -> np.ndarray:
    """A figure at screen resolution, uint8 [height, width, 3]."""
    figure.set_dpi(120)
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
