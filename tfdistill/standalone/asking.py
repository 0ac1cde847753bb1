"""Asks an exported network about images, with TensorFlow and nothing of tfdistill."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .calling import PREDICT, program
from .image_files import Unreadable, converted, image_files, read, shown

LABELS_FILE = "assets/labels.txt"
CARD_FILE = "model_card.json"
MAX_PIXELS = 100_000_000


def ask(version: Path, options: argparse.Namespace) -> int:
    """Prints what an export says of the files that the command names, or of test digits where it names none.

    Args:
        version: a SavedModel's folder.
        options: the command's.

    Returns:
        The exit status: 1 if a file could not be read, else 0.
    """
    network = Network.load(version, options.max_pixels)
    print(f"{shown(network.version)}:", flush=True)
    if options.files:
        return 1 if predict_files(network, options.files, options.batch_size) else 0
    return predict_digits(network, options.count)


@dataclass
class Network:
    """A loaded export.

    Attributes:
        version: its folder.
        model: what TensorFlow loads; its signatures do not keep its variables alive.
        classes: their names, or their numbers where none were exported.
        max_pixels: what an image may have, at most; 0 for any number.
        made: format in which it gets images that Pillow reads.
    """

    version: Path
    model: Any = field(repr=False)
    classes: list[str] = field(repr=False)
    max_pixels: int
    made: str = "png"

    @classmethod
    def load(cls, version: Path, max_pixels: int | None) -> Network:
        model = tf.saved_model.load(str(version))
        signature = signature_of(model, "serving_default", version)
        count = signature.structured_outputs["probabilities"].shape[1]
        reading = recorded_reading(version)
        limit = recorded_limit(reading) if max_pixels is None else max_pixels
        return cls(version, model, class_names(version, count), limit, "bmp" if reading else "png")

    def signature(self, name: str) -> Any:
        return signature_of(self.model, name, self.version)

    def said(self, probabilities: np.ndarray) -> str:
        """The class of the highest probability."""
        return f"{self.classes[probabilities.argmax()]} with probability {probabilities.max():.3f}"


def signature_of(model: Any, name: str, version: Path) -> Any:
    """The signature, if it gives what this script prints."""
    signature = model.signatures.get(name)
    if signature is None or "probabilities" not in signature.structured_outputs:
        raise ValueError(f"{version} has no signature {name} with probabilities: no export of tfdistill")
    return signature


def class_names(version: Path, count: int) -> list[str]:
    """The names that were exported with the network, or the classes' numbers where there are none."""
    file = version / LABELS_FILE
    names = file.read_text("utf-8").splitlines() if file.is_file() else []
    return names if len(names) == count else [str(number) for number in range(count)]


def recorded_reading(version: Path) -> dict:
    """How the export reads images by its card; empty for those that have no such record."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads((version / CARD_FILE).read_text("utf-8"))["reading"])
    return {}


def recorded_limit(reading: dict) -> int:
    """The most pixels that the export itself allows; the usual number where it does not say."""
    limit = reading.get("max_pixels")
    return limit if isinstance(limit, int) and limit >= 0 else MAX_PIXELS


def probabilities_of(network: Network, contents: list[bytes]) -> list[np.ndarray | Unreadable]:
    """For each image its probabilities, or why the network cannot read it: one bad image does not cost the others."""
    try:
        outputs = network.signature("encoded_images")(encoded=tf.constant(contents))
    except tf.errors.OpError as error:
        if len(contents) > 1:
            return [probabilities_of(network, [content])[0] for content in contents]
        return [Unreadable(reason(error))]
    valid = outputs["valid"].numpy() if "valid" in outputs else [True] * len(contents)
    bad = Unreadable("it is damaged, of an unknown format, or has too many pixels")
    rows = outputs["probabilities"].numpy()
    return [row if good else bad for row, good in zip(rows, valid, strict=True)]


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


def answers(network: Network, contents: dict[Path, bytes]) -> dict[Path, np.ndarray | Unreadable]:
    """By file its probabilities, or why there are none; Pillow reads what the network does not."""
    found = dict(zip(contents, probabilities_of(network, list(contents.values())), strict=True))
    for path, outcome in found.items():
        if isinstance(outcome, Unreadable):
            with contextlib.suppress(Unreadable):
                found[path] = probabilities_of(network, [converted(contents[path], network.max_pixels, network.made)])[
                    0
                ]
    return found


def predict_files(network: Network, paths: list[Path], batch_size: int) -> int:
    """Prints a line per image as its batch is done, and names the others on standard error.

    Returns:
        How many files could not be read.
    """
    others: list[Path] = []
    good = bad = 0

    def report(path: Path, why: object) -> None:
        nonlocal bad
        bad += 1
        print(f"{program(PREDICT)}: {shown(path)}: {why}", file=sys.stderr, flush=True)

    def passed_over(path: Path, why: str) -> None:
        if why:
            report(path, why)
        else:
            others.append(path)

    files = image_files(paths, passed_over)
    while batch := list(itertools.islice(files, batch_size)):
        contents = {path: read(path, network.max_pixels, network.made) for path in batch}
        readable = {path: content for path, content in contents.items() if isinstance(content, bytes)}
        found = answers(network, readable) if readable else {}
        for path in batch:
            outcome = found.get(path, contents[path])
            if isinstance(outcome, np.ndarray):
                good += 1
                print(f"  {shown(path)}: {network.said(outcome)}", flush=True)
            else:
                report(path, outcome)
    print(f"{good} image(s), {bad} that cannot be read", flush=True)
    if others:
        print(
            f"{program(PREDICT)}: {len(others)} file(s) without an image's extension are passed over", file=sys.stderr
        )
    return bad + (good + bad == 0)


def test_digits(count: int, shape: list[int]) -> tuple[np.ndarray, list[int]]:
    """Test examples of each class in turn, which training left out, and their labels.

    Args:
        count: how many images.
        shape: [height, width, channels] that the network takes.

    Returns:
        float32 [count, *shape] with values in 0..255, and the classes.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    held_out = np.argsort(digits.target, kind="stable")[::5]
    per_class = [held_out[digits.target[held_out] == label] for label in range(10)]
    chosen = [examples[turn] for turn in range(min(map(len, per_class))) for examples in per_class][:count]
    grey = np.rint(digits.images[chosen][..., None] * (255 / 16)).astype(np.float32)
    images = np.repeat(grey, shape[2], axis=-1)
    if images.shape[1:3] != tuple(shape[:2]):
        images = tf.image.resize(images, shape[:2], antialias=True).numpy()
    return images, [int(digits.target[index]) for index in chosen]


def predict_digits(network: Network, count: int) -> int:
    """Prints a line per test digit; returns 0."""
    signature = network.signature("serving_default")
    if len(network.classes) != 10:
        raise ValueError(f"{network.version} does not tell ten classes apart as for digits; name image files")
    shape = signature.structured_input_signature[1]["images"].shape.as_list()
    images, labels = test_digits(count, shape[1:])
    rows = signature(images=tf.constant(images))["probabilities"].numpy()
    for number, (row, label) in enumerate(zip(rows, labels, strict=True), 1):
        print(f"  test digit {number}: {network.said(row)}, true label {network.classes[label]}")
    return 0
