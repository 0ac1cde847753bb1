"""Trains the runs of tables, some at a time, and goes on where one fails."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from tfdistill.commands.tabling import children
from tfdistill.commands.tabling.plan import Planned
from tfdistill.commands.tabling.progress import Progress
from tfdistill.runs.interruption import Signals
from tfdistill.runs.outcomes import folder_of, outcome_of
from tfdistill.tables import Outcome


class Training(Protocol):
    """What the campaign asks of a training that runs, see `children.Child`."""

    def ended(self) -> int | None:
        """The exit status; None as long as it runs."""

    def terminate(self) -> None:
        """Asks it to save and end."""

    def last_line(self) -> str:
        """The last line of its output."""


class Campaign:
    """All runs, those that are finished left alone.

    Args:
        runs: by name, in the order in which they are to be trained.
        jobs: how many at a time.
        signals: what the process does about SIGTERM and Ctrl-C.
        progress: where it is told.
        start: starts a training; takes the run, its slot from 0, and `jobs`.
        pause: waits a moment for trainings to end.

    Attributes:
        read: by run, what its folder tells.
        problems: by run, why it failed.
    """

    def __init__(
        self,
        runs: Mapping[str, Planned],
        jobs: int,
        signals: Signals,
        progress: Progress,
        start: Callable[[Planned, int, int], Training] = children.start,
        pause: Callable[[], None] = lambda: time.sleep(0.2),
    ) -> None:
        self.runs, self.jobs, self.signals, self.progress = runs, jobs, signals, progress
        self.start, self.pause = start, pause
        self.read: dict[str, Outcome] = {name: self._read(name) for name in runs}
        self.problems: dict[str, str] = {}
        self.waiting = [name for name, one in self.read.items() if one.state == "missing"]
        self.running: dict[int, tuple[str, Training]] = {}
        self._put_back: set[str] = set()

    @property
    def finished(self) -> int:
        """How many runs are."""
        return sum(one.state == "finished" for one in self.read.values())

    def train(self) -> None:
        """Trains what is missing.

        Raises:
            Interrupted: a signal came; what ran has saved and ended.
            FileError: a log cannot be written; what ran has saved and ended.
        """
        for name, one in self.read.items():
            if one.state == "finished":
                self.progress.know(name)
        self.signals.patient = True
        try:
            while self.waiting or self.running:
                self._fill()
                if self.signals.received:
                    break
                if self.running:
                    self._tell()
                    self.pause()
                    self._collect()
        finally:
            self._stop()
        # What another process has finished since has not failed.
        self.problems = {name: said for name, said in self.problems.items() if not self._is_finished(name)}
        count = f"{self.finished} of {len(self.runs)} runs were finished"
        self.signals.be_impatient(f"it trained; {count}")

    def _fill(self) -> None:
        for slot in range(self.jobs):
            while slot not in self.running and (name := self._next()) and not self.signals.received:
                if problem := self._teachers_problem(name):
                    self._fail(name, problem)
                elif self._is_busy(name):
                    self._put_off(name)
                elif not (name in self._put_back and self._is_finished(name)):
                    self.progress.begin(name)
                    self.running[slot] = name, self.start(self.runs[name], slot, self.jobs)

    def _next(self) -> str:
        """Takes from those that wait the next run whose teachers wait and run no longer; empty where there is none."""
        unready = {*self.waiting, *(name for name, _ in self.running.values())}
        name = next((one for one in self.waiting if not unready & set(self.runs[one].teachers)), "")
        if name:
            self.waiting.remove(name)
        return name

    def _teachers_problem(self, name: str) -> str:
        for teacher in self.runs[name].teachers:
            if self.read[teacher].state != "finished":
                return f"its teacher, {folder_of(self.runs[teacher].config).path}, is not finished"
        return ""

    def _is_busy(self, name: str) -> bool:
        """Whether another process trains the run."""
        folder = folder_of(self.runs[name].config)
        if not folder.path.is_dir():
            return False
        free = folder.lock()
        folder.close()
        return not free

    def _put_off(self, name: str) -> None:
        """The run that another process trains comes last, and may then be finished."""
        if name not in self._put_back and (self.waiting or self.running):
            self._put_back.add(name)
            self.waiting.append(name)
            return
        if not self._is_finished(name):
            path = folder_of(self.runs[name].config).path
            self._fail(name, f"another process is training in {path}; run the same command once that has ended")

    def _collect(self) -> None:
        for slot, (name, child) in list(self.running.items()):
            if (status := child.ended()) is not None:
                del self.running[slot]
                self._end(name, child, status)

    def _end(self, name: str, child: Training, status: int) -> None:
        if self._is_finished(name):
            self.progress.know(name)
        elif self._is_busy(name):  # another command has started it at the same time, and was the faster
            self._put_off(name)
        elif not self.signals.received:
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            self._fail(name, child.last_line() or f"the training {how}")
        self._tell(now=True)

    def _fail(self, name: str, problem: str) -> None:
        self.problems[name] = problem
        told = children.where_told(self.runs[name])
        self.progress.say(f"{self.runs[name].title} failed: {problem}" + (f" ({told})" if told else ""))

    def _stop(self) -> None:
        """Has what runs save and end, and waits for it."""
        for _, child in self.running.values():
            child.terminate()
        while self.running:
            self.pause()
            self._collect()

    def _tell(self, now: bool = False) -> None:
        names = [name for name, _ in self.running.values()]
        self.progress.tell(self.finished, len(self.problems), names, self.waiting, now)

    def _is_finished(self, name: str) -> bool:
        """Looks into the run's folder anew."""
        self.read[name] = self._read(name)
        return self.read[name].state == "finished"

    def _read(self, name: str) -> Outcome:
        one = self.runs[name]
        return outcome_of(one.row, one.config.seed, one.config)
