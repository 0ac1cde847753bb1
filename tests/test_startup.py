import runpy
import sys

import pytest

from tfdistill import startup


@pytest.fixture
def run(monkeypatch):
    """What running the module leaves in the environment's variable."""

    def run(before, *, tensorflow):
        if before is None:
            monkeypatch.delenv(startup.ONEDNN, raising=False)
        else:
            monkeypatch.setenv(startup.ONEDNN, before)
        if not tensorflow:
            monkeypatch.delitem(sys.modules, "tensorflow")
        module = runpy.run_path(startup.__file__)
        return module["os"].environ.get(startup.ONEDNN), module["onednn"]()

    return run


def test_onednn_is_switched_on_before_tensorflow(run):
    assert run(None, tensorflow=False) == ("1", "enabled")


def test_the_users_choice_stays(run):
    assert run("0", tensorflow=False) == ("0", "disabled")


def test_after_tensorflow_nothing_is_claimed(run):
    assert run(None, tensorflow=True) == (None, "TensorFlow's choice")
