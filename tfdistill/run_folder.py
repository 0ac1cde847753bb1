"""What lies in a run's folder, and the rules for opening it again."""

from __future__ import annotations

import csv
import difflib
import fcntl
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdistill.config import RunConfig, differences
from tfdistill.stored_flags import read_flags, read_run_config


class RunFolder:
    """`<runs_dir>/<run>/`: flags.json, flags.flags, versions.json, epochs.csv, results.json, checkpoints/, logs/.

    Args:
        path: the folder; made when the run is opened.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.flags = self.path / "flags.json"
        self.checkpoints = self.path / "checkpoints"
        self.logs = self.path / "logs"
        self.results = self.path / "results.json"
        self._lock: io.TextIOWrapper | None = None

    def check(self, config: RunConfig) -> None:
        """Refuses flags that would change a training that has begun here.

        Raises:
            ValueError: names the flags that differ, and what to do.
        """
        if not self.flags.exists():
            return
        changed = differences(read_flags(self.flags), config.to_dict())
        if changed:
            names = ", ".join(f"--{name}" for name in changed)
            raise ValueError(f"{names}: differs from what {self.path} was trained with; give another --run")

    def open(self, config: RunConfig, versions: Mapping[str, str]) -> None:
        """Makes the folder, takes its lock, and writes flags and versions.

        Raises:
            ValueError: another process trains in this folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / ".lock", "w")  # noqa: SIM115 - held as long as the process lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"run: another process is training in {self.path}; give another --run") from None
        write_json(self.flags, config.to_dict())
        write_text(self.path / "flags.flags", flagfile(config))
        write_json(self.path / "versions.json", dict(versions))

    def is_visible(self) -> bool:
        """Whether this process sees the folder that a process, perhaps on another host, has opened."""
        # A network file system looks anew when a folder is listed, where it would answer for a path from memory.
        return self.path.parent.is_dir() and self.path in self.path.parent.iterdir() and self.flags.is_file()

    def finished(self) -> dict[str, Any] | None:
        """The results of the run if it came to its end, else None."""
        return json.loads(self.results.read_text()) if self.results.exists() else None

    def write_epochs(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Writes epochs.csv, a row per epoch; columns that some epochs lack stay empty there."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.path / "epochs.csv", text.getvalue())


def read_config(folder: str | os.PathLike) -> RunConfig:
    """The flags of the run in `folder`.

    Raises:
        ValueError: no run lies there, or its flags are no longer what was written.
    """
    flags = RunFolder(folder).flags
    if not flags.is_file():
        raise ValueError(f"run: {folder} is no run folder (it has no {flags.name})")
    return read_run_config(flags)


def existing(runs_dir: str | os.PathLike, name: str) -> RunFolder:
    """The folder of a run that has been trained.

    Raises:
        ValueError: there is none of that name; the message has the nearest.
    """
    folder = RunFolder(Path(runs_dir) / name)
    if name and folder.flags.is_file():
        return folder
    names = sorted(path.parent.name for path in Path(runs_dir).glob("*/flags.json"))
    if not names:
        raise ValueError(f"run: there are no runs in {runs_dir}; give another --runs_dir")
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    raise ValueError(f"run: there is no {name!r} in {runs_dir}; nearest: {nearest}")


def flagfile(config: RunConfig) -> str:
    """The effective flags as a flagfile that repeats the run."""
    values = config.to_dict()
    hyperparameters = values.pop("hyperparameters")
    values |= {f"{config.method}.{name}": value for name, value in hyperparameters.items()}
    lines = []
    for name, value in values.items():
        if isinstance(value, bool):
            lines.append(f"--{name}={str(value).lower()}")
        elif value is not None:
            lines.append(f"--{name}={','.join(map(str, value)) if isinstance(value, tuple | list) else value}")
    return "\n".join(lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes aside, then renames: a reader sees the old file or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    os.replace(aside, path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(values, indent=2) + "\n")
