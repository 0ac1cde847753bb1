"""What a step costs in the number of networks that learn together, and beside networks that learn alone.

python benchmarks/cohort.py            # 2, 3, 4 and 6 networks; about 10 minutes on an idle machine
python benchmarks/cohort.py --quick    # a step of everything, to see that it works

All cases of a number of networks train in turns in one process, a single network among them, so that a machine that
slows down slows all. The table says what a step takes over that of the single network times the number of networks:
where that stays the same from row to row, the cost grows as the number of networks does.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import tensorflow as tf
from cost import step_seconds
from operations import OPERATIONS
from tfdistill_worker import build, forward

from tfdistill.columns import markdown

ALONE = "alone"
CASES = ("supervised", "dml_joint", "dml", "afd")


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--numbers", type=int, nargs="+", default=[2, 3, 4, 6], help="of networks")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2, help="steps in a turn")
    parser.add_argument("--turns", type=int, default=9, help="turns that every case has")
    parser.add_argument("--quick", action="store_true", help="two and three small networks, two turns of one step")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.network, arguments.numbers, arguments.batch_size = "resnet8", [2, 3], 16
        arguments.steps, arguments.turns = 1, 2
    rows = []
    for number in arguments.numbers:
        print(f"{number} networks", file=sys.stderr, flush=True)
        times, operations = measure(number, arguments)
        rows += table_rows(number, times, operations)
        gc.collect()
    device = "GPU" if tf.config.list_logical_devices("GPU") else f"CPU ({platform.machine()})"
    print(
        f"`{arguments.network}`, batches of {arguments.batch_size}, 32×32 pixels, 100 classes; {device}, TensorFlow "
        f"{tf.__version__}, float32; {arguments.turns} turns of {arguments.steps} steps. Medians, in brackets the "
        "quartiles of the turns' own ratios.\n"
    )
    headings = ("Networks", "Method", "Step", "Multiply-adds", "× networks alone", "× joint DML", "its multiply-adds")
    print(markdown(headings, rows, numbers=5), end="")
    return 0


def measure(number: int, arguments: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of a step, a value a turn, and its multiply-adds, of every case with so many networks."""
    distillers = {case: build(case, [arguments.network] * number) for case in CASES}
    distillers[ALONE] = build("supervised", [arguments.network])
    operations = {case: arguments.batch_size * OPERATIONS[case](forward(distillers[case])) for case in CASES}
    return step_seconds(distillers, arguments), operations


def table_rows(number: int, times: Mapping[str, Sequence[float]], operations: Mapping[str, int]) -> list[list[str]]:
    """A row for every case but the single network, which the others are compared with."""
    rows = []
    for case in CASES:
        rows.append(
            [
                str(number),
                f"`{case}`",
                f"{statistics.median(times[case]) * 1e3:,.0f} ms",
                f"{operations[case] / 1e9:,.1f} G",
                ratio(times[case], [number * value for value in times[ALONE]]),
                ratio(times[case], times["dml_joint"]),
                f"{operations[case] / operations['dml_joint']:.2f}",
            ]
        )
    return rows


def ratio(ones: Sequence[float], others: Sequence[float]) -> str:
    """Median and quartiles of the turns' own ratios."""
    found = [one / other for one, other in zip(ones, others, strict=True)]
    first, median, third = statistics.quantiles(found, n=4, method="inclusive")
    return f"{median:.2f} ({first:.2f}–{third:.2f})"


if __name__ == "__main__":
    sys.exit(main())
