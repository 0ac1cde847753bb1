"""What the workers of a run make sure of before they train: the same flags, the same folder, the same checkpoint."""

from __future__ import annotations

import json
import zlib

from tfdistill.devices.workers import Workers
from tfdistill.runs.checkpoints import Checkpoint
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder

# What may differ between workers: paths as each host sees them.
OF_A_HOST = ("data_dir", "unlabelled_dir", "download", "runs_dir", "export_dir", "teacher")
SHARED = "the workers need a folder that all of them see"


def require_same_flags(workers: Workers, config: RunConfig) -> None:
    """The workers of a run differ in nothing but paths.

    Raises:
        ValueError: this worker's flags differ from the chief's, or another's do.
    """
    flags = {name: value for name, value in config.to_dict().items() if name not in OF_A_HOST}
    marks = [zlib.crc32(json.dumps(value, sort_keys=True).encode()) for value in flags.values()]
    chiefs = workers.of_chief(marks)
    other = [f"--{name}" for name, mark, chief in zip(flags, marks, chiefs, strict=True) if mark != chief]
    problem = f"{', '.join(other)}: differs from {workers.cluster.name(0)}; give every worker the same flags"
    workers.refuse_together(problem if other else "")


def require_shared_folder(workers: Workers, folder: RunFolder) -> None:
    """Every worker sees the run's folder, which the chief has opened.

    Raises:
        ValueError: this worker does not see it, or another does not.
    """
    workers.wait()
    chief = workers.cluster.name(0)
    problem = f"runs_dir: {folder.path}, which {chief} writes to, is not visible here; {SHARED}"
    workers.refuse_together("" if folder.is_visible() else problem)


def require_same_checkpoint(workers: Workers, folder: RunFolder, found: Checkpoint | None) -> None:
    """Every worker has found the same checkpoint in the run's folder.

    Raises:
        ValueError: this worker has found another than the chief, or another worker has.
    """
    step = -1 if found is None else found.step
    chiefs = workers.of_chief([step])[0]
    here, there = ("no checkpoint" if one < 0 else f"one of step {one}" for one in (step, chiefs))
    chief = workers.cluster.name(0)
    problem = f"runs_dir: {folder.checkpoints} has {here} here and {there} for {chief}; {SHARED}"
    workers.refuse_together("" if step == chiefs else problem)
