"""The training command, which kills itself with SIGKILL at a named place; for kill_and_resume.py.

    python tests/campaigns/killed_at.py "PLACE" --run=NAME ...

It runs launch/train.py as it is. The product knows nothing of places: functions are wrapped here, before it starts.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@dataclass(frozen=True)
class Place:
    """Before or after a call of a function.

    Args:
        function: its full name.
        after: rather than before the call.
        call: which call it is, from 1.
        named: a part that the last argument must have as text; every call counts if not given.
    """

    function: str
    after: bool = False
    call: int = 1
    named: str = ""


def renamed(named: str, *, after: bool = False, call: int = 1) -> Place:
    """Where a file or folder takes the place that it was written for."""
    return Place("os.rename", after, call, named)


def replaced(named: str, *, after: bool = False, call: int = 1) -> Place:
    """Where a text takes the place of the one before."""
    return Place("os.replace", after, call, named)


# In the order in which a run comes to them.
PLACES: dict[str, Place] = {
    "data": Place("tfdistill.runs.data.RunData.read"),
    "folder": Place("tfdistill.runs.folder.RunFolder.lock", after=True),
    "flags, written aside": replaced("flags.json"),
    "flags": replaced("flags.json", after=True),
    "first step": Place("tfdistill.runs.callbacks.Checkpoints.on_train_batch_end"),
    "first save, half its arrays": Place("numpy.lib.format.write_array", call=9),
    "first save, no manifest": Place("tfdistill.runs.checkpoints.writing._write_manifest"),
    "first save, written aside": Place("tfdistill.runs.checkpoints.writing._put_in_place"),
    "first save": Place("tfdistill.runs.checkpoints.writing._put_in_place", after=True),
    "third save, older ones removed": Place("tfdistill.runs.checkpoints.writing._prune", call=4, after=True),
    "scoring": Place("tfdistill.runs.callbacks.Checkpoints.on_test_batch_end"),
    "epoch, written aside": replaced("epochs.csv"),
    "epoch, in epochs.csv alone": replaced("epochs.csv", after=True),
    "kept epoch, written aside": Place("tfdistill.runs.checkpoints.writing._put_in_place", named="/step_00000002"),
    "kept epoch": Place("tfdistill.runs.keeping.KeptEpochs._keep", after=True),
    "epoch, in TensorBoard": Place("tfdistill.runs.watching.TensorBoard.on_epoch_end", after=True),
    "epoch, in pictures": Place("tfdistill.runs.pictures.Pictures.on_epoch_end", after=True),
    "checkpoint moved for another of its step": renamed(".replaced", after=True),
    "second epoch's first step": Place("tfdistill.runs.callbacks.Record.on_train_batch_end", call=2, after=True),
    "last save": Place("tfdistill.runs.callbacks.Checkpoints.save_what_is_new", after=True),
    "scoring of the other data": Place("tfdistill.runs.ending.Ending._final_scores"),
    "first export, no SavedModel": Place("tfdistill.export.exporter.write_saved_model"),
    "first export, being verified": Place("tfdistill.export.exporter.verify"),
    "first export, verified": Place("tfdistill.export.exporter.verify", after=True),
    "export, written aside": renamed("/1"),
    "export, published": renamed("/1", after=True),
    "models.config, written aside": replaced("models.config"),
    "models.config": replaced("models.config", after=True),
    "results, written aside": replaced("results.json"),
    "results": replaced("results.json", after=True),
}


def wrapped(function: Callable, place: Place) -> Callable:
    """The function, which ends the process at the place."""
    calls = 0

    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        fits = not place.named or str(arguments[-1]).endswith(place.named)
        calls += fits
        here = fits and calls == place.call
        if here and not place.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **keywords)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def owner_of(name: str) -> Any:
    """The module or class that a function of that full name is an attribute of."""
    parts = name.split(".")[:-1]
    for count in range(len(parts), 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            owner = getattr(owner, part)
        return owner
    raise ValueError(f"there is no {name}")


def main() -> None:
    sys.path.insert(0, str(LAUNCH.parent))
    from tfdistill.commands import starting

    starting.begin("train")
    import tfdistill.commands.train  # noqa: F401

    place = PLACES[sys.argv[1]]
    owner, attribute = owner_of(place.function), place.function.rsplit(".", 1)[1]
    setattr(owner, attribute, wrapped(getattr(owner, attribute), place))
    sys.argv[:2] = [str(LAUNCH / "train.py")]
    runpy.run_path(str(LAUNCH / "train.py"), run_name="__main__")


if __name__ == "__main__":
    main()
