"""Progress in one line, renewed in its place on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

# Seconds between two lines, in a file and on a terminal.
OFTEN, RENEWED = 60.0, 0.2


class DrawnLine:
    """Where progress is printed: a terminal has one line that is renewed, a file lasting lines alone.

    Args:
        output: where the lines go; standard output, as it is at the time, if not given.
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self._output, self._drawn = output, ""

    @property
    def output(self) -> TextIO:
        """Where the lines go."""
        return self._output or sys.stdout

    @property
    def interactive(self) -> bool:
        """Whether somebody watches one line being renewed."""
        return self.output.isatty()

    def show(self, line: str, *, lasting: bool) -> None:
        """Writes a line in place of the one that was drawn before; the next one replaces it unless it is lasting."""
        if not lasting:
            line = line[: shutil.get_terminal_size().columns - 1]
        over = "\r" if self._drawn else ""
        # Blanks, as not every terminal knows how to clear a line.
        print(f"{over}{line:<{len(self._drawn)}}", end="\n" if lasting else "", file=self.output, flush=True)
        self._drawn = "" if lasting else line


class Remaining:
    """How much of some work is done and how long the rest takes: renewed on a terminal, in a file a line a minute.

    Args:
        total: how much there is to do, 1 or more.
        output: where the lines go; standard output if not given.
        clock: the time in seconds, from any beginning.
    """

    def __init__(self, total: int, output: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, 0
        self._line, self._clock = DrawnLine(output), clock
        self._begun = self._told = clock()

    def add(self, done: int, said: str) -> None:
        """Some more is done.

        Args:
            done: how much more.
            said: what the line says before the time that is left.
        """
        self.done += done
        now = self._clock()
        if now - self._told >= (RENEWED if self._line.interactive else OFTEN):
            self._told = now
            left = (now - self._begun) / self.done * (self.total - self.done)
            self._line.show(f"{said}, {duration(left)} left", lasting=not self._line.interactive)

    def end(self, said: str) -> None:
        """Leaves a last line."""
        self._line.show(said, lasting=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
