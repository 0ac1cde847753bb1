"""Processes of trainings: what they are told of the machine, and that none outlives who started it."""

import os
import signal
import subprocess
import sys

import pytest

from tfdistill.commands.tabling import children
from tfdistill.commands.tabling.children import GPUS, THREADS, environment


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    for name in (*THREADS, GPUS):
        monkeypatch.delenv(name, raising=False)


def test_trainings_share_cores_and_have_a_gpu_each(monkeypatch):
    shared = environment(1, 2, cores=8, gpus=["4", "5"])
    assert {name: shared[name] for name in THREADS} == dict.fromkeys(THREADS, "4") and shared[GPUS] == "5"
    assert "TF_FORCE_GPU_ALLOW_GROWTH" not in shared
    crowded = environment(2, 3, cores=2, gpus=["0", "1"])
    assert (crowded[THREADS[0]], crowded[GPUS], crowded["TF_FORCE_GPU_ALLOW_GROWTH"]) == ("1", "0", "true")
    alone = environment(0, 1, cores=8, gpus=["0", "1"])
    assert not {*THREADS, GPUS} & set(alone), "one training has the whole machine, as without the command"
    monkeypatch.setenv(THREADS[0], "3")
    assert environment(0, 2, cores=8, gpus=[])[THREADS[0]] == "3"


@pytest.mark.parametrize(("told", "found"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-1a", ["GPU-1a"])])
def test_gpus_are_those_that_the_user_leaves_visible(told, found, monkeypatch):
    monkeypatch.setenv(GPUS, told)
    assert children.visible_gpus() == found


STARTER = """
import os, sys
from tfdistill.commands.tabling.children import process_of
# The child holds this process' standard output open as long as it lives.
process_of([sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"], os.environ, None).wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_training_ends_when_the_command_is_killed():
    environ = {**os.environ, "PYTHONPATH": str(children.PACKAGE.parent)}
    with subprocess.Popen([sys.executable, "-c", STARTER], env=environ, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "up\n"
        os.kill(command.pid, signal.SIGKILL)
        # The pipe ends with the last process that holds it, which is the child.
        assert command.stdout.read() == ""
    assert command.returncode == -signal.SIGKILL


def test_the_last_line_is_of_this_start(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("an earlier start failed\n")
    child = children.Child(None, log, log.stat().st_size)
    assert child.last_line() == ""
    with log.open("a") as file:
        file.write("epoch 1\repoch 2\nit went wrong \n\n")
    assert child.last_line() == "it went wrong"
