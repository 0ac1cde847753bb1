r"""Kills training runs with SIGKILL all over their life, lets them go on, and compares them with undisturbed ones.

    python tests/campaigns/kill_and_resume.py --folder=FOLDER --kills=66 --jobs=2
    python tests/campaigns/kill_and_resume.py --folder=FOLDER --methods=afd,ffl --kills=12 -- \
        --strategy=mirrored --replicas=2

Each method gets one undisturbed run and one that dies again and again: at places of `killed_at.py`, dealt so that all
methods together die at all of them, and at random moments. The command is `launch/train.py` itself. What is compared:
every array of the newest checkpoint and of the kept epoch, bit for bit; the record, `epochs.csv`, `results.json` and
every point in TensorBoard, but for times; the exports' variables, cards and `models.config`; and that nothing half done
remains, nor anything of ours in the temporary folder. FOLDER/kills.json has an entry for each method; what is there
already is not done again. Ends with status 1 if anything differs. Flags after `--` go to the command.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from killed_at import PLACES  # noqa: E402

RANDOM = "random moment"
TIMES = ("images_per_second", "seconds", "created", "seal")  # the seal is a checksum over the others
NAMES = ("run", "runs_dir", "export_dir")  # of a run, which differ between two
REMAINS = re.compile(r"\.export-.*|\..+\.[0-9]+|.*\.(writing|replaced)|\.models\.config-.*")
FLAGS = [
    "--networks=resnet8,resnet8",
    "--dataset=digits",
    "--train_examples=48",
    "--validation_share=0.1",
    "--batch_size=16",
    "--epochs=2",
    "--keep_epochs=1",
    "--checkpoint_seconds=0",
    "--log_every=1",
    "--nocheck_terms",
]


def start(folder: Path, run: str, *more_flags: str, place: str = "") -> subprocess.Popen:
    """The training command of one run in `folder`, as a process whose output can be read; at `place` it dies."""
    where = [f"--runs_dir={folder / 'runs'}", f"--export_dir={folder / 'exports'}", f"--run={run}"]
    script = (
        [str(ROOT / "tests" / "campaigns" / "killed_at.py"), place] if place else [str(ROOT / "launch" / "train.py")]
    )
    scratch = folder / "scratch" / run
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(scratch)}
    command = [sys.executable, *script, *FLAGS, *more_flags, *where]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def live(
    folder: Path, run: str, places: Iterable[str], *more_flags: str, seed: int = 0, to_the_end: bool = True
) -> list[str]:
    """Starts a run again and again, each time to die at the next place, and at last to come to its end.

    Returns:
        The places at which it died; one that the run was already past lets it come to its end.

    Raises:
        RuntimeError: it ended otherwise than by its death; the message is its output.
    """
    moments, died = random.Random(seed), []
    for place in [*places, *([""] if to_the_end else [])]:
        process = start(folder, run, *more_flags, place="" if place == RANDOM else place)
        timer = threading.Timer(moments.uniform(2, 16), process.kill)
        if place == RANDOM:
            timer.start()
        output = process.communicate()[0]
        timer.cancel()
        if process.returncode == -signal.SIGKILL and place:
            died.append(place)
        elif process.returncode or "Traceback" in output:
            raise RuntimeError(f"{run}, to die at {place or 'no place'}, ended with {process.returncode}:\n{output}")
    return died


# What two runs in one folder have come to.


def differences(folder: Path, one: str, other: str) -> list[str]:
    """What differs between two runs, and what remains of the second that should not; empty where all is well."""
    parts = (of_checkpoints, of_records, of_results, of_events, of_exports)
    return [line for part in parts for line in part(folder, one, other)] + remains(folder, other)


def of_checkpoints(folder: Path, one: str, other: str) -> Iterator[str]:
    from tfdistill.runs import checkpoints

    for kind in ("checkpoints", "kept_epochs/epoch_1"):
        first, second = (checkpoints.newest(folder / "runs" / run / kind) for run in (one, other))
        if first is None or second is None or first.step != second.step:
            yield f"{kind} of step {first and first.step} and {second and second.step}"
            continue
        yield from unequal(f"{kind}: metadata", without_times(first.metadata), without_times(second.metadata))
        for name in first.arrays.keys() | second.arrays.keys():
            arrays = [found.arrays.get(name) for found in (first, second)]
            if any(array is None for array in arrays) or arrays[0].tobytes() != arrays[1].tobytes():
                yield f"{kind}: {name}"


def of_records(folder: Path, one: str, other: str) -> Iterator[str]:
    rows = [list(csv.DictReader((folder / "runs" / run / "epochs.csv").open())) for run in (one, other)]
    yield from unequal("epochs.csv", *(without_times(of_run) for of_run in rows))


def of_results(folder: Path, one: str, other: str) -> Iterator[str]:
    found = [json.loads((folder / "runs" / run / "results.json").read_text()) for run in (one, other)]
    for values, run in zip(found, (one, other), strict=True):
        values["exports"] = {name: path.replace(f"/{run}/", "/") for name, path in values["exports"].items()}
    yield from unequal("results.json", *(without_times(values) for values in found))


def of_events(folder: Path, one: str, other: str) -> Iterator[str]:
    """A run that went on may have written a point twice, with one value."""
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    for part in ("training", "evaluation"):
        points: list[dict] = []
        for run in (one, other):
            events = EventAccumulator(str(folder / "runs" / run / "logs" / part), {TENSORS: 0}).Reload()
            tags = set(events.Tags()["tensors"]) - {"flags", *TIMES}
            points.append({})
            for tag in tags:
                for point in events.Tensors(tag):
                    value = make_ndarray(point.tensor_proto)
                    # An image is bytes in an array of objects, whose own bytes would be addresses.
                    content = tuple(value.ravel()) if value.dtype == object else value.tobytes()
                    points[-1].setdefault((tag, point.step), set()).add(content)
        yield from unequal(f"TensorBoard's {part}", *points)


def of_exports(folder: Path, one: str, other: str) -> Iterator[str]:
    import tensorflow as tf

    roots = [folder / "exports" / run for run in (one, other)]
    files = [{str(path.relative_to(root)) for path in root.rglob("*")} for root in roots]
    yield from (f"exports: {name} is in one only" for name in sorted(files[0] ^ files[1]))
    if not all((root / "models.config").is_file() for root in roots):
        return
    yield from unequal("models.config", *((root / "models.config").read_text() for root in roots))
    for card in roots[0].glob("*/*/model_card.json"):
        versions = [root / card.parent.relative_to(roots[0]) for root in roots]
        cards = [without_times(json.loads((version / "model_card.json").read_text())) for version in versions]
        if not all(values["verification"]["logits"] < values["verification"]["tolerance"] for values in cards):
            yield f"{card.parent}: not verified"
        yield from unequal(f"{card}", *({**values, "verification": None} for values in cards))
        variables = [tf.train.load_checkpoint(str(version / "variables" / "variables")) for version in versions]
        names = [set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"} for reader in variables]
        yield from unequal(f"{card.parent}: variables", *names)
        for name in names[0] & names[1]:
            arrays = [reader.get_tensor(name) for reader in variables]
            if arrays[0].tobytes() != arrays[1].tobytes():
                yield f"{card.parent}: {name}"


def remains(folder: Path, run: str) -> list[str]:
    """What killed processes have left, and nobody has removed."""
    lie = [path for part in ("runs", "exports") for path in (folder / part / run).rglob("*")]
    found = [path for path in lie if REMAINS.fullmatch(path.name)]
    # TensorFlow writes what AutoGraph has made of a function there, and removes it when its process ends by itself.
    found += [path for path in (folder / "scratch" / run).iterdir() if not path.name.startswith("__autograph_")]
    return [f"remains: {path}" for path in found]


def without_times(values: Any) -> Any:
    """The same without what measures time or names the run."""
    if isinstance(values, dict):
        return {name: without_times(value) for name, value in values.items() if name not in (*TIMES, *NAMES)}
    return [without_times(value) for value in values] if isinstance(values, list) else values


def unequal(what: str, one: Any, other: Any) -> list[str]:
    """The names under which two dicts, or what else they are, differ; numbers that are no numbers are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(name for name in one.keys() | other.keys() if repr(one.get(name)) != repr(other.get(name)))
        return [f"{what}: {name}: {one.get(name)!r} and {other.get(name)!r}" for name in names]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for i, pair in enumerate(zip(one, other, strict=True)) for line in unequal(f"{what} {i}", *pair)]
    return [] if one == other else [f"{what}: {one!r} and {other!r}"]


# The campaign.


def deal(methods: Sequence[str], kills: int, seed: int) -> dict[str, list[str]]:
    """For each method the places of its deaths, in the order of a run's life, a random moment among every seven."""
    cards = [*PLACES, *[RANDOM] * (len(PLACES) // 6)]
    shuffled = random.Random(seed)
    deck: Iterator[str] = itertools.chain.from_iterable(shuffled.sample(cards, len(cards)) for _ in itertools.count())
    hands: dict[str, list[str]] = {method: [] for method in methods}
    for method in itertools.islice(itertools.cycle(methods), kills):
        hands[method].append(next(card for card in deck if card == RANDOM or card not in hands[method]))
    order = [*PLACES, RANDOM]
    return {method: sorted(hand, key=order.index) for method, hand in hands.items()}


def campaign(arguments: argparse.Namespace) -> int:
    """All methods; returns the exit status."""
    from tfdistill.methods import METHODS
    from tfdistill.runs.hyperparameters import takes_teachers

    methods = arguments.methods.split(",") if arguments.methods else list(METHODS)
    report, lock = arguments.folder / "kills.json", threading.Lock()
    done: dict[str, dict] = json.loads(report.read_text()) if report.exists() else {}

    def one(item: tuple[str, list[str]]) -> None:
        method, places = item
        if method in done and done[method]["dealt"] == places:
            return
        folder, flags, began = arguments.folder / method, (f"--method={method}", *arguments.flags), time.monotonic()
        entry: dict[str, Any] = {"dealt": places, "died": [], "differences": []}
        try:
            if takes_teachers(method):
                live(folder, "teacher", [], "--method=supervised", *arguments.flags)
                flags = (*flags, f"--teacher={folder / 'runs' / 'teacher'}:resnet8_1")
            live(folder, "undisturbed", [], *flags)
            run = f"killed_{arguments.seed}_{int(time.time())}"
            entry["died"] = live(folder, run, places, *flags, seed=arguments.seed)
            entry["differences"] = differences(folder, "undisturbed", run)
        except Exception as error:  # of one method, after which come the others
            entry["differences"].append(str(error))
        entry["seconds"] = round(time.monotonic() - began, 1)
        with lock:
            done[method] = entry
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(done, indent=1))
            print(f"{method}: {len(entry['died'])} kills, {len(entry['differences'])} differences", flush=True)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(one, deal(methods, arguments.kills, arguments.seed).items()))
    entries = [done[method] for method in methods]
    died = [place for entry in entries for place in entry["died"]]
    wrong = [line for entry in entries for line in entry["differences"]]
    print(f"{len(died)} kills at {len(set(died))} places, {len(methods)} methods, {len(wrong)} differences")
    print("\n".join(wrong))
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--methods", default="", help="comma-separated; all if not given")
    parser.add_argument("--kills", type=int, default=66, help="of all methods together")
    parser.add_argument("--seed", type=int, default=1, help="decides who dies where")
    parser.add_argument("--jobs", type=int, default=1, help="methods at a time")
    parser.add_argument("flags", nargs="*", help="more flags of the command, after --")
    return campaign(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
