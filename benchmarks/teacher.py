"""Images per second of a student beside a large teacher, with each saving at the teacher, and of plain PyTorch.

python benchmarks/teacher.py --torch_python=PATH            # ResNet-110 teaches ResNet-20; run it on an idle machine
python benchmarks/teacher.py --torch_python=PATH --quick    # small networks, a step or two, to see that it works

Each side has a process of its own; all forms train in turns, a few steps each, now one first and now another, so that a
machine that slows down slows all. Teachers are asked ahead in a third process too, whose operations have one thread
each: two operations then keep two cores busy without waiting for each other. PyTorch's student and its teachers of both
precisions are each tried in several forms, and the fastest are compared. Both sides start from the same weights, and
their first steps are compared. Images and labels are made up, and lie ready in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence

from speed import markdown_rows, spread
from workers import Worker, WorkerError

OURS, ONE_THREAD, PEER = "tfdistill", "tfdistill, one thread an operation", "PyTorch"
PRECISIONS = ("float32", "bfloat16")
# Above this share of the step the two do not compute the same, see `speed.py`.
LARGEST_DIFFERENCE = 0.02
HEADINGS = ("Side", "Teacher", "Images/s", f"× {PEER}, teacher in float32", f"× {PEER}, the fastest")

# By form, seconds of a step in each turn; a form is a side and how the teacher is asked there.
Times = Mapping[tuple[str, str], Sequence[float]]


def main() -> int:
    """Prints the table."""
    arguments = parsed(sys.argv[1:])
    try:
        with contextlib.ExitStack() as stack:
            workers = {side: stack.enter_context(start(side, arguments)) for side in (OURS, ONE_THREAD, PEER)}
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            forms, ours, theirs = prepared(workers, folder, arguments)
            times = alternate(workers, forms, arguments)
    except WorkerError as error:
        print(f"benchmarks/teacher.py: {error}", file=sys.stderr)
        return 1
    macs = " and ".join(f"{name} {count / 1e6:,.0f} M" for name, count in ours["operations"].items())
    print(
        f"`{arguments.teacher}` teaches `{arguments.student}` by KD, multiply-adds for an image: {macs} with its "
        f"gradients; batches of {arguments.batch_size}, 32×32 pixels, 100 classes; {arguments.turns} turns of "
        f"{arguments.steps} steps. Medians, in brackets the quartiles.\n"
    )
    print(markdown_rows([HEADINGS, ["---"] * 2 + ["---:"] * 3, *rows(times, arguments.batch_size)]), end="")
    told = "; ".join(f"teacher in {precision}: {form}" for precision, form in theirs["forms"].items())
    print(f"\n{PEER}'s forms: {told}. First steps differ by {theirs['difference']:.1e} of a step.")
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The flags, those that `--quick` stands for included."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch_python", default=sys.executable, help="an interpreter that has PyTorch; default: this")
    parser.add_argument("--teacher", help="default: resnet110")
    parser.add_argument("--student", help="default: resnet20")
    parser.add_argument("--batch_size", type=int, help="default: 128")
    parser.add_argument("--turns", type=int, help="of each form; default: 15")
    parser.add_argument("--steps", type=int, help="in a turn; default: 3")
    parser.add_argument("--quick", action="store_true", help="small, where nothing else is said")
    arguments = parser.parse_args(words)
    quick = {"teacher": "resnet14", "student": "resnet8", "batch_size": 8, "turns": 2, "steps": 1}
    whole = {"teacher": "resnet110", "student": "resnet20", "batch_size": 128, "turns": 15, "steps": 3}
    for name, value in (quick if arguments.quick else whole).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name in ("batch_size", "turns", "steps"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: must be at least 1, not {getattr(arguments, name)}")
    return arguments


def start(side: str, arguments: argparse.Namespace) -> Worker:
    """A process of one side."""
    if side == PEER:
        return Worker(PEER, [arguments.torch_python, "-m", "peer.teacher"])
    settings = ["env", "TF_NUM_INTRAOP_THREADS=1"] if side == ONE_THREAD else []
    return Worker(side, [*settings, sys.executable, "-m", "teacher_worker"])


def prepared(
    workers: Mapping[str, Worker], folder: str, arguments: argparse.Namespace
) -> tuple[list[tuple[str, str]], Mapping, Mapping]:
    """All sides ready to train the same; says what they are and what does not work.

    Returns:
        The forms to measure, each a side and how the teacher is asked there; what tfdistill and what PyTorch answers.

    Raises:
        WorkerError: a side is not there, or computes on another kind of device or another step.
    """
    own, peer = workers[OURS], workers[PEER]
    theirs_about, ours_about = peer.ask("about"), own.ask("about")
    if theirs_about["kind"] != ours_about["kind"]:
        raise WorkerError(f"{OURS} computes on {ours_about['device']} and {PEER} on {theirs_about['device']}")
    print(f"{ours_about['device']}, {theirs_about['vectors']}; {ours_about['version']}, {theirs_about['version']}.")
    sizes = {"student": arguments.student, "teacher": arguments.teacher, "batch_size": arguments.batch_size}
    ours = own.ask("prepare", **sizes, folder=folder, ahead_alone=False)
    theirs = peer.ask("prepare", case=ours["case"], folder=folder, trial_steps=1 + arguments.steps)
    for form, reason in theirs["failed"].items():
        print(f"{PEER}, {form}: not possible here: {reason}", file=sys.stderr, flush=True)
    for form, seconds in theirs["seconds"].items():
        print(f"{PEER}, {form}: {seconds * 1e3:,.1f} ms", file=sys.stderr, flush=True)
    if not theirs["difference"] <= LARGEST_DIFFERENCE:
        raise WorkerError(f"the first steps differ by {theirs['difference']:.2%}, not by rounding alone")
    with tempfile.TemporaryDirectory() as elsewhere:
        one_thread = workers[ONE_THREAD].ask("prepare", **sizes, folder=elsewhere, ahead_alone=True)
    forms = {OURS: ours["forms"], ONE_THREAD: one_thread["forms"], PEER: PRECISIONS}
    return [(side, form) for side, own_forms in forms.items() for form in own_forms], ours, theirs


def alternate(workers: Mapping[str, Worker], asked: Sequence[tuple[str, str]], arguments: argparse.Namespace) -> Times:
    """Has every form train in turns; the others wait."""
    times: dict[tuple[str, str], list[float]] = {one: [] for one in asked}
    for turn in range(arguments.turns):
        first = turn % len(asked)
        for side, form in asked[first:] + asked[:first]:
            took = workers[side].ask("train", form=form, steps=arguments.steps)["seconds"]
            times[side, form].append(took / arguments.steps)
    return times


def rows(times: Times, batch_size: int) -> list[list[str]]:
    """The cells of every form; ratios are those of the same turn."""
    peers = [times[PEER, precision] for precision in PRECISIONS]
    fastest = min(peers, key=statistics.median)
    found = []
    for (side, form), own in times.items():
        ratios = [
            spread([theirs / ours for theirs, ours in zip(peer, own, strict=True)], "{:.2f}".format)
            for peer in (peers[0], fastest)
        ]
        teacher = f"in {form}" if side == PEER else "no saving" if form == "none" else form
        found.append([side, teacher, spread([batch_size / one for one in own], "{:,.1f}".format), *ratios])
    return found


if __name__ == "__main__":
    sys.exit(main())
