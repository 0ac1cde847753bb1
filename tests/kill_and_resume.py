"""Kills a training run with SIGKILL at random moments until it is through, and compares it with an undisturbed one.

    python tests/kill_and_resume.py --kills=10 --folder=FOLDER

Prints where each kill fell, and ends with status 1 unless every weight, every optimizer slot and every row of the
record is bit-identical.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
TIMING = ("images_per_second",)
FLAGS = [
    "--method=ie_dml",
    "--networks=resnet8,resnet8",
    "--dataset=digits",
    "--train_examples=320",
    "--batch_size=32",
    "--epochs=30",
    "--checkpoint_seconds=0.5",
    "--noexport",
]


def start(folder: Path, run: str, *more_flags: str) -> subprocess.Popen:
    """The training command of one run in `folder`, as a process whose output can be read."""
    where = [f"--runs_dir={folder}", f"--export_dir={folder}", f"--run={run}"]
    command = [sys.executable, str(ROOT / "launch" / "train.py"), *FLAGS, *more_flags, *where]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def differences(folder: Path, one: str, other: str) -> list[str]:
    """What differs between the last checkpoints and the records of two runs; empty where nothing does."""
    import numpy as np

    from tfdistill import checkpoints

    first, second = (checkpoints.newest(folder / run / "checkpoints") for run in (one, other))
    if first is None or second is None or first.step != second.step:
        return [f"steps {first and first.step} and {second and second.step}"]
    found = [
        name for name, array in first.arrays.items() if array.tobytes() != np.asarray(second.arrays[name]).tobytes()
    ]
    rows = [list(csv.DictReader((folder / run / "epochs.csv").open())) for run in (one, other)]
    for row, twin in zip(*rows, strict=True):
        found += [f"epoch {row['epoch']} {name}" for name in row if name not in TIMING and row[name] != twin[name]]
    return found


def kill_at_random(folder: Path, run: str, kills: int, seed: int) -> None:
    """Starts the run again and again, and kills it up to `kills` times, a random while after it began or resumed."""
    moments = random.Random(seed)
    while True:
        process, lines = start(folder, run), []
        if kills:
            delay = moments.uniform(0, 3)
            threading.Thread(target=kill_later, args=(process, folder / run / "checkpoints", delay)).start()
        for line in process.stdout:
            lines.append(line.strip())
        if process.wait() == 0:
            print(f"through; kills left: {kills}", flush=True)
            return
        if process.returncode != -signal.SIGKILL:
            raise SystemExit("\n".join(lines))
        kills -= 1
        print(
            f"killed with {newest_step(folder / run / 'checkpoints')} saved; last line: {lines[-1] if lines else ''}",
            flush=True,
        )


def kill_later(process: subprocess.Popen, checkpoints_folder: Path, delay: float) -> None:
    """Kills the process `delay` seconds after it has saved a new checkpoint, unless it ends before."""
    first = newest_step(checkpoints_folder)
    while newest_step(checkpoints_folder) == first and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()


def newest_step(checkpoints_folder: Path) -> str:
    """The name of the newest checkpoint, or "nothing"."""
    return max((path.name for path in checkpoints_folder.glob("step_????????")), default="nothing")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    undisturbed = start(arguments.folder, "undisturbed")
    output = undisturbed.communicate()[0]
    if undisturbed.returncode:
        raise SystemExit(output)
    kill_at_random(arguments.folder, "killed", arguments.kills, arguments.seed)
    found = differences(arguments.folder, "undisturbed", "killed")
    print("\n".join(found) or "bit-identical")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
