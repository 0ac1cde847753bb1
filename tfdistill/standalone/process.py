"""The process of a command: it imports TensorFlow without notices, and SIGTERM and Ctrl-C end it with one line.

It needs Python alone, and runs before anything is imported.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .calling import program

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal; nobody on its way takes it for a failure of his own."""


def begin(command: str) -> None:
    """Takes this process for a command: call it before TensorFlow is imported.

    Args:
        command: its name, such as "train".
    """
    _end_at_once(command, 2)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # As `tfdistill.startup` does, which has to come before TensorFlow.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    print_in_any_encoding()


def print_in_any_encoding() -> None:
    """Where the terminal's encoding lacks a character of ours, such as ×, its number is written in place of it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def quiet_imports(command: str) -> Iterator[None]:
    """Holds back what libraries print while they are imported, before their logging can be told to be quiet.

    If the block fails, everything that was printed is shown. A signal ends the process at once, as there is nothing to
    clean up, and an exception might be caught on its way.

    Args:
        command: its name.
    """
    handlers = {one: signal.getsignal(one) for one in SIGNALS}
    with tempfile.TemporaryFile() as notices:
        stderr = os.dup(2)
        os.dup2(notices.fileno(), 2)
        _end_at_once(command, stderr)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            for one, handler in handlers.items():
                signal.signal(one, handler)
            if failed:
                notices.seek(0)
                os.write(2, notices.read())


def run(command: str, main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Runs a command; a signal ends it after what it has begun is cleaned up, a second one at once.

    Where nobody reads its output any more, it ends without a word.

    The training command handles signals itself.

    Args:
        command: its name.
        main: takes the arguments, returns the exit status.
        arguments: those of the command line, without the program's name.

    Returns:
        The exit status.
    """

    def stop(number: int, frame: Any) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        raise Stopped(number)

    for one in SIGNALS:
        signal.signal(one, stop)
    try:
        status = main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Stopped as stopped:
        return _say_stopped(command, stopped.args[0], 2)


def _end_at_once(command: str, stderr: int) -> None:
    """Has signals end the process where it is, with a line on the file `stderr`."""
    for one in SIGNALS:
        signal.signal(one, lambda number, frame: os._exit(_say_stopped(command, number, stderr)))


def _say_stopped(command: str, number: int, stderr: int) -> int:
    """Says that a signal ends the program; returns the exit status."""
    os.write(stderr, f"\n{program(command)}: stopped by {signal.Signals(number).name}\n".encode())
    return 128 + number
