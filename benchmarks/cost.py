"""What every method costs on the same networks: parameters, time of a step, memory, time to the first step.

python benchmarks/cost.py --write   # everything, into docs/methods.md; about half an hour, on an idle machine
python benchmarks/cost.py --quick   # a step or two of everything, to see that it works
python benchmarks/cost.py --check   # measure nothing; exit with 1 where the page's list of methods is out of date
python benchmarks/cost.py --list    # measure nothing; bring that list up to date

Steps are timed in one process that goes from method to method, a few steps of each in turn, so that a machine that
slows down slows all; memory and the first step in a process for each method. The batch is made up, and lies ready.
Of a method with several phases the last is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import math
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf

from tfdistill import networks
from tfdistill.columns import markdown
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase
from tfdistill.files import between
from tfdistill.methods import METHODS
from tfdistill.optimizers import OptimizerSettings

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "methods.md"
LIST_BEGINS, LIST_ENDS = "<!-- benchmarks/cost.py writes the list from here -->\n", "<!-- list to here -->\n"
COST_BEGINS, COST_ENDS = "<!-- benchmarks/cost.py writes the costs from here -->\n", "<!-- costs to here -->\n"
REFERENCE = "supervised"
Clock = Callable[[], float]


def main() -> int:
    """Prints a table of the costs, and writes the page where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated; supervised is always among them")
    parser.add_argument("--networks", default="resnet20,resnet20", help="comma-separated")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="steps in a turn")
    parser.add_argument("--turns", type=int, default=15, help="turns that every method has")
    parser.add_argument("--quick", action="store_true", help="two turns of one step")
    parser.add_argument("--write", action="store_true", help="write list and costs into the page")
    parser.add_argument("--list", action="store_true", help="write the list only")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 1, 2
    if arguments.alone:
        print(json.dumps(alone(arguments.alone, arguments)))
        return 0
    page = PAGE.read_text(encoding="utf-8")
    listed = between(page, LIST_BEGINS, LIST_ENDS, method_list())
    if arguments.check:
        return int(listed != page)
    if not arguments.list:
        costs = cost_table(arguments)
        print(costs, end="")
        if arguments.write:
            listed = between(listed, COST_BEGINS, COST_ENDS, costs)
    if arguments.list or arguments.write:
        PAGE.write_text(listed, encoding="utf-8")
    return 0


# --- the list of methods


def method_list() -> str:
    """Every method in a line, as the code says it, for two networks of one architecture."""
    rows = []
    for name, method in METHODS.items():
        distiller = build(name, ("resnet8", "resnet8"))
        first = (method.__doc__ or "").strip().splitlines()[0].removesuffix(".")
        rows.append((f"`{name}`", first, method.source, builds(distiller), "; ".join(map(order, distiller.plan))))
    return markdown(("Method", "What it does", "Paper", "Builds for the training", "On every batch"), rows)


def builds(distiller: Distiller) -> str:
    """The helpers of a method, those of a kind counted: what their names say besides the networks'."""
    peers = "|".join(re.escape(network.name) for network in distiller.networks)
    kinds = Counter(re.sub(rf"^(({peers})_|from_)+", "", name) for name in distiller.helpers)
    texts = ["one trunk for all networks"] if shares_layers(distiller) else []
    texts += [f"{count} × {kind}" if count > 1 else kind for kind, count in kinds.items()]
    joined = sum(hasattr(network, "made_of") for network in distiller.networks)
    texts += [f"{joined} × projector and teacher's classifier, which stay"] if joined else []
    return ", ".join(texts) or "nothing"


def shares_layers(distiller: Distiller) -> bool:
    """Whether some of the networks' weights belong to several of them."""
    return parameters(distiller.networks) < sum(parameters([network]) for network in distiller.networks)


def order(phase: Phase) -> str:
    """Which groups of updates a phase has, and whether in turn or together."""
    groups = [Counter(update.group for update in one.updates) for one in phase.rounds]
    texts = [", ".join(group if count == 1 else f"{count} × {group}" for group, count in one.items()) for one in groups]
    if len(texts) == 1:
        return f"together: {texts[0]}"
    return f"in turn, each on a fresh forward pass: {', '.join(texts)}"


# --- what is measured


def build(method: str, names: Sequence[str], classes: int = 100) -> Distiller:
    """A method with its networks, for images of 32 x 32 pixels."""
    peers = [
        networks.build(name, classes=classes, image_shape=(32, 32, 3), seed=number, model_name=f"network{number}")
        for number, name in enumerate(names, start=1)
    ]
    made = METHODS[method]
    if "teachers" in inspect.signature(made).parameters:
        teacher = networks.build(next(iter(names)), classes=classes, seed=99, model_name="teacher")
        return made(peers, teachers=[teacher])
    return made(peers)


def parameters(models: Iterable[keras.Model]) -> int:
    """Trainable ones, those that several models share counted once."""
    found = {id(variable): variable for model in models for variable in model.trainable_variables}
    return sum(math.prod(variable.shape) for variable in found.values())


def ready(distiller: Distiller) -> None:
    """Makes a method ready for the steps of its last phase, in a run so long that no schedule moves a rate."""
    distiller.compile(quiet_recipe(distiller))
    distiller.prepare(steps_per_epoch=1000, epochs=1000)
    distiller.phase_index = len(distiller.plan) - 1


def batch_of(size: int) -> dict[str, tf.Tensor]:
    """Noise for images, labels drawn by chance, and the places of the first examples."""
    rng = np.random.default_rng(0)
    return {
        "images": tf.constant(rng.normal(size=(size, 32, 32, 3)), tf.float32),
        "labels": tf.constant(rng.integers(0, 100, size), tf.int32),
        "index": tf.range(size, dtype=tf.int64),
    }


def stepper(distiller: Distiller, batch_size: int, clock: Clock = time.perf_counter) -> Callable[[int], float]:
    """A function that trains so many steps of the last phase, and says how many seconds they took by the clock."""
    ready(distiller)
    distiller.make_train_function()
    held = iter(tf.data.Dataset.from_tensors(batch_of(batch_size)).repeat())

    def train(steps: int) -> float:
        started = clock()
        for _ in range(steps):
            results = distiller.train_function(held)
        # What has a value has been computed.
        for value in results.values():
            value.numpy()
        return clock() - started

    return train


def quiet_recipe(distiller: Distiller) -> dict[str, OptimizerSettings]:
    """The method's recipe, with rates so low that nothing diverges on labels drawn by chance."""
    return {group: dataclasses.replace(one, learning_rate=1e-4) for group, one in distiller.recipe().items()}


def alone(method: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds to the end of the first step, and by how much the process's largest size grew until some steps later."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    train = stepper(build(method, arguments.networks.split(",")), arguments.batch_size)
    first = train(1)
    train(arguments.steps)
    return {"first": first, "mebibytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def cost_table(arguments: argparse.Namespace) -> str:
    """Measures, and returns what was measured, with on what."""
    chosen = list(dict.fromkeys([REFERENCE, *arguments.methods.split(",")]))
    found = {}
    for method in chosen:
        print(f"{method}, in a process of its own", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, *sys.argv[1:], f"--alone={method}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[method] = json.loads(done.stdout.splitlines()[-1])
    distillers = {method: build(method, arguments.networks.split(",")) for method in chosen}
    times = step_seconds(distillers, arguments)
    rows = [row(method, distillers[method], times, found[method]) for method in chosen]
    headings = ("Method", "Parameters trained", "of them helpers'", "Step", "× supervised", "Memory", "First step")
    device = "GPU" if tf.config.list_logical_devices("GPU") else f"CPU ({platform.machine()})"
    about = (
        f"{arguments.networks.replace(',', ' and ')}, batches of {arguments.batch_size}, 32×32 pixels, 100 classes; "
        f"{device}, TensorFlow {tf.__version__}, float32; {arguments.turns} turns of {arguments.steps} steps.\n"
    )
    return f"{about}\n{markdown(headings, rows, numbers=6)}"


def step_seconds(distillers: Mapping[str, Distiller], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step of every method in every turn."""
    trains = {}
    clock = time.process_time if getattr(arguments, "processor_time", False) else time.perf_counter
    for method, distiller in distillers.items():
        print(f"{method}, among the others", file=sys.stderr, flush=True)
        trains[method] = stepper(distiller, arguments.batch_size, clock)
        trains[method](2)
    times: dict[str, list[float]] = {method: [] for method in trains}
    for turn in range(arguments.turns):
        # Now this one first and now that one: what comes after a large method finds the caches cold.
        methods = list(trains)
        for method in methods[turn % len(methods) :] + methods[: turn % len(methods)]:
            times[method].append(trains[method](arguments.steps) / arguments.steps)
    return times


def row(method: str, distiller: Distiller, times: Mapping[str, list[float]], found: Mapping[str, float]) -> list[str]:
    """A method's cells; its ratio is the median of the turns' own."""
    updates = distiller.plan[-1].updates()
    ratios = [own / other for own, other in zip(times[method], times[REFERENCE], strict=True)]
    return [
        f"`{method}`",
        f"{parameters(model for update in updates for model in update.models):,}",
        f"{parameters(distiller.helpers.values()):,}",
        f"{statistics.median(times[method]) * 1e3:,.0f} ms",
        f"{statistics.median(ratios):.2f}",
        f"{found['mebibytes']:,.0f} MiB",
        f"{found['first']:.1f} s",
    ]


if __name__ == "__main__":
    sys.exit(main())
