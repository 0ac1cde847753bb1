"""A run's folder: who may open it, and what is written there."""

import csv
import dataclasses
import fcntl
import json

import pytest

from tfdistill import files
from tfdistill.commands import command_line
from tfdistill.runs import checkpoints
from tfdistill.runs import folder as run_folder
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder

CONFIG = RunConfig(
    method="ie_dml",
    networks=("resnet8:elsewhere/a, b.npz", "resnet14"),
    run="mine",
    milestones=(2.0, 3.5),
    nesterov=False,
    export=False,
    hyperparameters={"inheritance_weight": 7.0, "leading_activation": False},
)


@pytest.fixture
def folder(tmp_path):
    opened = RunFolder(tmp_path / "runs" / "mine")
    opened.open(CONFIG)
    opened.write_flags(CONFIG, {"keras": "3"})
    return opened


def test_nothing_is_written_before_open(tmp_path):
    fresh = RunFolder(tmp_path / "runs" / "mine")
    fresh.check(CONFIG)
    assert fresh.finished() is None and list(tmp_path.iterdir()) == []


def test_open_writes_flags_and_versions(folder):
    assert json.loads(folder.flags.read_text()) == json.loads(json.dumps(CONFIG.to_dict()))
    assert json.loads((folder.path / "versions.json").read_text()) == {"keras": "3"}
    assert run_folder.read_config(folder.path).to_dict() == CONFIG.to_dict()


def test_flags_that_change_the_training_are_refused_by_name(folder):
    checkpoints.save(folder.checkpoints, 1, {}, {})
    changed = dataclasses.replace(CONFIG, batch_size=7, hyperparameters={"leading_activation": False})
    with pytest.raises(ValueError) as caught:
        folder.check(changed)
    message = str(caught.value)
    assert message.startswith("--batch_size=7 (it was 0), --ie_dml.inheritance_weight=") and "--run" in message
    assert " (it was 7.0): " in message and str(folder.path) in message
    assert "--ie_dml.leading_activation" not in message and "\n" not in message


def test_flags_that_do_not_change_the_training_are_accepted(folder):
    folder.check(dataclasses.replace(CONFIG, steps=4, export=True, checkpoint_seconds=1.0))


def test_a_folder_that_another_holds_is_refused_and_free_when_let_go(folder):
    before = (folder.path / "versions.json").read_text()
    second = RunFolder(folder.path)
    with pytest.raises(ValueError, match=r"run: another process .*--run"):
        second.open(CONFIG)
    assert (folder.path / "versions.json").read_text() == before
    folder._lock.close()
    second.open(CONFIG)
    with open(folder.path / ".lock") as third, pytest.raises(OSError):
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        RunConfig(),
        RunConfig(schedule="cosine", milestones=(), momentum=0.0, nesterov=False),
        RunConfig(method="dml", also=("kd",), hyperparameters={"temperature": 2.0, "kd.weight": 0.5}),
        RunConfig(dataset="image_folder", split=(0.8, 0.1, 0.1), split_seed=3, teacher=("a,b/run",), also=("kd",)),
    ],
)
def test_the_flagfile_repeats_the_run(tmp_path, config):
    path = tmp_path / "flags.flags"
    path.write_text(run_folder.flagfile(config))
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={path}"])
    assert command_line.run_config(values).to_dict() == config.to_dict()


def test_epochs_csv_has_a_row_per_epoch_and_every_column(folder):
    folder.write_epochs([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "val_loss": 3.0}])
    with open(folder.path / "epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "1", "loss": "2.5", "val_loss": ""},
        {"epoch": "2", "loss": "2.0", "val_loss": "3.0"},
    ]


def test_writing_leaves_the_old_text_whole_if_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "one.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    seen = []
    replace = files.os.replace

    def watched(source, target):
        seen.append((path.read_text(), json.loads(source.read_text())))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", watched)
    files.write_json(path, {"a": 2})
    assert seen == [('{\n  "a": 1\n}\n', {"a": 2})], "the new text is whole before it takes the old one's place"
    assert json.loads(path.read_text()) == {"a": 2} and [one.name for one in tmp_path.iterdir()] == ["one.json"]


def test_finished_reads_the_results(folder):
    assert folder.finished() is None
    files.write_json(folder.results, {"step": 3, "planned_steps": 4})
    assert folder.finished() == {"step": 3, "planned_steps": 4}


def test_a_run_that_was_killed_while_it_grew_is_not_finished(tmp_path):
    short, long = (
        RunConfig(networks=("resnet8",), epochs=epochs, schedule="constant", export=False) for epochs in (2, 4)
    )
    grown = RunFolder(tmp_path)
    files.write_json(grown.results, {"step": 8, "planned_steps": 8, "flags": short.to_dict()})
    grown.write_flags(short, {})
    assert grown.is_finished(short) and not grown.is_finished(long)
    grown.write_flags(long, {})
    assert not grown.is_finished(long), "the flags are of the start that was killed, the results of the one before"


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"run: .*flags.json"):
        run_folder.read_config(tmp_path)


def test_existing_finds_a_run_or_names_the_nearest(folder):
    runs_dir = folder.path.parent
    assert run_folder.existing(runs_dir, "mine").path == folder.path
    for name in ("mien", "nowhere"):
        with pytest.raises(ValueError, match=r"run: .*nearest: mine"):
            run_folder.existing(runs_dir, name)
    with pytest.raises(ValueError, match=r"^run: is not given; give one of those in .*, such as --run=mine$"):
        run_folder.existing(runs_dir, "")
    with pytest.raises(ValueError, match="--runs_dir"):
        run_folder.existing(runs_dir / "absent", "mine")


def test_a_folder_of_runs_that_is_a_file_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(ValueError, match=rf"^runs_dir: {tmp_path / 'file'} is no folder; give another --runs_dir$"):
            RunFolder(path / "run").check(CONFIG)
