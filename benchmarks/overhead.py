"""What a training costs beside its steps: everything that runs along with `fit`, the start, evaluation, memory.

python benchmarks/overhead.py            # ResNet-32 pair by DML; about 25 minutes, on an idle machine
python benchmarks/overhead.py --quick    # a few steps of everything, to see that it works
python benchmarks/overhead.py --deterministic    # what deterministic operations cost: compare the bare steps

One process trains a run as `launch/train.py` does, with everything on: augmentation, metrics, TensorBoard, checkpoints,
evaluation. After each epoch of it the bare step of a twin goes as many times over one batch that lies ready, and the
twin's networks go once over the evaluation data as bare forward passes, so that a machine that slows down slows all.
The first epoch, in which graphs are made, does not count. The start is that of a process of its own.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data
from tfdistill.runs import run as running
from tfdistill.runs.building import build_distiller
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder


def main() -> int:
    """Prints the figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="dml")
    parser.add_argument("--networks", default="resnet32,resnet32", help="comma-separated")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100, help="steps of an epoch")
    parser.add_argument("--epochs", type=int, default=7, help="the first of them does not count")
    parser.add_argument("--evaluation_examples", type=int, default=2560)
    parser.add_argument("--checkpoint_seconds", type=float, default=60.0, help="as of launch/train.py")
    parser.add_argument("--deterministic", action="store_true", help="deterministic operations only")
    parser.add_argument("--quick", action="store_true", help="three epochs of two steps, of ResNet-8")
    parser.add_argument("--first_step", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.networks, arguments.batch_size = "resnet8,resnet8", 16
        arguments.steps, arguments.epochs, arguments.evaluation_examples = 2, 3, 256
    # The run takes made-up data: its time does not depend on what is in the pictures.
    running.load_data = lambda config: made_up(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.first_step:
            measure_first_step(arguments, pathlib.Path(folder))
            return 0
        seconds = seconds_to_first_step()
        turns = measure(arguments, pathlib.Path(folder))
    report(arguments, turns, seconds)
    return 0


def made_up(arguments: argparse.Namespace) -> data.Dataset:
    """Images in the shape of CIFAR-100, in memory as it is."""
    rng = np.random.default_rng(0)
    splits = []
    for examples in (arguments.steps * arguments.batch_size, arguments.evaluation_examples):
        images = rng.integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8)
        splits.append(data.Split.in_memory(images, np.arange(examples) % 100))
    source = data.DATASETS["cifar100"]
    normalization = data.NORMALIZATIONS[source.normalization]
    names = tuple(str(number) for number in range(100))
    return data.Dataset("made-up", (32, 32, 3), names, *splits, normalization, source.augmentation)


def run_of(arguments: argparse.Namespace, folder: pathlib.Path, *watchers: keras.callbacks.Callback) -> running.Run:
    """The run that is measured, with more callbacks, last of all."""
    config = RunConfig(
        method=arguments.method,
        networks=tuple(arguments.networks.split(",")),
        dataset="cifar100",
        epochs=arguments.epochs,
        steps=int(bool(arguments.first_step)),
        batch_size=arguments.batch_size,
        # So low that nothing diverges on labels drawn by chance.
        learning_rate=1e-4,
        precision=arguments.precision,
        deterministic=arguments.deterministic,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )

    class Watched(running.Run):
        def _watchers(self) -> list:
            return [*super()._watchers(), *watchers]

    run = Watched(config, RunFolder(folder / "run"))
    run.check_terms()
    run.open()
    return run


class Turns(keras.callbacks.Callback):
    """Times the epochs of a run, and after each of them what the twin does.

    Args:
        steps: of an epoch; also how many bare steps are timed.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.bare_steps: Callable[[int], None] | None = None
        self.bare_evaluation: Callable[[], None] | None = None
        self.times: dict[str, list[float]] = {"fit": [], "step": [], "evaluation": [], "forward": []}
        self.resident: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._began = time.perf_counter()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._test_began = time.perf_counter()

    def on_test_end(self, logs: dict | None = None) -> None:
        self._tested = time.perf_counter() - self._test_began

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        whole = time.perf_counter() - self._began
        self.resident.append(resident_mebibytes())
        assert self.bare_steps is not None and self.bare_evaluation is not None
        found = {
            "fit": whole - self._tested,
            "step": seconds_of(lambda: self.bare_steps(self.steps)),
            "evaluation": self._tested,
            "forward": seconds_of(self.bare_evaluation),
        }
        if epoch:
            for name, value in found.items():
                self.times[name].append(value)


def measure(arguments: argparse.Namespace, folder: pathlib.Path) -> Turns:
    """Trains the run, with the twin's turns in between."""
    turns = Turns(arguments.steps)
    run = run_of(arguments, folder, turns)
    turns.bare_steps, turns.bare_evaluation = twin_of(run)
    run.train()
    return turns


def twin_of(run: running.Run) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Bare steps and bare forward passes of the same method and networks, on batches that lie ready."""
    twin = build_distiller(run.data, run.strategy)
    twin.compile(run.config.optimizers(twin.recipe), xla=run.config.xla)
    twin.prepare(steps_per_epoch=run.timetable.steps_per_epoch, epochs=run.timetable.epochs)
    held = iter(tf.data.Dataset.from_tensors(next(iter(run.feeding.training(first_step=0)))).repeat())
    scored = list(run.feeding.evaluation("test"))
    step = tf.function(lambda iterator: twin.train_step(next(iterator)), autograph=False)

    @tf.function(autograph=False)
    def forward(images: tf.Tensor) -> list[tf.Tensor]:
        return [taps["logits"] for taps in twin(images, training=False).values()]

    def steps(count: int) -> None:
        for _ in range(count):
            step(held)
        # What has a value has been computed.
        for optimizer in twin.update_optimizers.values():
            optimizer.iterations.numpy()
        for network in twin.networks:
            network.trainable_variables[-1].numpy()

    def evaluation() -> None:
        for batch in scored:
            for logits in forward(batch["images"]):
                logits.numpy()

    return steps, evaluation


def measure_first_step(arguments: argparse.Namespace, folder: pathlib.Path) -> None:
    """Prints how many seconds after `arguments.first_step`, when this process was started, the first step was done."""
    ended = []

    class First(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            ended.append(time.time())

    run_of(arguments, folder, First()).train()
    print(ended[0] - arguments.first_step)


def seconds_to_first_step() -> float:
    """From the start of a process to the end of a run's first step, the check of the terms included."""
    command = [sys.executable, __file__, *sys.argv[1:], f"--first_step={time.time()}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def report(arguments: argparse.Namespace, turns: Turns, seconds: float) -> None:
    """Prints what was found."""
    times = turns.times
    steps = [value / arguments.steps * 1e3 for value in times["step"]]
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    print(f"{arguments.method} of {arguments.networks}, batch {arguments.batch_size}, {arguments.precision}, {device}")
    print(f"bare step: {statistics.median(steps):.1f} ms ({min(steps):.1f} to {max(steps):.1f})")
    print(f"fit with everything on, over the bare steps: {ratios(times['fit'], times['step'])}")
    print(f"evaluation, over the bare forward passes: {ratios(times['evaluation'], times['forward'])}")
    print(f"start to the end of the first step: {seconds:.1f} s")
    print(f"resident after each epoch, MiB: {', '.join(f'{size:,.0f}' for size in turns.resident)}")


def ratios(ones: list[float], others: list[float]) -> str:
    """Median and range of what the one took over the other in the same turn."""
    found = [one / other for one, other in zip(ones, others, strict=True)]
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def seconds_of(call: Callable[[], None]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def resident_mebibytes() -> float:
    """What of this process lies in main memory, on Linux."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
