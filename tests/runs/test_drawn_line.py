"""Progress of what takes long: how much is left, on a terminal and in a file."""

import io

from tfdistill.runs.drawn_line import Remaining


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(output) -> str:
    """What is printed of 100 things that take a second each, ten at a time."""
    now = 0.0
    remaining = Remaining(100, output, lambda: now)
    for done in range(10, 110, 10):
        now = float(done)
        remaining.add(10, f"{done} done")
    remaining.end("all done")
    return output.getvalue()


def test_a_file_gets_a_line_a_minute_and_a_terminal_one_that_is_renewed():
    assert shown(io.StringIO()) == "60 done, 0:00:40 left\nall done\n"
    lines = shown(Terminal()).split("\r")
    assert len(lines) == 11 and lines[0] == "10 done, 0:01:30 left" and lines[-1].rstrip(" \n") == "all done"
