"""Epochs whose weights a run has kept, and how a user names one: `runs/big@10` is the 10th epoch of `runs/big`.

In the run's folder the weights lie in `kept_epochs/epoch_10/`, a folder of checkpoints with one in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from tfdistill.runs import checkpoints

FOLDER, AT = "kept_epochs", "@"
FLAGS = "flags.json"
_NAME = re.compile(r"epoch_([1-9][0-9]{0,6})")
_EPOCH = re.compile(r"[0-9]{1,7}")


def folder_of(run: Path, epoch: int) -> Path:
    """Where a run's epoch lies if it is kept.

    Args:
        run: the run's folder.
        epoch: counted from 1.
    """
    return run / FOLDER / f"epoch_{epoch}"


def kept(run: Path) -> list[int]:
    """The epochs that a run has kept, in their order."""
    found = [(path, _NAME.fullmatch(path.name)) for path in (run / FOLDER).glob("epoch_*")]
    return sorted(int(name[1]) for path, name in found if name and checkpoints.exist(path))


def require_kept(run: Path, epoch: int) -> Path:
    """The folder of an epoch that is kept.

    Raises:
        ValueError: there is none; the line has those that there are, and the flag.
    """
    if not (run / FLAGS).is_file():
        raise ValueError(f"{run} is no run folder (it has no {FLAGS}), and {AT}{epoch} is an epoch of a run")
    if epoch not in (there := kept(run)):
        others = f", but {', '.join(map(str, there))}" if there else ""
        raise ValueError(f"{run} keeps no epoch {epoch}{others}; --keep_epochs={epoch} keeps it while the run trains")
    return folder_of(run, epoch)


def path_and_epoch(path: str | Path) -> tuple[Path, int | None]:
    """PATH@EPOCH taken apart, or PATH and None; a path that is there may end so itself."""
    before, at, epoch = str(path).rpartition(AT)
    if not before or not at or not _EPOCH.fullmatch(epoch) or Path(path).exists():
        return Path(path), None
    return Path(before), int(epoch)
