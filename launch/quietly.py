"""Imports TensorFlow without the notices that its libraries print before its logging can be told to be quiet.

Scripts here import this first. If the import fails, everything that it printed is shown. What Keras' own settings file
or the environment say against what the scripts need is set aside, and said. SIGTERM and Ctrl-C end them
with one line.
"""

import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGTERM, signal.SIGINT)
STDERR = os.dup(2)  # which is led elsewhere during the import


def say_stopped(number: int) -> int:
    """Says that a signal ends the program; returns the exit status."""
    os.write(STDERR, f"\n{Path(sys.argv[0]).name}: stopped by {signal.Signals(number).name}\n".encode())
    return 128 + number


for one in SIGNALS:
    # While packages are imported there is nothing to clean up.
    signal.signal(one, lambda number, frame: os._exit(say_stopped(number)))

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As `tfdistill.startup` does, which has to come before TensorFlow.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.path.insert(0, str(ROOT))

# Where the terminal's encoding lacks a character of ours, such as ×, its number is written in place of it.
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="backslashreplace")

# Run as a file: an import of it would import the package, and with it TensorFlow.
keras_settings = runpy.run_path(str(ROOT / "tfdistill" / "keras_settings.py"))
program = Path(sys.argv[0]).name
try:
    for line in keras_settings["own_process"]():
        print(f"{program}: {line}", file=sys.stderr)
except ValueError as error:
    print(f"{program}: error: {error}", file=sys.stderr)
    sys.exit(2)

with tempfile.TemporaryFile() as notices:
    stderr = os.dup(2)
    os.dup2(notices.fileno(), 2)
    failed = True
    try:
        import tensorflow  # noqa: F401

        keras_settings["apply"]()
        failed = False
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if failed:
            notices.seek(0)
            os.write(2, notices.read())


class Stopped(BaseException):
    """A signal; nobody on its way takes it for a failure of his own."""


def run(main: Callable[[list[str]], int]) -> int:
    """Runs a command on the program's arguments; a signal ends it after what it has begun is cleaned up.

    A second signal ends it at once. The training command handles signals itself.

    Args:
        main: takes the arguments, returns the exit status.

    Returns:
        The exit status.
    """

    def stop(number: int, frame: object) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        raise Stopped(number)

    for one in SIGNALS:
        signal.signal(one, stop)
    try:
        return main(sys.argv[1:])
    except Stopped as stopped:
        return say_stopped(stopped.args[0])
