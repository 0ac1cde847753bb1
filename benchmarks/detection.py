"""Seconds of an SSD's training step, of tfdistill and of plain PyTorch, and what evaluation costs beside it.

python benchmarks/detection.py --torch_python=PATH            # SSD300-ResNet-18, batches of 8; on an idle machine
python benchmarks/detection.py --torch_python=PATH --quick    # one turn of one step, to see that it works
python benchmarks/detection.py --evaluation                   # forward pass, loss and detections apart; no PyTorch

Each side has a process of its own; they train in turns, a few steps each. Both start from the same weights and train on
the same batch, which lies ready in memory, and their first steps are compared. A step is the forward pass, matching and
the multibox loss, the backward pass, and SGD with momentum and decay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence

from peer import FORMS
from speed import markdown_rows, spread
from workers import Worker, WorkerError

OURS, PEER = "tfdistill", "PyTorch"
# Above this share of the step the two do not compute the same, see `speed.py`.
LARGEST_DIFFERENCE = 0.02
HEADINGS = ("Side", "Seconds of a step", "Images/s", f"× {PEER}")


def main() -> int:
    """Prints the tables that are asked for."""
    arguments = parsed(sys.argv[1:])
    try:
        if arguments.evaluation:
            print(evaluation(arguments), end="")
        else:
            print(comparison(arguments), end="")
    except WorkerError as error:
        print(f"benchmarks/detection.py: {error}", file=sys.stderr)
        return 1
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The flags, those that `--quick` stands for included."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch_python", default=sys.executable, help="an interpreter that has PyTorch; default: this")
    parser.add_argument("--network", choices=("ssd300_resnet18", "ssd300_resnet34"), default="ssd300_resnet18")
    parser.add_argument("--torch_forms", nargs="+", choices=FORMS, default=list(FORMS), help="the fastest is compared")
    parser.add_argument(
        "--evaluation", action="store_true", help="time a forward pass, the loss and detections instead"
    )
    parser.add_argument("--most", type=int, default=200, help="with --evaluation, detections of an image")
    parser.add_argument("--batch_size", type=int, help="default: 8; with --evaluation, 32")
    parser.add_argument("--turns", type=int, help="of each side; default: 7")
    parser.add_argument("--steps", type=int, help="in a turn; default: 2")
    parser.add_argument("--quick", action="store_true", help="small, where nothing else is said")
    arguments = parser.parse_args(words)
    quick = {"batch_size": 2, "turns": 1, "steps": 1}
    whole = {"batch_size": 32 if arguments.evaluation else 8, "turns": 7, "steps": 2}
    for name, value in (quick if arguments.quick else whole).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name in ("batch_size", "turns", "steps", "most"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: must be at least 1, not {getattr(arguments, name)}")
    return arguments


def start(side: str, arguments: argparse.Namespace) -> Worker:
    """A process of one side."""
    if side == OURS:
        return Worker(OURS, [sys.executable, "-m", "detection_worker"])
    return Worker(PEER, [arguments.torch_python, "-m", "peer.detection"])


def comparison(arguments: argparse.Namespace) -> str:
    """The two sides' steps, in turns.

    Raises:
        WorkerError: a side is not there, or computes on another kind of device or another step.
    """
    with tempfile.TemporaryDirectory() as folder, start(OURS, arguments) as own, start(PEER, arguments) as peer:
        theirs_about, ours_about = peer.ask("about"), own.ask("about")
        if theirs_about["kind"] != ours_about["kind"]:
            raise WorkerError(f"{OURS} computes on {ours_about['device']} and {PEER} on {theirs_about['device']}")
        ours = own.ask("prepare", network=arguments.network, batch_size=arguments.batch_size, folder=folder)
        theirs = peer.ask(
            "prepare", case=ours["case"], folder=folder, forms=arguments.torch_forms, trial_steps=1 + arguments.steps
        )
        for form, reason in theirs["failed"].items():
            print(f"{PEER}, {form}: not possible here: {reason}", file=sys.stderr, flush=True)
        require_same(ours, theirs)
        times = alternate({OURS: own, PEER: peer}, arguments)
    about = f"{ours_about['device']}, {theirs_about['vectors']}; {ours_about['version']}, {theirs_about['version']}"
    tried = "; ".join(f"{form} {seconds:,.2f} s" for form, seconds in theirs["seconds"].items())
    table = markdown_rows([HEADINGS, ["---", "---:", "---:", "---:"], *rows(times, arguments.batch_size)])
    return (
        f"`{arguments.network}`, {ours['operations'] / 1e9:,.1f} G multiply-adds for an image forward; batches of "
        f"{arguments.batch_size}; {arguments.turns} turns of {arguments.steps} steps. {about}. Medians, in brackets "
        f"the quartiles.\n\n{table}\n{PEER}: {theirs['form']} ({tried}). First steps differ by "
        f"{theirs['difference']:.1e} of a step.\n"
    )


def require_same(ours: Mapping, theirs: Mapping) -> None:
    """Refuses two sides that do not train the same.

    Raises:
        WorkerError: says in what they differ.
    """
    if ours["parameters"] != theirs["parameters"]:
        raise WorkerError(f"parameters differ: {OURS} {ours['parameters']}, {PEER} {theirs['parameters']}")
    if not theirs["difference"] <= LARGEST_DIFFERENCE:
        raise WorkerError(f"the first steps differ by {theirs['difference']:.2%}, not by rounding alone")


def alternate(workers: Mapping[str, Worker], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step in each turn; now one side goes first and now the other, and one waits for the other."""
    times: dict[str, list[float]] = {side: [] for side in workers}
    for turn in range(arguments.turns):
        for side in list(workers) if turn % 2 == 0 else list(workers)[::-1]:
            times[side].append(workers[side].ask("train", steps=arguments.steps)["seconds"] / arguments.steps)
    return times


def rows(times: Mapping[str, Sequence[float]], batch_size: int) -> list[list[str]]:
    """The cells of each side; ratios are those of the same turn."""
    found = []
    for side, own in times.items():
        ratios = [theirs / ours for theirs, ours in zip(times[PEER], own, strict=True)]
        rates = [batch_size / one for one in own]
        found.append([side, *(spread(*one) for one in ((own, "{:.3f}".format), (rates, "{:.2f}".format)))])
        found[-1].append(spread(ratios, "{:.2f}".format))
    return found


def evaluation(arguments: argparse.Namespace) -> str:
    """What a forward pass, the loss with its gradient, and detections take of a batch.

    Raises:
        WorkerError: the process is not there.
    """
    with tempfile.TemporaryDirectory() as folder, start(OURS, arguments) as own:
        own.ask("prepare", network=arguments.network, batch_size=1, folder=folder)
        seconds = own.ask("parts", batch_size=arguments.batch_size, most=arguments.most)["seconds"]
    table = [("Part", "Milliseconds", "× forward"), ("---", "---:", "---:")]
    table += [(name, f"{one * 1e3:,.0f}", f"{one / seconds['forward']:.2f}") for name, one in seconds.items()]
    return f"`{arguments.network}`, batches of {arguments.batch_size}.\n\n{markdown_rows(table)}"


if __name__ == "__main__":
    sys.exit(main())
