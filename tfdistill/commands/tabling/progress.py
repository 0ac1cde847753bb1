"""How far the runs of tables are, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from tfdistill.commands.tabling.plan import Planned
from tfdistill.runs.drawn_line import DrawnLine, duration
from tfdistill.runs.outcomes import folder_of, seconds_taken, trained_steps

MOST_SHOWN = 4


class Progress:
    """One line over all runs: renewed on a terminal, in a file now and then and whenever a run ends.

    Args:
        runs: all of them, by name.
        jobs: how many run at a time.
        output: where the lines go; standard output if not given.
        clock: the time in seconds, from any beginning.
    """

    # Seconds between two lines.
    OFTEN, RENEWED = 60.0, 1.0

    def __init__(
        self,
        runs: Mapping[str, Planned],
        jobs: int,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.runs, self.jobs, self.clock, self.line = runs, jobs, clock, DrawnLine(output)
        self._told: float | None = None
        self._began: dict[str, tuple[float, float]] = {}
        self._seconds: dict[str, float] = {}
        self._steps_of_epoch: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """A run starts, or goes on."""
        self._began[name] = self.clock(), self._share(name)

    def know(self, name: str) -> None:
        """A run is finished: others of its row will take as long."""
        if seconds := seconds_taken(folder_of(self.runs[name].config)):
            self._seconds[self.runs[name].row] = seconds

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        self.line.show(text, lasting=True)

    def tell(
        self, finished: int, failed: int, running: Iterable[str], waiting: Iterable[str], now: bool = False
    ) -> None:
        """Prints the line if it is time, or at once."""
        every = self.RENEWED if self.line.interactive else self.OFTEN
        if not now and self._told is not None and self.clock() - self._told < every:
            return
        self._told = self.clock()
        shares = {name: self._share(name) for name in running}
        failures = f", {failed} failed" if failed else ""
        parts = [f"{self.runs[name].title} {share:.0%}".replace("%", " %") for name, share in shares.items()]
        more = [f"{len(parts) - MOST_SHOWN} more"] if len(parts) > MOST_SHOWN else []
        left = self.seconds_left(shares, waiting)
        timing = f"about {duration(left)} left" if left is not None else ""
        told = "; ".join(filter(None, [", ".join(parts[:MOST_SHOWN] + more), timing]))
        line = f"{finished} of {len(self.runs)} runs{failures}" + (f"; {told}" if told else "")
        self.line.show(line, lasting=not self.line.interactive)

    def seconds_left(self, shares: Mapping[str, float], waiting: Iterable[str]) -> float | None:
        """The time until all runs are finished; None as long as nothing is known, and where nothing is left.

        Args:
            shares: by running run, how much of it is done.
            waiting: runs that have not begun.
        """
        known = dict(self._seconds)
        for name, share in shares.items():
            began, before = self._began[name]
            if share > before:
                known.setdefault(self.runs[name].row, (self.clock() - began) / (share - before))
        rest = {**shares, **{name: self._share(name) for name in waiting}}
        if not known or not rest:
            return None
        usual = sum(known.values()) / len(known)
        left = [(1 - share) * known.get(self.runs[name].row, usual) for name, share in rest.items()]
        return max([sum(left) / self.jobs, *left])

    def _share(self, name: str) -> float:
        """How much of a run is done, by its steps; 0 as long as nobody knows how many an epoch has."""
        one = self.runs[name]
        steps, of_epoch = trained_steps(folder_of(one.config))
        if of_epoch:
            self._steps_of_epoch[one.row] = of_epoch
        planned = self._steps_of_epoch.get(one.row, 0) * one.config.planned_epochs
        total = min(one.config.steps or planned, planned)
        return min(1.0, steps / total) if total else 0.0
