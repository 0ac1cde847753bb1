"""How a step's time divides over workers, a model fitted to it, and what that predicts for more; see docs/scaling.md.

python benchmarks/scaling.py            # two workers on this machine, a core each; about 10 minutes when it is idle
python benchmarks/scaling.py --quick    # two small cases, to see that it works

Each case is trained by two processes that know nothing of each other and by two workers of one cluster, in turns, all
with the same batch per process: both keep both cores busy, and differ in the gradients' sums alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cost import build
from scaling_worker import summed
from workers import Worker, WorkerError, tasks

from tfdistill.columns import markdown
from tfdistill.methods import METHODS

WORKERS = 2


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        method: one of `tfdistill_worker.COMPARED`.
        networks: by name.
        batch_size: of each process.
    """

    method: str
    networks: tuple[str, ...]
    batch_size: int

    def __str__(self) -> str:
        return f"`{self.method}`: {' + '.join(self.networks)}, {self.batch_size} images"


@dataclass(frozen=True)
class Measured:
    """A case's figures.

    Args:
        alone: seconds of a step of processes that do not wait for each other, the slower one's, a value a turn.
        together: the same of workers that do.
        updates: sums of gradients in a step.
        size: bytes of the gradients that are summed.
    """

    alone: Sequence[float]
    together: Sequence[float]
    updates: int
    size: int

    def extra(self) -> float:
        """Seconds that a step takes longer where gradients are summed: the median of the turns' own differences."""
        return statistics.median(one - other for one, other in zip(self.together, self.alone, strict=True))


@dataclass(frozen=True)
class Model:
    """What summing gradients takes: so much per update, so much per message, and so much per byte that a worker sends.

    In a ring of N workers each sends 2 (N - 1) / N times the gradients' bytes, in 2 (N - 1) messages.

    Args:
        update: seconds per update, however many workers there are: what TensorFlow does around the ring.
        byte: seconds per byte sent.
        message: seconds per update and message. Two workers alone cannot tell it from `update`.
    """

    update: float
    byte: float
    message: float = 0.0

    def seconds(self, updates: int, size: float, workers: int) -> float:
        """What the sums of a step take."""
        if workers == 1:
            return 0.0
        messages = 2 * (workers - 1)
        return updates * (self.update + messages * self.message) + size * self.byte * messages / workers


@dataclass(frozen=True)
class Place:
    """Where a prediction is made for; its links are assumed, not measured.

    Args:
        name: in the table's heading.
        workers: GPUs.
        message: seconds per message on the slowest link of the ring.
        bandwidth: bytes per second on it.
    """

    name: str
    workers: int
    message: float
    bandwidth: float


PLACES = (
    Place("8 GPUs of a host", 8, 10e-6, 100e9),
    Place("64 GPUs of 8 hosts", 64, 25e-6, 10e9),
)
STEPS = (0.025, 0.1)
PREDICTED = ("resnet32", "resnet32")
CASES = (
    Case("supervised", ("resnet20",), 32),
    Case("dml_joint", ("resnet20", "resnet20"), 32),
    Case("dml", ("resnet20", "resnet20"), 32),
    Case("afd", ("resnet20", "resnet20"), 32),
    Case("dcm", ("resnet20", "resnet20"), 8),
    Case("supervised", ("vgg13_bn",), 8),
    Case("dml_joint", ("vgg13_bn", "vgg13_bn"), 8),
)
QUICK = (Case("supervised", ("resnet8",), 4), Case("dml", ("resnet8", "resnet8"), 4))


def main() -> int:
    """Prints the measurements, the model, and how well it predicts what it was not fitted to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="steps of an execution, which is a turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="two small cases, three turns of one step")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 1, 3
    cores = sorted(os.sched_getaffinity(0))[:WORKERS]
    if len(cores) < WORKERS:
        print(f"benchmarks/scaling.py: needs {WORKERS} cores, and there is {len(cores)}", file=sys.stderr)
        return 1
    found = {}
    for case in QUICK if arguments.quick else CASES:
        print(case, file=sys.stderr, flush=True)
        try:
            found[case] = measure(case, cores, arguments.steps, arguments.turns)
        except WorkerError as error:
            print(f"benchmarks/scaling.py: {error}", file=sys.stderr)
            return 1
    print(f"CPU ({platform.machine()}), a core for each process; {arguments.turns} turns of {arguments.steps} steps.\n")
    print(table(found), end="")
    model = fitted(list(found.values()))
    print(f"\nPer update {model.update * 1e3:.2f} ms, per MB sent {model.byte * 1e9:.2f} ms.\n")
    print(predictions(model), end="")
    return 0


# --- the measurement


def measure(case: Case, cores: Sequence[int], steps: int, turns: int) -> Measured:
    """Seconds of a step with and without sums, in fresh processes."""
    alone = [Worker(f"process {core}", command(core, None)) for core in cores]
    together = [
        Worker(f"worker {task['task']['index']}", command(core, task))
        for core, task in zip(cores, tasks(len(cores)), strict=True)
    ]
    wanted = {"method": case.method, "names": case.networks, "batch_size": case.batch_size, "steps": steps}
    times: dict[str, list[float]] = {"alone": [], "together": []}
    try:
        asked(alone, "prepare", **wanted)
        about = asked(together, "prepare", **wanted)[0]
        for turn in range(turns):
            for kind, group in (("alone", alone), ("together", together))[:: 1 if turn % 2 == 0 else -1]:
                times[kind].append(max(reply["seconds"] for reply in asked(group, "train")) / steps)
    finally:
        for worker in (*alone, *together):
            worker.end()
    return Measured(times["alone"], times["together"], about["updates"], about["bytes"])


def command(core: int, task: dict | None) -> list[str]:
    """A process on a core, of a cluster where there is a task."""
    configuration = [f"TF_CONFIG={json.dumps(task)}"] if task else ["-u", "TF_CONFIG"]
    return ["env", *configuration, sys.executable, "-m", "scaling_worker", str(core)]


def asked(group: Sequence[Worker], do: str, **arguments: object) -> list[dict]:
    """The replies of workers that are asked at once."""
    for worker in group:
        worker.send(do, **arguments)
    return [worker.receive() for worker in group]


# --- the model


def fitted(found: Sequence[Measured]) -> Model:
    """Least squares of what the sums took, relative to the whole step, with neither coefficient below zero."""
    weights = [1 / statistics.median(one.together) for one in found]
    factors = np.array([[one.updates, one.size * 2 * (WORKERS - 1) / WORKERS] for one in found])
    extras = np.array([one.extra() for one in found])
    rows, sides = factors * np.array(weights)[:, None], extras * weights
    solution = np.linalg.lstsq(rows, sides, rcond=None)[0]
    if solution.min() < 0:
        kept = int(solution.argmax())
        solution = np.zeros(2)
        solution[kept] = max(float(rows[:, kept] @ sides / (rows[:, kept] @ rows[:, kept])), 0.0)
    return Model(*map(float, solution))


def table(found: dict[Case, Measured]) -> str:
    """What was measured, and what a model that has not seen the case predicts for it."""
    rows = []
    for case, one in found.items():
        model = fitted([other for name, other in found.items() if name != case])
        alone, together = statistics.median(one.alone), statistics.median(one.together)
        predicted = alone + model.seconds(one.updates, one.size, WORKERS)
        rows.append(
            [
                str(case),
                str(one.updates),
                f"{one.size / 1e6:.2f} MB",
                f"{alone * 1e3:,.1f} ms",
                f"{together * 1e3:,.1f} ms",
                f"{one.extra() * 1e3:+,.1f} ms",
                f"{predicted * 1e3:,.1f} ms",
            ]
        )
    headings = ("Case", "Updates", "Gradients", "Apart", "Together", "Sums", "Predicted, together")
    return markdown(headings, rows, numbers=6)


def predictions(model: Model) -> str:
    """For every method, the share of its time that a GPU computes, at a step of so many seconds if it were alone."""
    rows = []
    for method in METHODS:
        about = summed(build(method, PREDICTED))
        cells = [f"`{method}`", str(about["updates"]), f"{about['bytes'] / 1e6:.2f} MB"]
        for place in PLACES:
            there = Model(model.update, 1 / place.bandwidth, place.message)
            sums = there.seconds(about["updates"], about["bytes"], place.workers)
            cells += [f"{sums * 1e3:.1f} ms", *(f"{step / (step + sums):.0%}" for step in STEPS)]
        rows.append(cells)
    headings = ["Method", "Updates", "Gradients"]
    for place in PLACES:
        headings += [f"{place.name}: sums", *(f"{step * 1e3:.0f} ms" for step in STEPS)]
    return markdown(headings, rows, numbers=len(headings) - 1)


if __name__ == "__main__":
    sys.exit(main())
