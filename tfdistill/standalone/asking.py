"""Asks an exported network about images, with TensorFlow and nothing of tfdistill."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import tensorflow as tf

from .answers import Objects
from .calling import PREDICT, program
from .exported import Network, answers, rows_in
from .held_out_digits import test_digits, test_scenes
from .image_files import image_files, read, shown
from .reports import Report


def ask(version: Path, options: argparse.Namespace) -> int:
    """Prints what an export says of the files that the command names, or of test digits where it names none.

    Args:
        version: a SavedModel's folder.
        options: the command's.

    Returns:
        The exit status: 1 if a file could not be read, else 0.
    """
    network = Network.load(version, options)
    print(f"{shown(network.version)}:", flush=True)
    report = Report(network, options.draw)
    if options.files:
        predict_files(network, options.files, options.batch_size, report)
    else:
        predict_digits(network, options.count, report)
    if options.json:
        report.write(options.json)
    return 1 if report.failures or report.undrawn or not report.images else 0


def predict_files(network: Network, paths: list[Path], batch_size: int, report: Report) -> None:
    """Reports each image as its batch is done, and names the others on standard error."""
    others: list[Path] = []

    def passed_over(path: Path, why: str) -> None:
        if why:
            report.failed(path, why)
        else:
            others.append(path)

    files = image_files(paths, passed_over)
    while batch := list(itertools.islice(files, batch_size)):
        contents = {path: read(path, network.max_pixels, network.made) for path in batch}
        readable = {path: content for path, content in contents.items() if isinstance(content, bytes)}
        found = answers(network, readable) if readable else {}
        for path in batch:
            outcome = found.get(path, contents[path])
            if isinstance(outcome, dict):
                report.file(path, outcome, readable[path])
            else:
                report.failed(path, outcome)
    print(f"{len(report.images)} image(s), {len(report.failures)} that cannot be read", flush=True)
    if others:
        print(
            f"{program(PREDICT)}: {len(others)} file(s) without an image's extension are passed over", file=sys.stderr
        )


def predict_digits(network: Network, count: int, report: Report) -> None:
    """Reports what is said of test digits, or of scenes of several where the network finds objects."""
    signature, names = network.signature("serving_default"), network.answer.names
    if len(names) != 10:
        raise ValueError(f"{network.version} does not tell ten classes apart as for digits; name image files")
    shape = signature.structured_input_signature[1]["images"].shape.as_list()[1:]
    is_scenes = isinstance(network.answer, Objects)
    images, labels = test_scenes(count, shape) if is_scenes else test_digits(count, shape)
    rows = rows_in(network, signature(images=tf.constant(images)))
    for number, (image, row, truth) in enumerate(zip(images, rows, labels, strict=True), 1):
        report.digits("scene" if is_scenes else "digit", number, image, row, [names[label] for label in truth])
