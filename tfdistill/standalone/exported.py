"""A loaded export: what it says of images, by the names of its classes, and why it cannot read one."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from .answers import Answer, Objects, OneClass, Row
from .image_files import Unreadable, converted

LABELS_FILE = "assets/labels.txt"
CARD_FILE = "model_card.json"
MAX_PIXELS = 100_000_000
# An object is shown from here on unless something else is said; exports answer with many that are less sure.
LEAST_SCORE = 0.3


@dataclass
class Network:
    """A loaded export.

    Attributes:
        version: its folder.
        model: what TensorFlow loads; its signatures do not keep its variables alive.
        answer: what it says of an image.
        max_pixels: what an image may have, at most; 0 for any number.
        made: format in which it gets images that Pillow reads.
    """

    version: Path
    model: Any = field(repr=False)
    answer: Answer = field(repr=False)
    max_pixels: int
    made: str = "png"

    @classmethod
    def load(cls, version: Path, options: argparse.Namespace) -> Network:
        model = tf.saved_model.load(str(version))
        signature = model.signatures.get("serving_default")
        reading = recorded_reading(version)
        limit = recorded_limit(reading) if options.max_pixels is None else options.max_pixels
        answer = answer_of(version, signature, options)
        return cls(version, model, answer, limit, "bmp" if reading else "png")

    def signature(self, name: str) -> Any:
        """The signature, if it gives what is printed."""
        signature = self.model.signatures.get(name)
        if signature is None or not set(self.answer.outputs) <= signature.structured_outputs.keys():
            raise ValueError(no_export(self.version, name))
        return signature


def answer_of(version: Path, signature: Any, options: argparse.Namespace) -> Answer:
    """What the export says, and with which names.

    Raises:
        ValueError: it is none of ours, or an option does not go with it.
    """
    outputs = signature.structured_outputs if signature else {}
    if "probabilities" in outputs:
        for name in ("least_score", "draw"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} is for detectors; {version} tells classes apart, leave it out")
        return OneClass(class_names(version, outputs["probabilities"].shape[1]))
    if not set(Objects.outputs) <= outputs.keys():
        raise ValueError(no_export(version, "serving_default"))
    if not (names := labels(version)):
        raise ValueError(f"{version} has no {LABELS_FILE}, which says what classes there are")
    chosen_by = recorded(version).get("detections")
    exported = chosen_by.get("least_score", 0.0) if isinstance(chosen_by, dict) else 0.0
    least = options.least_score
    if least is not None and least < exported:
        raise ValueError(f"--least_score={least:g} is below {exported:g}, under which the export says nothing")
    return Objects(names, max(LEAST_SCORE, exported) if least is None else least)


def no_export(version: Path, signature: str) -> str:
    return f"{version} has no signature {signature} with probabilities or boxes: no export of tfdistill"


def class_names(version: Path, count: int) -> list[str]:
    """The names that were exported with the network, or the classes' numbers where there are not as many."""
    names = labels(version)
    return names if len(names) == count else [str(number) for number in range(count)]


def labels(version: Path) -> list[str]:
    """The names that were exported with the network; none where they are missing."""
    file = version / LABELS_FILE
    return file.read_text("utf-8").splitlines() if file.is_file() else []


def recorded(version: Path) -> dict:
    """What the model card says; empty where it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads((version / CARD_FILE).read_text("utf-8")))
    return {}


def recorded_reading(version: Path) -> dict:
    """How the export reads images by its card; empty for those that have no such record."""
    reading = recorded(version).get("reading")
    return reading if isinstance(reading, dict) else {}


def recorded_limit(reading: dict) -> int:
    """The most pixels that the export itself allows; the usual number where it does not say."""
    limit = reading.get("max_pixels")
    return limit if isinstance(limit, int) and limit >= 0 else MAX_PIXELS


def rows_of(network: Network, contents: list[bytes]) -> list[Row | Unreadable]:
    """What the network says of each image, or why it cannot read it: one bad image does not cost the others."""
    try:
        outputs = network.signature("encoded_images")(encoded=tf.constant(contents))
    except tf.errors.OpError as error:
        if len(contents) > 1:
            return [rows_of(network, [content])[0] for content in contents]
        return [Unreadable(reason(error))]
    valid = outputs["valid"].numpy() if "valid" in outputs else [True] * len(contents)
    bad = Unreadable("it is damaged, of an unknown format, or has too many pixels")
    return [row if good else bad for row, good in zip(rows_in(network, outputs), valid, strict=True)]


def rows_in(network: Network, outputs: dict) -> list[Row]:
    """The outputs of a batch, image by image."""
    values = {name: outputs[name].numpy() for name in network.answer.outputs}
    return [dict(zip(values, one, strict=True)) for one in zip(*values.values(), strict=True)]


def reason(error: tf.errors.OpError) -> str:
    """What the network says of one image, without the places of its graph."""
    message = str(error.message)
    # What an export says of an image stands in an assertion of its graph, behind the graph's own places.
    asserted = re.search(r"assertion failed: (.+)", message)
    lines = [asserted[1]] if asserted else [line.strip() for line in message.splitlines()]
    places = ("Graph execution", "Detected at", "<stack traces")
    said = next((line for line in lines if line and not line.startswith(places)), "")
    text = re.sub(r"; unreadable are \d+ of \d+|\[Op:.*|\[?\{\{node.*|^\(\d+\) \w+:\s*", "", said)
    text = re.sub(r"^\W*(encoded\[\d+\]:? ?)?", "", text).rstrip(" \t\"'].")
    if asserted:
        text = f"it {text}"
    return f"the network cannot read it: {text or type(error).__name__}"


def answers(network: Network, contents: dict[Path, bytes]) -> dict[Path, Row | Unreadable]:
    """By file what is said of it, or why nothing is; Pillow reads what the network does not."""
    found = dict(zip(contents, rows_of(network, list(contents.values())), strict=True))
    for path, outcome in found.items():
        if isinstance(outcome, Unreadable):
            with contextlib.suppress(Unreadable):
                found[path] = rows_of(network, [converted(contents[path], network.max_pixels, network.made)])[0]
    return found
