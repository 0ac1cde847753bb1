"""Images per second of tfdistill beside plain PyTorch, of both beside the machine's own rate; see docs/speed.md.

python benchmarks/speed.py --torch_python=PATH            # everything, hours; run it on an idle machine
python benchmarks/speed.py --torch_python=PATH --quick    # a step or two of every method, to see that it works
python benchmarks/speed.py --networks resnet32,resnet32 --methods dml_joint --precisions float32

Each side has a process of its own; they train in turns, a few steps each, one starting the first turn and the other
the next, so that a machine that slows down slows both. Both start from the same weights, and their first steps are
compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from operations import OPERATIONS
from peer import FORMS
from workers import Worker, WorkerError

OURS, PEER = "tfdistill", "PyTorch"
PAIRS = ("resnet20,resnet20", "resnet32,resnet32", "resnet32,wide_resnet_16_2")
PRECISIONS = ("float32", "bfloat16")
# Above this share of the step the two do not compute the same. Rounding in float32 leaves half of it: so far apart are
# tfdistill's own steps by TensorFlow's kernels and by oneDNN's. Adam's first step is the gradient's sign, hence more.
LARGEST_DIFFERENCES = dict.fromkeys(OPERATIONS, 0.02) | {"afd": 0.05}
HEADINGS = (
    *("Networks", "Precision", "Method", f"{OURS}, images/s", f"{PEER}, images/s", "Ratio", f"{PEER}'s form"),
    *("Multiply-adds of a step", f"{OURS} of the rate", f"{PEER} of the rate", "First steps differ by"),
)


@dataclass(frozen=True)
class Case:
    """What both sides train.

    Args:
        networks: by name.
        precision: one of `PRECISIONS`.
        method: one of `OPERATIONS`.
    """

    networks: tuple[str, ...]
    precision: str
    method: str


@dataclass
class Turns:
    """What was measured, a value a turn and side.

    Args:
        steps: seconds of a training step.
        products: by precision, multiply-adds per second of a product of matrices.
    """

    steps: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], PEER: []})
    products: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def ratios(self) -> list[float]:
        """Of each turn, how many times as many images tfdistill trained on in the same time."""
        return [peer / own for own, peer in zip(self.steps[OURS], self.steps[PEER], strict=True)]

    def rate(self) -> float:
        """The machine's: the best median of either side, in any precision measured."""
        return max(statistics.median(values) for sides in self.products.values() for values in sides.values())


def main() -> int:
    """Prints the table row by row, then the rates of the products."""
    arguments = parsed(sys.argv[1:])
    try:
        about = check(arguments)
        print(f"{about}\n\n{markdown_rows([HEADINGS, ['---'] * 3 + ['---:'] * 3 + ['---'] + ['---:'] * 4])}", end="")
        products: dict[str, dict[str, list[float]]] = {}
        for case in cases(arguments):
            print(f"{case.method} of {', '.join(case.networks)} in {case.precision}", file=sys.stderr, flush=True)
            cells, turns = measure(case, arguments)
            print(markdown_rows([cells]), end="", flush=True)
            for precision, sides in turns.products.items():
                for side, values in sides.items():
                    products.setdefault(precision, {}).setdefault(side, []).extend(values)
    except WorkerError as error:
        print(f"benchmarks/speed.py: {error}", file=sys.stderr)
        return 1
    print(f"\n{product_table(products, arguments.product)}", end="")
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The flags, those that `--quick` stands for included."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch_python", default=sys.executable, help="an interpreter that has PyTorch; default: this")
    parser.add_argument("--networks", nargs="+", metavar="NAME,NAME", help=f"default: {' '.join(PAIRS)}")
    parser.add_argument("--methods", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--torch_forms", nargs="+", choices=FORMS, default=list(FORMS), help="the fastest is compared")
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--turns", type=int, help="of each side; default: 9")
    parser.add_argument("--steps", type=int, help="in a turn; default: 3")
    parser.add_argument("--product", type=int, help="rows of the matrices whose product gives the machine's rate")
    parser.add_argument("--quick", action="store_true", help="small, where nothing else is said")
    arguments = parser.parse_args(words)
    quick = {"networks": ["resnet8,resnet8"], "batch_size": 16, "turns": 2, "steps": 1, "product": 512}
    whole = {"networks": list(PAIRS), "batch_size": 128, "turns": 9, "steps": 3, "product": 2048}
    for name, value in (quick if arguments.quick else whole).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name in ("batch_size", "turns", "steps", "product"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: must be at least 1, not {getattr(arguments, name)}")
    return arguments


def cases(arguments: argparse.Namespace) -> Iterable[Case]:
    """Every case that is asked for, in the order of the table."""
    for names in arguments.networks:
        for precision in arguments.precisions:
            for method in arguments.methods:
                yield Case(tuple(names.split(",")), precision, method)


# --- the two sides


def start(side: str, arguments: argparse.Namespace) -> Worker:
    """A process of one side."""
    if side == OURS:
        return Worker(OURS, [sys.executable, "-m", "tfdistill_worker"])
    return Worker(PEER, [arguments.torch_python, "-m", "peer.worker"])


def check(arguments: argparse.Namespace) -> str:
    """Whether both sides are there, on the same kind of device; what they are, in a line.

    Raises:
        WorkerError: they are not.
    """
    with start(PEER, arguments) as peer:
        theirs = peer.ask("about")
    with start(OURS, arguments) as own:
        ours = own.ask("about")
    if theirs["kind"] != ours["kind"]:
        raise WorkerError(
            f"{OURS} computes on {ours['device']} and {PEER} on {theirs['device']}; hide the GPU from both"
        )
    return (
        f"{ours['device']}, {theirs['vectors']}; {ours['version']}, {theirs['version']}; batches of "
        f"{arguments.batch_size}, 32×32 pixels, 100 classes; {arguments.turns} turns of {arguments.steps} steps. "
        "Medians, in brackets the quartiles."
    )


def measure(case: Case, arguments: argparse.Namespace) -> tuple[list[str], Turns]:
    """A row of the table, and what it is made from; fresh processes for each."""
    with tempfile.TemporaryDirectory() as folder, start(OURS, arguments) as own, start(PEER, arguments) as peer:
        ours = own.ask(
            "prepare",
            method=case.method,
            names=case.networks,
            precision=case.precision,
            batch_size=arguments.batch_size,
            folder=folder,
        )
        theirs = peer.ask(
            "prepare", case=ours["case"], folder=folder, forms=arguments.torch_forms, trial_steps=1 + arguments.steps
        )
        require_same(case, ours, theirs)
        for form, reason in theirs["failed"].items():
            print(f"{PEER}, {form}: not possible here: {reason}", file=sys.stderr, flush=True)
        # What has no instructions for bfloat16 may do better to compute in float32.
        precisions = tuple(dict.fromkeys((case.precision, "float32")))
        turns = alternate({OURS: own, PEER: peer}, arguments.turns, arguments.steps, arguments.product, precisions)
    return row(case, turns, arguments.batch_size, ours["operations"], theirs), turns


def alternate(
    workers: Mapping[str, Worker], turns: int, steps: int, product: int, precisions: Iterable[str] = ("float32",)
) -> Turns:
    """Has the two train in turns, and multiply matrices after it; each waits while the other computes.

    Args:
        workers: the two, ready to train.
        turns: of each, at least 1.
        steps: in a turn, at least 1.
        product: rows and columns of the matrices.
        precisions: of the products.
    """
    found = Turns()
    for turn in range(turns):
        order = list(workers) if turn % 2 == 0 else list(workers)[::-1]
        for side in order:
            found.steps[side].append(workers[side].ask("train", steps=steps)["seconds"] / steps)
        for precision in precisions:
            for side in order:
                seconds = workers[side].ask("multiply", precision=precision, size=product)["seconds"]
                found.products.setdefault(precision, {}).setdefault(side, []).append(product**3 / seconds)
    return found


def require_same(case: Case, ours: Mapping, theirs: Mapping) -> None:
    """Refuses two sides that do not train the same.

    Raises:
        WorkerError: says in what they differ.
    """
    if ours["parameters"] != theirs["parameters"]:
        raise WorkerError(f"parameters differ: {OURS} {ours['parameters']}, {PEER} {theirs['parameters']}")
    # In bfloat16 the two round differently, and by much.
    if case.precision == "float32" and not theirs["difference"] <= LARGEST_DIFFERENCES[case.method]:
        raise WorkerError(f"{case.method}: the first steps differ by {theirs['difference']:.2%}, not by rounding alone")


# --- the tables


def row(case: Case, turns: Turns, batch_size: int, operations: int, theirs: Mapping) -> list[str]:
    """The cells of a case."""
    rates = {side: [batch_size / seconds for seconds in turns.steps[side]] for side in (OURS, PEER)}
    shares = [operations / statistics.median(turns.steps[side]) / turns.rate() for side in (OURS, PEER)]
    return [
        " + ".join(f"`{name}`" for name in case.networks),
        case.precision,
        f"`{case.method}`",
        spread(rates[OURS], "{:,.1f}".format),
        spread(rates[PEER], "{:,.1f}".format),
        spread(turns.ratios(), "{:.2f}".format),
        theirs["form"],
        f"{operations / 1e9:,.1f} G",
        *(f"{share:.2f}" for share in shares),
        f"{theirs['difference']:.1e}",
    ]


def spread(values: Sequence[float], formatted: Callable[[float], str]) -> str:
    """The median, and in brackets the first and the third quartile."""
    if len(values) == 1:
        return formatted(values[0])
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return f"{formatted(median)} ({formatted(first)}–{formatted(third)})"


def product_table(products: Mapping[str, Mapping[str, Sequence[float]]], size: int) -> str:
    """The machine's rates, over all cases."""
    rows = [("Precision", "Product by", "Multiply-adds per second"), ("---", "---", "---:")]
    for precision, sides in products.items():
        for side, values in sides.items():
            rows.append((precision, side, spread([value / 1e9 for value in values], "{:,.1f} G".format)))
    return f"Products of two matrices of {size} × {size}:\n\n{markdown_rows(rows)}"


def markdown_rows(rows: Iterable[Iterable[str]]) -> str:
    """Lines of a Markdown table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    sys.exit(main())
