"""What lies in a run's folder, and the rules for opening it again."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdistill.bounds import ArgumentError, nearest
from tfdistill.files import FileError, read_json, sweep, write_json, write_text
from tfdistill.runs import checkpoints
from tfdistill.runs.config import RunConfig
from tfdistill.runs.continuing import Recipe, grows, refusal
from tfdistill.runs.hyperparameters import flag_of
from tfdistill.runs.kept_epochs import AT, FLAGS, FOLDER, path_and_epoch, require_kept
from tfdistill.runs.stored_flags import read_flags, read_run_config
from tfdistill.tables.arguments import comma_separated


class RunFolder:
    """`<runs_dir>/<run>/`: flags.json, flags.flags, versions.json, epochs.csv, results.json, classes.json,
    checkpoints/, logs/, and kept_epochs/ and teacher_views/ where there are some.

    Args:
        path: the folder; made when the run is opened.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.flags = self.path / FLAGS
        self.checkpoints = self.path / "checkpoints"
        self.logs = self.path / "logs"
        self.results = self.path / "results.json"
        self.classes = self.path / "classes.json"
        self._lock: io.TextIOWrapper | None = None

    def check(self, config: RunConfig, recipe: Recipe | None = None) -> None:
        """Refuses flags that would change a training that has begun here; before its first checkpoint none has.

        Args:
            config: the flags.
            recipe: `Distiller.recipe` of the method, where it is there already.

        Raises:
            ValueError: names the flags that differ with both values, and what to do; or flags.json is damaged.
        """
        above = next(parent for parent in (*self.path.parents, Path()) if parent.exists())
        if not above.is_dir():
            raise ValueError(f"runs_dir: {above} is no folder; give another --runs_dir")
        if not self.flags.exists() or not self.is_begun():
            return
        if said := refusal(_flags_in(self.flags), config, recipe):
            raise ValueError(
                f"{said}: {self.path} was trained otherwise; give another --run, or go on with the values that it has"
            )

    def is_begun(self) -> bool:
        """Whether something has been trained here that other flags would spoil."""
        return checkpoints.exist(self.checkpoints) or self.results.exists()

    def open(self, config: RunConfig, recipe: Recipe | None = None) -> list[str]:
        """Makes the folder, takes its lock, and removes what a killed process has left.

        The flags are checked once more: between the first check and the lock another command may have begun.

        Returns:
            What to tell the user, a line each.

        Raises:
            ValueError: another process trains in this folder, or has trained with other flags.
            FileError: the folder cannot be made, or takes no files.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"runs_dir: {self.path} cannot be made: {error.strerror}") from error
        if not self.lock():
            raise ValueError(f"run: another process is training in {self.path}; give another --run")
        try:
            self.check(config, recipe)
            self.tidy()
            return self._set_aside_logs_of_others(config)
        except BaseException:
            self.close()
            raise

    def write_flags(self, config: RunConfig, versions: Mapping[str, str]) -> None:
        """Writes what the run is trained with, once its checkpoints are known to be of the same training.

        Raises:
            FileError: a file cannot be written.
        """
        write_json(self.flags, config.to_dict())
        write_text(self.path / "flags.flags", flagfile(config))
        write_json(self.path / "versions.json", dict(versions))

    def lock(self) -> bool:
        """Takes the lock of the folder, which is held until `close`; False if another process has it."""
        try:
            lock = open(self.path / ".lock", "a")  # noqa: SIM115 - held until `close`
        except OSError as error:
            raise FileError(f"{self.path / '.lock'}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        return True

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def tidy(self) -> None:
        """Removes what a process that was killed has left half done; needs the lock."""
        sweep(self.path)
        for folder in (self.checkpoints, *(self.path / FOLDER).glob("*")):
            checkpoints.tidy(folder)

    def _set_aside_logs_of_others(self, config: RunConfig) -> list[str]:
        """Logs of a start with other flags, which came to no checkpoint, are no part of the run that starts now."""
        if self.is_begun() or not self.logs.exists() or not self.flags.exists():
            return []
        if not (said := refusal(_flags_in(self.flags), config)):
            return []
        aside = self.path / "logs.old"
        shutil.rmtree(aside, ignore_errors=True)
        self.logs.rename(aside)
        if (self.path / "epochs.csv").exists():
            (self.path / "epochs.csv").rename(aside / "epochs.csv")
        return [f"{self.path} begins anew with {said}: the start before came to no checkpoint; its logs are in {aside}"]

    def is_visible(self) -> bool:
        """Whether this process sees the folder that a process, perhaps on another host, has opened."""
        # A network file system looks anew when a folder is listed, where it would answer for a path from memory.
        return self.path.parent.is_dir() and self.path in self.path.parent.iterdir() and (self.path / ".lock").is_file()

    def finished(self) -> dict[str, Any] | None:
        """The results of the run if it came to its end, else None.

        Raises:
            ValueError: results.json is damaged.
        """
        if not self.results.exists():
            return None
        remedy = "remove it, and the same command writes it anew"
        values = read_json(self.results, remedy)
        for name in ("step", "planned_steps"):
            if not isinstance(values.get(name), int):
                raise ValueError(f"{self.results}: is damaged: {name} is no whole number; {remedy}")
        return values

    def is_finished(self, config: RunConfig) -> bool:
        """Whether the run has come to the end that `config` asks for, its exports included.

        Raises:
            ValueError: results.json or flags.json is damaged.
        """
        done = self.finished()
        if (
            done is None
            or (config.export and (done.get("failed_exports") or not done.get("exports")))
            or self._grows(done, config)
        ):
            return False
        return done["step"] >= (config.steps or done["planned_steps"])

    def _grows(self, done: Mapping[str, Any], config: RunConfig) -> bool:
        """Whether the run is to be longer than its results are of; flags.json may be of a start after them."""
        flags = done.get("flags") or (_flags_in(self.flags) if self.flags.exists() else None)
        return isinstance(flags, dict) and grows(flags, config)

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


def _flags_in(path: Path) -> dict[str, Any]:
    read_run_config(path)  # which looks at the values too
    return read_flags(path)


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
    if not name:
        raise ArgumentError("run", f"is not given; give one of those in {runs_dir}, such as --run={names[0]}")
    raise ArgumentError("run", f"there is no {name!r} in {runs_dir}; nearest: {nearest(name, names)}")


def existing_epoch(runs_dir: str | os.PathLike, text: str) -> tuple[RunFolder, int | None]:
    """The run that NAME or NAME@EPOCH is, and the epoch that it has kept, if one is meant.

    Raises:
        ValueError: there is no such run, or it has not kept the epoch.
    """
    path, epoch = path_and_epoch(Path(runs_dir) / text)
    folder = existing(runs_dir, text if epoch is None else text.rpartition(AT)[0])
    if epoch is not None:
        try:
            require_kept(path, epoch)
        except ValueError as error:
            raise ArgumentError("run", str(error)) from None
    return folder, epoch


def flagfile(config: RunConfig) -> str:
    """The effective flags as a flagfile that repeats the run."""
    values = config.to_dict()
    hyperparameters = values.pop("hyperparameters")
    values |= {flag_of(config.method, name): value for name, value in hyperparameters.items()}
    lines = []
    for name, value in values.items():
        if isinstance(value, bool):
            lines.append(f"--{name}={str(value).lower()}")
        elif value is not None:
            lines.append(f"--{name}={comma_separated(map(str, value)) if isinstance(value, tuple | list) else value}")
    return "\n".join(lines) + "\n"
