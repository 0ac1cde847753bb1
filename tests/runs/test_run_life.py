"""A run from its first start to its results, cut off at the places where its command can be, in this process."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdistill.commands import train
from tfdistill.engine import distiller
from tfdistill.runs import building, checkpoints, ending, interruption, prepared, report, run, run_exports
from tfdistill.runs.folder import RunFolder


def tiny_networks(data):
    """One dense layer a network, which trains in no time."""
    built = []
    for seed, one in enumerate(data.config.specifications):
        images = keras.Input(data.image_shape, name="images")
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(images))
        built.append(keras.Model(images, {"logits": logits}, name=one.name))
    return built


def make_tiny(patch: pytest.MonkeyPatch, exported) -> None:
    patch.setattr(building, "build_networks", tiny_networks)
    patch.setattr(run_exports.export, "export_network", exported)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, card_alone):
    make_tiny(monkeypatch, card_alone)


class Command:
    """One run's command; `folder` is the run's."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "runs" / "one"

    def __call__(self, *more: str) -> int:
        where = [f"--runs_dir={self.root / 'runs'}", f"--export_dir={self.root / 'exports'}", "--run=one"]
        small = ["--networks=resnet8", "--train_examples=64", "--batch_size=16", "--epochs=2", "--nocheck_terms"]
        return train.main([*small, "--checkpoint_seconds=0", *where, *more])

    def results(self) -> dict:
        return json.loads((self.folder / "results.json").read_text())


@pytest.fixture(scope="module")
def begun(tmp_path_factory, card_alone) -> Command:
    """A run that has come to the end of its first epoch; take copies of it."""
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch, card_alone)
        one = Command(tmp_path_factory.mktemp("begun"))
        assert one("--steps=4") == 0
    return one


@pytest.fixture(scope="module")
def undisturbed(begun, tmp_path_factory, card_alone) -> Command:
    """The same run at its end."""
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch, card_alone)
        one = Command(tmp_path_factory.mktemp("undisturbed"))
        assert one() == 0
    return one


@pytest.fixture
def command(tmp_path) -> Command:
    """A run that has not begun."""
    return Command(tmp_path)


@pytest.fixture
def half(begun, tmp_path) -> Command:
    """A run that has come to the end of its first epoch."""
    shutil.copytree(begun.root, tmp_path, dirs_exist_ok=True)
    return Command(tmp_path)


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: lines.append(message % args))
    return lines


def without_times(results: dict) -> dict:
    return {name: value for name, value in results.items() if name not in ("seconds", "images_per_second")}


def assert_same_weights(one: Command, other: Command) -> None:
    first, second = (checkpoints.newest(command.folder / "checkpoints") for command in (one, other))
    assert first.step == second.step and first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array, err_msg=name)


def steps_of(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in (folder / "checkpoints").iterdir())


def ended(command: Command, *flags: str) -> int:
    try:
        return command(*flags)
    except SystemExit as stopped:
        return int(stopped.code)


def refused(command: Command, capsys, *flags: str) -> str:
    capsys.readouterr()
    status = ended(command, *flags)
    output, error = capsys.readouterr()
    assert status == 2 and output == "" and error.count("\n") == 1, error
    return error.removeprefix("train.py: error: ").strip()


# What a stopped process leaves behind.


def test_a_run_that_stops_within_an_epoch_goes_on_with_the_whole_epochs_sums(half, undisturbed):
    assert half("--steps=6") == 0 and half() == 0
    assert_same_weights(half, undisturbed)
    rows = [row_of_epoch_2(one.folder) for one in (half, undisturbed)]
    assert rows[0] == rows[1] and "resnet8/cross_entropy" in rows[0]


def row_of_epoch_2(folder: Path) -> dict[str, str]:
    row = list(csv.DictReader((folder / "epochs.csv").read_text().splitlines()))[1]
    return {name: value for name, value in row.items() if name != "images_per_second"}


def test_a_run_with_no_step_left_comes_to_its_end(half):
    before, newest = half.results(), checkpoints.newest(half.folder / "checkpoints")
    (half.folder / "results.json").unlink()
    shutil.rmtree(half.root / "exports" / "one" / "resnet8" / "1")
    assert half("--steps=4") == 0
    assert half.results()["networks"] == before["networks"] and half.results()["step"] == 4
    assert (half.root / "exports" / "one" / "resnet8" / "1" / "model_card.json").is_file()
    assert checkpoints.newest(half.folder / "checkpoints").metadata == newest.metadata


@pytest.mark.parametrize("finished", [True, False])
def test_the_next_start_removes_what_killed_processes_left(half, monkeypatch, finished):
    listed = []
    monkeypatch.setattr(run_exports.export, "repair_models_config", lambda folder: listed.append(folder.name))
    left = [half.folder / ".epochs.csv.4194999", half.folder / ".flags.json.4194999"]
    for path in left:
        path.write_text("half")
    left += [half.root / "exports" / "one" / ".export-1", half.root / "exports" / "one" / "resnet8" / ".export-2"]
    for path in left[2:]:
        path.mkdir()
    (half.folder / "checkpoints" / "step_00000009.writing").mkdir()
    newest = max((half.folder / "checkpoints").glob("step_????????"))
    newest.rename(newest.with_name(newest.name + ".replaced"))
    if not finished:
        (half.folder / "results.json").unlink()
    assert half("--steps=4") == 0
    assert not any(path.exists() for path in left)
    assert {path.suffix for path in (half.folder / "checkpoints").iterdir()} == {""} and newest.is_dir()
    assert listed == ["one"], "models.config is written anew"


def test_epochs_csv_is_written_anew_from_the_checkpoint(half, undisturbed):
    (half.folder / "epochs.csv").write_text("by hand")
    assert half() == 0
    assert_same_weights(half, undisturbed)
    rows, wanted = (list(csv.DictReader((one.folder / "epochs.csv").open())) for one in (half, undisturbed))
    assert [{**row, "images_per_second": ""} for row in rows] == [{**row, "images_per_second": ""} for row in wanted]


def test_the_same_command_exports_what_could_not_be_exported(half, monkeypatch, capsys):
    (half.folder / "results.json").unlink()
    shutil.rmtree(half.root / "exports")
    with monkeypatch.context() as patch:
        patch.setattr(run_exports.export, "export_network", refusing)
        assert half("--steps=4") == 1
    assert "resnet8 is not exported: no space" in capsys.readouterr().err
    assert half.results()["failed_exports"] == {"resnet8": "no space"}
    assert half("--steps=4") == 0 and "failed_exports" not in half.results()
    assert list(half.results()["exports"]) == ["resnet8"]


def test_a_run_that_ended_without_exports_is_exported_when_that_is_asked_for(command, capsys):
    assert command("--noexport") == 0 and not (command.root / "exports").exists()
    assert command("--noexport") == 0 and "is finished at step 8" in capsys.readouterr().out
    assert command() == 0
    assert list(command.results()["exports"]) == ["resnet8"]
    assert (command.root / "exports" / "one" / "resnet8" / "1" / "model_card.json").is_file()


def refusing(*arguments, **keywords):
    raise OSError("no space")


# Whose a checkpoint is.


def put(command: Command, step: int, **changes) -> Path:
    """The newest checkpoint once more, as one of a later step and, perhaps, of another training."""
    found = checkpoints.newest(command.folder / "checkpoints")
    metadata = {**found.metadata, "flags": {**found.metadata["flags"], **changes}}
    return checkpoints.save(command.folder / "checkpoints", step, found.arrays, metadata, keep=9)


def test_checkpoints_of_other_trainings_are_passed_over(half, undisturbed, warnings, capsys):
    """Of another seed, whose shapes are this run's, and one without identity of another network."""
    own = checkpoints.newest(half.folder / "checkpoints")
    arrays = dict(list(own.arrays.items())[1:])
    metadata = {name: value for name, value in own.metadata.items() if name != "flags"}
    seeded = put(half, 6, seed=7, networks=["resnet14"])
    nameless = checkpoints.save(half.folder / "checkpoints", 5, arrays, metadata, keep=9)
    assert half() == 0
    lines = [line for line in warnings if "of another training" in line]
    assert str(seeded) in lines[0] and "--networks=resnet8 (it was resnet14), --seed=1 (it was 7)" in lines[0]
    assert str(nameless) in lines[1] and "no array for variable 'networks/resnet8/" in lines[1]
    assert f"going on from {own.path}" in capsys.readouterr().out
    assert_same_weights(half, undisturbed)


def test_where_no_checkpoint_fits_one_line_says_why(half, warnings, capsys):
    seeded = put(half, 6, seed=7)
    shutil.rmtree(half.folder / "checkpoints" / "step_00000003")
    shutil.rmtree(half.folder / "checkpoints" / "step_00000004")
    message = refused(half, capsys)
    assert str(half.folder / "checkpoints") in message and f"{seeded.name} (--seed=1 (it was 7))" in message
    assert steps_of(half.folder) == [6]


def test_checkpoints_from_before_there_were_identities_load(half, undisturbed, warnings):
    for path in (half.folder / "checkpoints").iterdir():
        found = checkpoints.read(path)
        metadata = {name: value for name, value in found.metadata.items() if name != "flags"}
        assert len(metadata) == len(found.metadata) - 1
        checkpoints.save(half.folder / "checkpoints", found.step, found.arrays, metadata)
    assert half() == 0 and not [line for line in warnings if "checkpoint" in line]
    assert_same_weights(half, undisturbed)


# Flags of a run that has begun, or has not.


def test_a_start_that_came_to_no_checkpoint_takes_other_flags(command, undisturbed, capsys):
    assert command("--learning_rate=1e30", "--checkpoint_seconds=1000") == 1
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0 and "is not finite at step 3, " in error
    assert command() == 0
    output = capsys.readouterr().out
    assert "begins anew with --learning_rate=None (it was 1e+30)" in output
    assert (command.folder / "logs.old" / "training").is_dir() and "logs.old" in output
    assert_same_weights(command, undisturbed)


def test_flags_are_checked_again_under_the_lock(command, begun, monkeypatch, capsys):
    """Another command has begun and ended between this one's first look and its lock."""
    lock = RunFolder.lock

    def meanwhile(folder):
        shutil.copytree(begun.root, command.root, dirs_exist_ok=True)
        return lock(folder)

    monkeypatch.setattr(RunFolder, "lock", meanwhile)
    assert "--seed=5 (it was 1)" in refused(command, capsys, "--seed=5")
    assert json.loads((command.folder / "flags.json").read_text())["seed"] == 1


def test_a_run_may_become_longer_where_its_rates_stay(command, tmp_path, capsys):
    other, flags = Command(tmp_path / "other"), ("--milestones=1,3", "--train_examples=32")
    assert command(*flags) == 0 and command(*flags, "--epochs=4") == 0 == other(*flags, "--epochs=4")
    assert command.results()["step"] == 8
    assert_same_weights(command, other)
    capsys.readouterr()
    assert command(*flags, "--epochs=4") == 0
    assert "is finished at step 8" in capsys.readouterr().out
    assert "it was 4; a run becomes no shorter, --steps" in refused(command, capsys, *flags, "--epochs=3")


def test_a_run_whose_past_rates_would_have_been_others_is_told_so(half, capsys):
    message = refused(half, capsys, "--epochs=4")
    assert message.startswith("--epochs=4 (it was 2; the milestones would move from 1,1.5 to 2,3")
    assert "give another --run" in message


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"seed": 1}', '{"hyperparameters": {}, "epochs": "two"}', "\x00\xff", "[" * 99999]
)
@pytest.mark.parametrize("file", ["flags.json", "results.json"])
def test_a_damaged_file_is_one_line_that_names_it(half, capsys, file, text):
    (half.folder / file).write_text(text, encoding="latin-1")
    message = refused(half, capsys)
    assert message.startswith(str(half.folder / file)) and (file == "flags.json" or "; remove it, and " in message)


def test_a_run_without_its_flags_file_goes_on_by_its_checkpoints(half, undisturbed, capsys):
    (half.folder / "flags.json").unlink()
    assert "--seed=2 (it was 1)" in refused(half, capsys, "--seed=2")
    assert half() == 0
    assert_same_weights(half, undisturbed)


# Signals.


def signalled_in(monkeypatch, owner, name: str, number: int) -> None:
    """The first call of a function is when the signal comes."""
    real = getattr(owner, name)

    def first(*arguments, **keywords):
        monkeypatch.setattr(owner, name, real)
        os.kill(os.getpid(), number)
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, name, first)


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (prepared.RunData, "read", signal.SIGINT),
        (prepared, "build_distiller", signal.SIGTERM),
        (distiller.Distiller, "train_step", signal.SIGINT),
    ],
    ids=["data", "networks", "tracing"],
)
def test_a_signal_before_the_first_step_is_one_line(command, monkeypatch, capsys, owner, name, number):
    signalled_in(monkeypatch, owner, name, number)
    before = [signal.getsignal(one) for one in interruption.SIGNALS]
    assert command() == 128 + number
    assert [signal.getsignal(one) for one in interruption.SIGNALS] == before, "handled otherwise in the command only"
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"train.py: stopped by {number.name} while ") and error.count("\n") == 0
    assert error.endswith("the same command goes on from there") and not list(command.folder.glob("checkpoints/*"))


def test_a_signal_after_the_last_step_stops_at_once(half, monkeypatch, capsys):
    """While data is scored that is scored once, while networks are exported, and before the results are written."""
    (half.folder / "results.json").unlink()
    shutil.rmtree(half.root / "exports")
    for owner, name, doing in (
        (ending.Ending, "_final_scores", "it scored at step 4, which was saved"),
        (run_exports.export, "export_network", "it exported step 4, which was saved"),
        (report, "network_results", "it exported step 4, which was saved"),
    ):
        monkeypatch.setattr(prepared.RunData, "monitors", property(twice))
        signalled_in(monkeypatch, owner, name, signal.SIGTERM)
        assert half("--steps=4") == 143
        error = capsys.readouterr().err.strip()
        assert error == f"train.py: stopped by SIGTERM while {doing}; the same command goes on from there"
        assert not (half.folder / "results.json").exists()
    assert half("--steps=4") == 0
    assert set(half.results()["other_scores"]) == {"again"}


def twice(one: prepared.RunData) -> dict:
    """The test data under two names, so that a split is scored once, at the end."""
    return {"test": one.dataset.test, "again": one.dataset.test}


def test_the_second_signal_ends_the_process(command, monkeypatch):
    handlers = []

    def look(config):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            handlers.extend(signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT))

    monkeypatch.setattr(prepared.RunData, "read", look)
    assert command() == 130
    assert handlers == [signal.SIG_DFL, signal.SIG_DFL]


# A disk that takes no more.


def test_a_file_that_cannot_be_written_is_one_line_and_the_run_goes_on_later(command, undisturbed, monkeypatch, capsys):
    replace = os.replace
    for file, number in (("flags.json", errno.EROFS), ("epochs.csv", errno.ENOSPC), ("results.json", errno.EDQUOT)):

        def full_for_one(source, target, file=file, number=number):
            if Path(target).name == file:
                raise OSError(number, os.strerror(number))
            replace(source, target)

        monkeypatch.setattr(os, "replace", full_for_one)
        assert ended(command, "--checkpoint_seconds=1000") in (1, 2)
        error = capsys.readouterr().err.strip()
        assert error.count("\n") == 0, error
        assert f"{command.folder / file}: cannot be written: {os.strerror(number)}" in error
        if file == "epochs.csv":
            assert "step 4 was saved; once that is mended, the same command goes on from there" in error
            assert steps_of(command.folder) == [4]
        assert not [path for path in command.folder.glob(".*") if path.name != ".lock"]
    monkeypatch.setattr(os, "replace", replace)
    assert command() == 0
    assert_same_weights(command, undisturbed)
    assert command.results()["networks"] == undisturbed.results()["networks"]


def test_a_checkpoint_that_finds_no_room_says_how_to_go_on(half, monkeypatch, capsys):
    def no_room(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", no_room)
        assert half() == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("train.py: error: step 5 was not written to ") and error.count("\n") == 0
    assert error.endswith("No space left on device; once that is mended, the same command goes on")
    assert max(steps_of(half.folder)) == 4


def test_events_that_cannot_be_written_stop_the_run_with_what_it_trained_saved(half, monkeypatch, capsys):
    def no_room(*arguments, **keywords):
        raise tf.errors.ResourceExhaustedError(None, None, "{{node x}} events.v2; No space left on device\n\tmore")

    with monkeypatch.context() as patch:
        patch.setattr(tf.summary, "scalar", no_room)
        assert half("--checkpoint_seconds=1000") == 1
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert error.startswith(f"train.py: error: {half.folder / 'logs'}: events cannot be written: No space left on")
    assert "step 8 was saved" in error and 8 in steps_of(half.folder)
    assert half() == 0
    events = EventAccumulator(str(half.folder / "logs" / "evaluation")).Reload()
    assert [point.step for point in events.Tensors("resnet8/accuracy")] == [4, 8], "the cut off epoch is made up for"


def test_an_output_that_nobody_reads_any_more_stops_the_run_with_what_it_trained_saved(half, monkeypatch, capsys):
    def closed(*arguments, **keywords):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(run.watching.Progress, "on_epoch_end", closed)
    assert half("--checkpoint_seconds=1000") == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("train.py: error: the output: Broken pipe; step 8 was saved; ") and error.count("\n") == 0


# Numbers that are none.


def test_a_variable_that_is_no_number_is_never_saved(half, monkeypatch, capsys):
    """One that no loss has met yet: the momentum of a bias."""
    real = run.callbacks.Record.on_train_batch_end

    def spoil(record, batch, logs=None):
        real(record, batch, logs)
        if record.model.steps_trained == 6:
            variables = [one for name, one in record.model.state().items() if name.startswith("optimizers/")]
            slot = next(one for one in variables if tuple(one.shape) == (10,))
            slot.assign(np.full(10, np.nan, "float32"))

    monkeypatch.setattr(run.callbacks.Record, "on_train_batch_end", spoil)
    assert half() == 1
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0 and "optimizer resnet8: variable" in error and "not finite at step 6" in error
    assert steps_of(half.folder) == [4, 5]
