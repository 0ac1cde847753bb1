"""What a transfer costs a student beside KD from the same teacher: parameters, multiply-adds, time of a step, memory.

python benchmarks/transfer_cost.py --write   # everything, into docs/methods.md; 5 minutes of an idle machine
python benchmarks/transfer_cost.py --quick   # a step or two of everything, to see that it works

Multiply-adds are those of the graph of a step, and memory is taken in a process for each transfer. Steps are timed in
one process that goes from transfer to transfer, a few steps of each in turn, so that a machine that slows down slows
all. The batch is made up, and lies ready. Of a transfer with a phase before the training the training is measured.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import tfdistill.startup  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from cost import batch_of, parameters, ready, step_seconds
from graph_operations import multiply_adds

import tfdistill
from tfdistill import networks
from tfdistill.columns import markdown
from tfdistill.engine.distiller import Distiller
from tfdistill.files import between
from tfdistill.methods import METHODS, Distillation, Supervised
from tfdistill.transfers import TRANSFERS

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "methods.md"
BEGINS = "<!-- benchmarks/transfer_cost.py writes the costs from here -->\n"
ENDS = "<!-- costs of transfers to here -->\n"
HEADINGS = (
    "Transfer",
    "Parameters it trains",
    "Numbers it keeps",
    "Multiply-adds",
    "× KD",
    "Step",
    "× KD",
    "of what multiply-adds predict",
    "Memory",
)
REFERENCE = "kd"
# Above this a transfer takes longer than what it multiplies can explain.
ALLOWED = 1.3
CLASSES, EXAMPLES = 100, 50_000


def main() -> int:
    """Prints a table of the costs, and writes it into the page where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", default=",".join(cases()), help="comma-separated; kd is always among them")
    parser.add_argument("--teacher", default="resnet20")
    parser.add_argument("--student", default="resnet8")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2, help="steps in a turn")
    parser.add_argument("--turns", type=int, default=15, help="turns that every transfer has")
    parser.add_argument("--quick", action="store_true", help="two turns of one step")
    parser.add_argument("--processor_time", action="store_true", help="for a machine that does other work meanwhile")
    parser.add_argument("--write", action="store_true", help="write the costs into the page")
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 1, 2
    if arguments.alone:
        print(json.dumps(alone(build(arguments.alone, arguments), arguments)))
        return 0
    table = cost_table(arguments)
    print(table, end="")
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(between(page, BEGINS, ENDS, table), encoding="utf-8")
    return 0


def cases() -> list[str]:
    """Every transfer, and every method that is distillation from a teacher by a loss of its own."""
    return [*TRANSFERS, *(name for name, one in METHODS.items() if one.learns_from_teachers and one != Distillation)]


def build(case: str, arguments: argparse.Namespace) -> Distiller:
    """A student that learns by a transfer, its labels beside it."""
    student = networks.build(arguments.student, classes=CLASSES, seed=1, model_name="student")
    teacher = networks.build(arguments.teacher, classes=CLASSES, seed=99, model_name="teacher")
    if case not in TRANSFERS:
        return METHODS[case]([student], teachers=[teacher])
    made = TRANSFERS[case]
    given = {"examples": np.arange(EXAMPLES) % CLASSES} if "examples" in inspect.signature(made).parameters else {}
    if made.needs_source:
        return Distillation(student, teacher, [made(**given)])
    distiller = Supervised([student])
    tfdistill.add_transfers(distiller, [made(**given)])
    return distiller


def alone(distiller: Distiller, arguments: argparse.Namespace) -> dict[str, float]:
    """Multiply-adds of a step, and by how much the process's largest size grew until some steps later."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ready(distiller)
    step = tf.function(distiller.train_step, autograph=False)
    batch = batch_of(arguments.batch_size)
    count = multiply_adds(step.get_concrete_function(batch).graph)
    for _ in range(3):
        step(batch)
    return {
        "multiply_adds": count,
        "mebibytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def cost_table(arguments: argparse.Namespace) -> str:
    """Measures, and returns what was measured, with on what."""
    chosen = list(dict.fromkeys([REFERENCE, *arguments.transfers.split(",")]))
    print("each in a process of its own", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(chosen, pool.map(in_own_process, chosen), strict=True))
    distillers = {case: build(case, arguments) for case in chosen}
    times = step_seconds(distillers, arguments)
    device = "GPU" if tf.config.list_logical_devices("GPU") else f"CPU ({platform.machine()})"
    about = (
        f"{arguments.teacher} teaches {arguments.student}, batches of {arguments.batch_size}, 32×32 pixels, {CLASSES} "
        f"classes, {EXAMPLES:,} examples; {device}, TensorFlow {tf.__version__}, float32; {arguments.turns} turns of "
        f"{arguments.steps} steps{', time of the processor' if arguments.processor_time else ''}.\n"
    )
    return f"{about}\n{markdown(HEADINGS, [row(case, distillers[case], times, found) for case in chosen], numbers=8)}"


def in_own_process(case: str) -> dict[str, float]:
    """What `alone` says there."""
    command = [sys.executable, __file__, *sys.argv[1:], f"--alone={case}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def numbers(models: Iterable[keras.Model]) -> int:
    """How many numbers the variables of models have."""
    return int(sum(np.prod(variable.shape) for model in models for variable in model.variables))


def row(
    case: str, distiller: Distiller, times: Mapping[str, Sequence[float]], found: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """The cells of a transfer; its ratio is the median of the turns' own."""
    moved = [model for update in distiller.plan[-1].updates() for model in update.models]
    # A method that rebuilds the student has what it adds in the network itself.
    trained = parameters(moved) - parameters(distiller.given_networks)
    held = numbers([*distiller.networks, *distiller.helpers.values()]) - numbers(distiller.given_networks)
    predicted = found[case]["multiply_adds"] / found[REFERENCE]["multiply_adds"]
    ratio = statistics.median(own / other for own, other in zip(times[case], times[REFERENCE], strict=True))
    beyond = f"{ratio / predicted:.2f}"
    return [
        f"`{case}`",
        f"{trained:,}",
        f"{held - trained:,}",
        f"{found[case]['multiply_adds'] / 1e9:,.2f} G",
        f"{predicted:.2f}",
        f"{statistics.median(times[case]) * 1e3:,.0f} ms",
        f"{ratio:.2f}",
        f"**{beyond}**" if ratio / predicted > ALLOWED else beyond,
        f"{found[case]['mebibytes']:,.0f} MiB",
    ]


if __name__ == "__main__":
    sys.exit(main())
