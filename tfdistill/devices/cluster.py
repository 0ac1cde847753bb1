"""The processes that TF_CONFIG names, one on each host: which there are, which this one is, and when one is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
MINUTES_TO_CONNECT = 10


@dataclass(frozen=True)
class Cluster:
    """What TF_CONFIG says: every worker, the chief first, and which of them this process is.

    Args:
        addresses: of the workers, such as host0:2222.
        index: this process's place among them.
        has_chief: whether the first of them has a job of its own, "chief", instead of being worker 0.
    """

    addresses: tuple[str, ...]
    index: int
    has_chief: bool = False

    def name(self, index: int) -> str:
        """A worker as messages call it."""
        return f"worker {index} ({self.addresses[index]})"

    def place(self, job: str, task: int) -> int:
        """The index of a task that TensorFlow names by job and number."""
        return task + (self.has_chief and job == "worker")


def cluster_of_environment() -> Cluster | None:
    """The cluster that TF_CONFIG names; None where the variable is not set or names none.

    Raises:
        ValueError: in one line, what is wrong with the variable.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    try:
        said = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"TF_CONFIG: {error.msg} at character {error.pos}; it is JSON such as {EXAMPLE}") from None
    if not isinstance(said, dict):
        raise ValueError(f"TF_CONFIG: must be an object such as {EXAMPLE}")
    jobs = said.get("cluster") or {}
    if not jobs:
        return None
    if not isinstance(jobs, dict) or not set(jobs) <= {"chief", "worker"}:
        raise ValueError(f"TF_CONFIG: cluster may have the jobs 'worker' and 'chief' only, such as {EXAMPLE}")
    if not all(isinstance(job, list) and all(isinstance(one, str) for one in job) for job in jobs.values()):
        raise ValueError(f"TF_CONFIG: the jobs of cluster must be lists of addresses, such as {EXAMPLE}")
    if len(jobs.get("chief", [])) > 1:
        raise ValueError(f"TF_CONFIG: cluster has {len(jobs['chief'])} chiefs; one is enough, the others are workers")
    for address in (addresses := [one for job in jobs.values() for one in job]):
        if not re.fullmatch(r"\S+:\d+", address):
            raise ValueError(f"TF_CONFIG: {address!r} is no address, such as host0:2222")
        if addresses.count(address) > 1:
            raise ValueError(f"TF_CONFIG: {address} is named twice; every worker needs an address of its own")
    return _cluster(jobs, *_task(said.get("task"), jobs))


def cluster_of_strategy(strategy: tf.distribute.Strategy | None) -> Cluster | None:
    """The cluster that a strategy trains on; None where it is one process."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict()
    return _cluster(jobs, resolver.task_type, resolver.task_id) if jobs else None


def _cluster(jobs: Mapping[str, list[str]], job: str, task: int) -> Cluster:
    addresses = tuple(one for name in ("chief", "worker") for one in jobs.get(name, []))
    cluster = Cluster(addresses, 0, has_chief=bool(jobs.get("chief")))
    return replace(cluster, index=cluster.place(job, task))


def _task(task: Any, jobs: dict[str, list[str]]) -> tuple[str, int]:
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise ValueError(f"TF_CONFIG: task must say which worker this is, such as {EXAMPLE}")
    kind, index = str(task["type"]), str(task["index"])
    if kind not in jobs:
        raise ValueError(f"TF_CONFIG: task has type {kind!r}, but the jobs of cluster are {', '.join(jobs)}")
    if not index.isdecimal() or int(index) >= len(jobs[kind]):
        raise ValueError(f"TF_CONFIG: task has index {index}, but cluster has {len(jobs[kind])} of type {kind!r}")
    return kind, int(index)


def connect(cluster: Cluster) -> tf.distribute.Strategy:
    """The strategy of several workers, once all of them are there; the process ends if that takes too long.

    TensorFlow waits for the others outside of Python, where neither a thread nor a handler of ours can run. So the
    signals' default actions have to serve: Ctrl-C, SIGTERM and the alarm end the process.
    """
    print(
        f"{cluster.name(cluster.index)} of {len(cluster.addresses)}: waiting for the others, "
        f"{MINUTES_TO_CONNECT} minutes at most",
        flush=True,
    )
    handlers = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    signal.alarm(60 * MINUTES_TO_CONNECT)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        signal.alarm(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def lost_worker(error: Exception) -> str:
    """One line if TensorFlow's error says that another worker is gone; empty if it is about something else."""
    cluster, text = cluster_of_environment(), str(error)
    out_of_reach = isinstance(error, tf.errors.UnavailableError | tf.errors.DeadlineExceededError)
    if cluster is None or len(cluster.addresses) == 1 or not (out_of_reach or "Collective ops is aborted" in text):
        return ""
    named = re.search(r"/job:(chief|worker)/(?:replica:0/)?task:(\d+)", text)
    # Heartbeats go to the chief: where one fails and nobody is named, it is the chief that does not answer.
    index = cluster.place(named[1], int(named[2])) if named else 0 if "Heartbeat" in text else cluster.index
    who = "another worker" if index == cluster.index else cluster.name(index)
    return (
        f"the connection to {who} is lost, so this worker ends too; the same command on every host again goes on from "
        "the newest checkpoint"
    )


@contextlib.contextmanager
def ending_with_the_others(program: str) -> Iterator[None]:
    """Ends the process with one line on standard error, and status 1, where another worker is gone."""
    try:
        yield
    except tf.errors.OpError as error:
        if not (line := lost_worker(error)):
            raise
        print(f"\n{program}: error: {line}", file=sys.stderr)
        sys.exit(1)
