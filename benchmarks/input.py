"""Images per second of the input alone and beside the training step, and what the process holds epoch by epoch.

python benchmarks/input.py            # everything, some minutes; run it on an idle machine
python benchmarks/input.py --quick    # a few steps of everything, to see that it works

Each case trains on batches from the pipeline ("fed") and on one batch that lies ready ("held"), in turns, so that a
machine that slows down slows both. What the input costs is the share of the fed step that the held one does not have.
The data is made up: the time of a batch does not depend on what is in the pictures, but for their size.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from tfdistill import data, networks
from tfdistill.methods import METHODS

CIFAR_EXAMPLES = 50_000
# The mean size of ImageNet's photographs in pixels, and about their size in bytes at this quality.
PHOTOGRAPH, QUALITY = (400, 470), 90


@dataclass(frozen=True)
class Case:
    """What is measured: a method and its networks on one kind of data."""

    title: str
    method: str
    networks: tuple[str, ...]
    dataset: data.Dataset
    batch_size: int

    def batches(self) -> Iterator[dict[str, tf.Tensor]]:
        """An endless stream of training batches."""
        return iter(
            data.training_batches(
                self.dataset.train,
                batch_size=self.batch_size,
                seed=1,
                augmentation=self.dataset.augmentation,
                normalization=self.dataset.normalization,
            )
        )

    def step(self) -> Callable[[Iterator], None]:
        """A compiled training step, from a stream of batches."""
        names = [f"{name}_{number}" for number, name in enumerate(self.networks)]
        peers = [
            networks.build(
                name, classes=100, image_shape=self.dataset.image_shape, seed=number, model_name=names[number]
            )
            for number, name in enumerate(self.networks)
        ]
        distiller = METHODS[self.method](peers)
        distiller.compile()
        distiller.prepare(steps_per_epoch=100, epochs=1)
        distiller.make_train_function()
        return distiller.train_function


def main() -> int:
    """Prints a table of the cases, and one of the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps of everything")
    parser.add_argument("--photographs", type=int, default=512, help="how many JPEG files are made")
    parser.add_argument("--rounds", type=int, default=12, help="turns of fed and held steps, at most")
    parser.add_argument("--seconds", type=float, default=90, help="after which a case has no more than four turns")
    parser.add_argument("--steps", type=int, default=5, help="steps in a turn, of MobileNetV2 a fifth")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of CIFAR input whose memory is printed")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.photographs, arguments.rounds, arguments.steps, arguments.epochs = 24, 1, 1, 2
    with tempfile.TemporaryDirectory() as folder:
        print_table(cases(pathlib.Path(folder), arguments.photographs, arguments.quick), arguments)
    print_memory(cifar(500 if arguments.quick else CIFAR_EXAMPLES), arguments.epochs)
    return 0


def cases(folder: pathlib.Path, count: int, quick: bool) -> list[Case]:
    """The cases that are measured."""
    small = cifar(500 if quick else CIFAR_EXAMPLES)
    started = time.perf_counter()
    make_photographs(folder, count)
    print(f"{count} photographs of {PHOTOGRAPH[0]} x {PHOTOGRAPH[1]} made in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    large = data.load("image_folder", data_dir=folder, image_size=224)
    print(f"found and checked in {time.perf_counter() - started:.2f} s")
    return [
        Case("ResNet-20, CIFAR", "supervised", ("resnet20",), small, 128),
        Case("ResNet-32 pair, CIFAR", "dml", ("resnet32", "resnet32"), small, 128),
        Case("MobileNetV2, 224 pixels", "supervised", ("mobilenet_v2",), large, 4 if quick else 32),
    ]


def cifar(examples: int) -> data.Dataset:
    """Made-up images in the shape of CIFAR-100, in memory as it is."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8)
    split = data.Split.in_memory(images, np.arange(examples) % 100)
    source = data.DATASETS["cifar100"]
    normalization = data.NORMALIZATIONS[source.normalization]
    names = tuple(str(number) for number in range(100))
    return data.Dataset("made-up", (32, 32, 3), names, split, split, normalization, source.augmentation)


def make_photographs(root: pathlib.Path, count: int) -> None:
    """Smooth noise with some grain, in JPEG files of about 100 kB: train/<class>/ and, one a class, test/<class>/."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.uniform(0, 255, (12, 14, 3)).astype(np.float32)
        smooth = tf.image.resize(coarse, PHOTOGRAPH, "bicubic") + rng.normal(0, 6, (*PHOTOGRAPH, 3))
        contents = tf.io.encode_jpeg(tf.saturate_cast(smooth, tf.uint8), quality=QUALITY)
        parts = ("train", "test") if number < 2 else ("train",)
        for part in parts:
            path = root / part / f"class{number % 2}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents.numpy())


def print_table(chosen: list[Case], arguments: argparse.Namespace) -> None:
    """Prints a line per case."""
    print(
        "\n| case | batch | input alone, images/s | step fed, ms | step held, ms | input's share | training, images/s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in chosen:
        steps = max(1, arguments.steps // 5) if case.dataset.train.on_disk else arguments.steps
        alone = statistics.median(input_seconds(case, steps) for _ in range(max(3, arguments.rounds // 2)))
        fed, held = step_seconds(case, arguments.rounds, steps, arguments.seconds)
        cells = [
            *(case.title, f"{case.batch_size}", f"{case.batch_size / alone:,.0f}"),
            *(f"{fed * 1000:.1f}", f"{held * 1000:.1f}", f"{1 - held / fed:.1%}", f"{case.batch_size / fed:,.0f}"),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def input_seconds(case: Case, steps: int) -> float:
    """Seconds per batch of the input alone, prefetching included: its first batches are not counted."""
    batches, count = case.batches(), steps * 4
    for _ in range(4):
        next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return (time.perf_counter() - started) / count


def step_seconds(case: Case, rounds: int, steps: int, seconds: float) -> tuple[float, float]:
    """Median seconds of a step fed by the pipeline, and of one on a batch that lies ready."""
    step, fed = case.step(), case.batches()
    held = iter(tf.data.Dataset.from_tensors(next(fed)).repeat())
    step(fed), step(held)
    times: dict[str, list[float]] = {"fed": [], "held": []}
    begun = time.perf_counter()
    for number in range(rounds):
        if number >= 4 and time.perf_counter() - begun > seconds:
            break
        # Now the one first and now the other, since what comes second finds caches warm and buffers full.
        for name in ("fed", "held") if number % 2 else ("held", "fed"):
            started = time.perf_counter()
            for _ in range(steps):
                step(fed if name == "fed" else held)
            times[name].append((time.perf_counter() - started) / steps)
    return statistics.median(times["fed"]), statistics.median(times["held"])


def print_memory(dataset: data.Dataset, epochs: int) -> None:
    """Prints what the process holds after each epoch of the input."""
    case = Case("", "supervised", (), dataset, 125)
    batches = case.batches()
    held = []
    for _ in range(epochs):
        for _ in range(len(dataset.train) // case.batch_size):
            next(batches)
        held.append(resident_bytes() / 2**20)
    print(f"\nresident memory after each epoch, MiB: {', '.join(f'{size:,.0f}' for size in held)}")


def resident_bytes() -> int:
    """What of this process lies in main memory, on Linux."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
