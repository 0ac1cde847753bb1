"""Processes that take turns: a request in a line of JSON to one, then its reply in a line, and never two at once.

Only what comes with Python is imported here, because the two ends may be of different environments.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BENCHMARKS = pathlib.Path(__file__).parent
# What would keep one of the processes from using all cores.
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class WorkerError(RuntimeError):
    """What a worker could not do, in one line."""


class Worker:
    """The asking end: starts the process, and ends it when the `with` block does.

    Args:
        name: for messages.
        command: program and arguments; its modules may be those of this folder and of the repository.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        environment = {key: value for key, value in os.environ.items() if key not in THREAD_LIMITS}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        # Two processes share an accelerator only where neither takes all of its memory.
        environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        folders = [str(BENCHMARKS), str(BENCHMARKS.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
        except OSError as error:
            raise WorkerError(f"{name}: {command[0]} does not start: {error.strerror}") from None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and waits for the reply.

        Raises:
            WorkerError: the worker could not do it, or is gone.
        """
        self.send(do, **arguments)
        return self.receive()

    def send(self, do: str, **arguments: Any) -> None:
        """Sends a request; the reply is still to be received, so that several workers can be asked at once."""
        self._asked = do
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """Waits for the reply to the request that was sent last.

        Raises:
            WorkerError: the worker could not do it, or is gone.
        """
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name}: the process ended with {self._process.wait()} when asked to {self._asked}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}")
        return reply

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process: at the end of its requests, or after a minute."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def tasks(count: int) -> list[dict[str, Any]]:
    """TF_CONFIG of every worker of a cluster on this machine, on ports that are free now."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(count)]


def serve(commands: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """The answering end: calls the command of each request, until there are no more.

    What anything prints goes to standard error: standard output has the replies and nothing else.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        try:
            if do not in commands:
                raise ValueError(f"there is no command {do!r}; there are {', '.join(commands)}")
            reply = commands[do](**request)
        except Exception as error:
            if not isinstance(error, WorkerError):
                traceback.print_exc()
            reply = {"error": one_line(error)}
        print(json.dumps(reply), file=replies, flush=True)


def one_line(error: Exception) -> str:
    """An error's message in a line, cut where it is very long."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, (ValueError, WorkerError)) else f"{type(error).__name__}: {text}"
