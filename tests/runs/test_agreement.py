"""What the workers of a run make sure of, each seen from a worker beside a chief that is made up."""

import dataclasses

import pytest

from tfdistill.devices.cluster import Cluster
from tfdistill.devices.workers import Workers
from tfdistill.runs import agreement
from tfdistill.runs.checkpoints import Checkpoint
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder


class Beside(Workers):
    """Worker 1 of two, where the chief says what a list holds and has no problems."""

    def __init__(self, said=None):
        super().__init__()
        self.cluster, self.said = Cluster(("a:1", "b:2"), 1), said

    def of_chief(self, values):
        if self.said is None:
            self.said = list(values)  # this call is the chief's own
        return self.said


def flags_of(**changes):
    return RunConfig(networks=("resnet8",), **changes)


def said_by_a_chief_with(config):
    chief = Beside()
    agreement.require_same_flags(chief, config)
    return chief.said


def test_the_same_flags_pass_and_paths_may_differ():
    said = said_by_a_chief_with(flags_of(runs_dir="runs"))
    agreement.require_same_flags(Beside(said), flags_of(runs_dir="/mnt/runs", data_dir="/data", export_dir="/mnt"))


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 64},
        {"learning_rate": 0.5, "steps": 3},
        {"method": "dml", "networks": ("resnet8", "resnet8"), "hyperparameters": {"temperature": 2.0}},
    ],
)
def test_other_flags_are_named(changes):
    said = said_by_a_chief_with(flags_of())
    with pytest.raises(ValueError) as error:
        agreement.require_same_flags(Beside(said), dataclasses.replace(flags_of(), **changes))
    message = str(error.value)
    assert "\n" not in message and all(f"--{name}" in message for name in changes), message
    assert message.endswith("differs from worker 0 (a:1); give every worker the same flags")


def test_the_folder_has_to_be_seen(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError) as error:
        agreement.require_shared_folder(Beside(), folder)
    message = str(error.value)
    assert message.startswith(f"runs_dir: {folder.path}, which worker 0 (a:1) writes to, is not visible here; ")
    folder.open(flags_of())
    agreement.require_shared_folder(Beside(), folder)


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (None, 8, "no checkpoint here and one of step 8 for worker 0 (a:1)"),
        (8, 4, "one of step 8 here and one of step 4"),
    ],
)
def test_the_checkpoint_has_to_be_the_chiefs(tmp_path, here, there, words):
    found = None if here is None else Checkpoint(here, {}, {}, tmp_path)
    with pytest.raises(ValueError, match=r"^runs_dir: ") as error:
        agreement.require_same_checkpoint(Beside([there]), RunFolder(tmp_path), found)
    assert words in str(error.value)


@pytest.mark.parametrize("step", [-1, 8])
def test_the_same_checkpoint_passes(tmp_path, step):
    found = None if step < 0 else Checkpoint(step, {}, {}, tmp_path)
    agreement.require_same_checkpoint(Beside([step]), RunFolder(tmp_path), found)
