"""Trainings in processes of their own, which share the machine's cores and GPUs and end with the command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tfdistill.commands.tabling.plan import Planned
from tfdistill.files import FileError

PACKAGE = Path(__file__).resolve().parents[2]
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
GPUS = "CUDA_VISIBLE_DEVICES"
# prctl(2), Linux.
PR_SET_PDEATHSIG = 1


class Child:
    """A training that runs.

    Args:
        process: the process.
        log: the file that has its output, behind that of earlier starts.
        begun: where its own output begins there.
    """

    def __init__(self, process: subprocess.Popen, log: Path, begun: int) -> None:
        self.process, self.log, self.begun = process, log, begun

    def ended(self) -> int | None:
        """The exit status, that of a signal negative; None as long as it runs."""
        return self.process.poll()

    def terminate(self) -> None:
        """Asks it to save and end."""
        self.process.terminate()

    def last_line(self) -> str:
        """The last line of its output that is not empty."""
        with open(self.log, "rb") as file:
            file.seek(max(self.begun, self.log.stat().st_size - 100_000))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def start(one: Planned, slot: int, jobs: int) -> Child:
    """Starts the training of a run.

    Args:
        one: the run.
        slot: which of `jobs` it is, from 0.
        jobs: how many run at a time.

    Raises:
        FileError: its log cannot be written, or the machine takes no more processes.
    """
    log = log_of(one)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            begun = output.tell()
            return Child(process_of([*TRAIN, *one.arguments], environment(slot, jobs), output), log, begun)
    except OSError as error:
        raise FileError(f"{log}: the training that writes it cannot start: {error.strerror or error}") from error


def where_told(one: Planned) -> str:
    """The path of a run's output; empty as long as it was never started."""
    log = log_of(one)
    return str(log) if log.exists() else ""


TRAIN = (sys.executable, "-m", "tfdistill", "train")


def log_of(one: Planned) -> Path:
    """The file with a run's output, beside its folder."""
    return Path(one.config.runs_dir) / f"{one.name}.log"


def process_of(command: Sequence[str], environ: Mapping[str, str], output: int | object) -> subprocess.Popen:
    """A process that gets SIGTERM when this one dies, whatever it dies of, and no Ctrl-C of its terminal."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[arg-type]
        stderr=subprocess.STDOUT,
        env=dict(environ),
        start_new_session=True,  # the terminal's Ctrl-C would be a second signal to it, which ends it without saving
        preexec_fn=_ending_with(os.getpid()),
    )


def environment(slot: int, jobs: int, cores: int | None = None, gpus: Sequence[str] | None = None) -> dict[str, str]:
    """The variables of a training's process.

    Args:
        slot: which of `jobs` it is, from 0.
        jobs: how many share the machine.
        cores: how many there are; those of this process if not given.
        gpus: what CUDA calls each; those of this machine if not given.
    """
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE.parent), os.getenv("PYTHONPATH")]))}
    if jobs == 1:
        return found
    share = max(1, (cores or len(os.sched_getaffinity(0))) // jobs)
    for name in THREADS:
        found.setdefault(name, str(share))
    if gpus := visible_gpus() if gpus is None else gpus:
        found[GPUS] = gpus[slot % len(gpus)]
        if jobs > len(gpus):  # the first on a GPU would take all of its memory
            found.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return found


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name, as the driver counts them; asked without TensorFlow."""
    told = os.getenv(GPUS)
    if told is not None:
        return [one.strip() for one in told.split(",") if one.strip() not in ("", "-1")]
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(folder.iterdir())))] if folder.is_dir() else []


def _ending_with(parent: int) -> Callable[[], None] | None:
    """What a new process does first: it has the kernel end it when its parent dies."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # which died in between
            os._exit(128 + signal.SIGTERM)

    return prepare
