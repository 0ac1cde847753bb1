"""What is told of the images that an export was asked about: lines, a JSON file, and drawings of what was found."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .answers import Objects, Row
from .calling import PREDICT, program
from .exported import Network
from .image_files import pixels_of, shown

DRAWN = ".boxes.png"


class Report:
    """Prints what is said of each image at once, and keeps it for the JSON file.

    Args:
        network: that is asked.
        folder: where images are drawn with what is found in them; None for nowhere.

    Attributes:
        images: what was said of each image.
        failures: files of which nothing could be said, and why.
        undrawn: how many images could not be drawn.
    """

    def __init__(self, network: Network, folder: Path | None) -> None:
        self.network, self.folder = network, folder
        self.images: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.undrawn = 0
        self._drawn: set[Path] = set()

    def file(self, path: Path, row: Row, content: bytes) -> None:
        """Tells what is said of an image file."""
        drawing = None
        try:
            drawing = self._drawing(path.stem, row, lambda: pixels_of(content, self.network.max_pixels))
        except (OSError, ValueError) as error:
            self.undrawn += 1
            print(f"{program(PREDICT)}: {shown(path)}: it is not drawn: {error}", file=sys.stderr, flush=True)
        self._tell({"file": shown(path)}, shown(path), row, drawing)

    def digits(self, kind: str, number: int, image: np.ndarray, row: Row, truth: Sequence[str]) -> None:
        """Tells what is said of a test digit, or a scene of several.

        Args:
            kind: "digit" or "scene".
            number: from 1.
            image: [height, width, channels], 0..255.
            row: what was said.
            truth: the names of the true classes.
        """
        drawing = self._drawing(f"test_{kind}_{number}", row, lambda: image.astype(np.uint8))
        end = f", true label{'s' if kind == 'scene' else ''} {', '.join(truth)}"
        self._tell({f"test_{kind}": number, "true": list(truth)}, f"test {kind} {number}", row, drawing, end)

    def failed(self, path: Path, why: object) -> None:
        """Names a file on standard error."""
        self.failures.append({"file": shown(path), "reason": str(why)})
        print(f"{program(PREDICT)}: {shown(path)}: {why}", file=sys.stderr, flush=True)

    def write(self, path: Path) -> None:
        """Writes all of it as JSON; a file that is there already is replaced as a whole."""
        said = {"saved_model": shown(self.network.version), "images": self.images, "failures": self.failures}
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            aside.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", "utf-8")
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    def _tell(self, facts: dict[str, Any], title: str, row: Row, drawing: Path | None, end: str = "") -> None:
        first, *others = self.network.answer.lines(row)
        end += f", drawn in {shown(drawing)}" if drawing else ""
        print("\n".join([f"  {title}: {first}{end}", *(f"    {line}" for line in others)]), flush=True)
        drawn = {"drawing": shown(drawing)} if drawing else {}
        self.images.append({**facts, **self.network.answer.facts(row), **drawn})

    def _drawing(self, name: str, row: Row, pixels: Callable[[], np.ndarray]) -> Path | None:
        """Draws the objects of an image into a file of its own."""
        answer = self.network.answer
        if self.folder is None or not isinstance(answer, Objects):
            return None
        from PIL import Image

        from .drawing import draw_boxes

        kept = answer.kept(row)
        drawn = draw_boxes(pixels(), kept["boxes"], kept["classes"], answer.names, kept["scores"], unit="pixels")
        self.folder.mkdir(parents=True, exist_ok=True)
        # Files of one name in several folders are told apart by a number.
        names = [name, *(f"{name}_{number}" for number in range(2, len(self._drawn) + 2))]
        path = next(path for path in (self.folder / f"{one}{DRAWN}" for one in names) if path not in self._drawn)
        self._drawn.add(path)
        Image.fromarray(drawn).save(path)
        return path
