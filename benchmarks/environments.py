"""One case under several environments, in turns: what oneDNN or the number of threads gain.

python benchmarks/environments.py --method dml_joint           # oneDNN on, off, and with one thread an operation
python benchmarks/environments.py --precision bfloat16
python benchmarks/environments.py --products                   # float32 with products in float32, and in bfloat16

Each environment is a name and its variables, NAME:VARIABLE=VALUE,VARIABLE=VALUE, and has a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence

from cohort import ratio
from operations import OPERATIONS
from workers import Worker, WorkerError

DEFAULTS = (
    "onednn:TF_ENABLE_ONEDNN_OPTS=1",
    "onednn_off:TF_ENABLE_ONEDNN_OPTS=0",
    "one_thread:TF_ENABLE_ONEDNN_OPTS=1,TF_NUM_INTRAOP_THREADS=1",
)
# What --products=bfloat16 of the command train sets.
PRODUCTS = (
    "float32_products:TF_ENABLE_ONEDNN_OPTS=1",
    "bfloat16_products:TF_ENABLE_ONEDNN_OPTS=1,TF_SET_ONEDNN_FPMATH_MODE=BF16",
)


def main() -> int:
    """Prints a line for every environment; ratios are to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", metavar="NAME:VARIABLE=VALUE,...")
    parser.add_argument("--products", action="store_true", help="compare products in float32 and in bfloat16")
    parser.add_argument("--method", choices=OPERATIONS, default="dml_joint")
    parser.add_argument("--networks", default="resnet32,resnet32", help="comma-separated")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--turns", type=int, default=7, help="of every environment, at least 2")
    parser.add_argument("--steps", type=int, default=2, help="in a turn")
    arguments = parser.parse_args()
    chosen = arguments.environments or (PRODUCTS if arguments.products else DEFAULTS)
    workers = [worker(environment) for environment in chosen]
    try:
        times = measure(workers, arguments)
    except WorkerError as error:
        print(f"benchmarks/environments.py: {error}", file=sys.stderr)
        return 1
    finally:
        for one in workers:
            one.end()
    print(f"{arguments.method} of {arguments.networks}, {arguments.precision}, batches of {arguments.batch_size}")
    for one, own in zip(workers, times, strict=True):
        print(f"{one.name}: {statistics.median(own) * 1e3:,.0f} ms, {ratio(times[0], own)} times as fast as the first")
    return 0


def worker(environment: str) -> Worker:
    """A process that trains with tfdistill under an environment, "NAME:VARIABLE=VALUE,..."."""
    name, _, variables = environment.partition(":")
    settings = [setting for setting in variables.split(",") if setting]
    return Worker(name, ["env", *settings, sys.executable, "-m", "tfdistill_worker"])


def measure(workers: Sequence[Worker], arguments: argparse.Namespace) -> list[list[float]]:
    """Seconds of a step, a value a turn, of every worker; no two of them train at once."""
    case = {"method": arguments.method, "names": arguments.networks.split(","), "precision": arguments.precision}
    for one in workers:
        with tempfile.TemporaryDirectory() as folder:
            one.ask("prepare", **case, batch_size=arguments.batch_size, folder=folder)
    times: list[list[float]] = [[] for _ in workers]
    for turn in range(arguments.turns):
        order = range(len(workers)) if turn % 2 == 0 else range(len(workers) - 1, -1, -1)
        for place in order:
            times[place].append(workers[place].ask("train", steps=arguments.steps)["seconds"] / arguments.steps)
    return times


if __name__ == "__main__":
    sys.exit(main())
