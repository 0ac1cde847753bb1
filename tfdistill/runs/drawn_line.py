"""Progress in one line, renewed in its place on a terminal."""

from __future__ import annotations

import shutil
import sys
from typing import TextIO


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


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
