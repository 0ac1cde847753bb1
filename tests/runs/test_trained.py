"""Reading a run's newest checkpoint, beside a training that goes on."""

import numpy as np
import pytest

from tfdistill.runs import checkpoints, trained
from tfdistill.runs.folder import RunFolder


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    one = RunFolder(tmp_path / "run")
    for step in (3, 5):
        checkpoints.save(one.checkpoints, step, {"networks/a/0000/kernel": np.float32([step])}, {"rows": []})
    return one


def damage(folder: RunFolder, step: int) -> None:
    path = folder.checkpoints / f"step_{step:08d}" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-1])


def test_the_newest_whole_checkpoint_is_read(folder):
    assert trained.newest_checkpoint(folder).step == 5
    damage(folder, 5)
    assert trained.newest_checkpoint(folder).step == 3


def test_checkpoints_that_are_all_damaged_are_refused(folder):
    damage(folder, 3)
    damage(folder, 5)
    with pytest.raises(ValueError, match=r"run: every checkpoint .* is damaged"):
        trained.newest_checkpoint(folder)


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"run: .* no checkpoint yet"):
        trained.newest_checkpoint(RunFolder(tmp_path))


def test_checkpoints_removed_while_they_are_read_are_looked_for_again(folder, monkeypatch):
    read, calls = checkpoints.newest, []

    def removed_meanwhile(path, **others):
        calls.append(path)
        if len(calls) == 1:
            raise checkpoints.CheckpointError("every checkpoint is damaged: arrays.npz: No such file or directory")
        return read(path, **others)

    monkeypatch.setattr(checkpoints, "newest", removed_meanwhile)
    assert trained.newest_checkpoint(folder).step == 5 and len(calls) == 2
