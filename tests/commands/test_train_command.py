"""The commands as a user calls them: what they refuse, and one small run from training to its exports' scores."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdistill.commands import evaluate, evaluating, exporting, train
from tfdistill.commands import export as export_run
from tfdistill.runs import checkpoints
from tfdistill.runs.folder import RunFolder

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """A run sets Keras' global precision."""
    policy = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True)
def _undisturbed():
    with nothing_left_behind():
        yield


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def refused(main, arguments: list[str], capsys) -> str:
    """The one line that a command refuses with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output, error = capsys.readouterr()
    assert ended.value.code == 2 and output == ""
    assert error.count("\n") == 1 and error.endswith("\n"), error
    program, word, message = error.strip().split(": ", 2)
    assert program.endswith(".py") and word == "error"
    return message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--method=supervisd", ["method", "nearest: supervised"]),
        ("--networks=resnt20", ["networks", "'resnet20'"]),
        ("--networks=resnet21", ["networks", "resnet21", "20 and 26"]),
        ("--networks=mobilenet_v2", ["networks", "mobilenet_v2", "8 x 8"]),
        ("--networks=resnet8:{tmp}/absent", ["networks", "there is no", "absent"]),
        ("--networks=resnet20:imagenet", ["networks", "resnet20", "Keras has ImageNet weights for its own networks"]),
        ("--dataset=digit", ["dataset", "nearest: digits"]),
        ("--dataset=image_folder --image_size=8", ["data_dir"]),
        ("--dataset=image_folder --image_size=8 --data_dir={tmp}/absent", ["data_dir", "absent"]),
        ("--dataset=image_folder --data_dir={tmp}", ["image_size"]),
        ("--dataset=cifar10 --nodownload --data_dir={tmp}/absent", ["data_dir", "cifar10", "absent"]),
        ("--image_size=9", ["image_size", "8"]),
        ("--normalization=imagenet", ["normalization", "imagenet"]),
        ("--batch_size=1438", ["batch_size", "1437"]),
        ("--batch_size=33 --strategy=mirrored --replicas=2", ["batch_size", "2 replicas"]),
        ("--replicas=2", ["replicas", "mirrored"]),
        ("--epochs=-1", ["epochs", "-1"]),
        ("--train_examples=1438", ["train_examples", "1437"]),
        ("--train_examples=1200 --validation_share=0.5", ["train_examples", "1200"]),
        ("--validation_share=0.0001", ["validation_share", "0.0001"]),
        ("--learning_rate=-1", ["learning_rate", "-1"]),
        ("--seed=-1", ["seed", "-1"]),
        ("--run=..", ["run: must be a name", "not .."]),
        ("--dml.temperature=2", ["dml.temperature", "supervised"]),
        ("--method=dml --networks=resnet8", ["networks", "two"]),
        ("--method=dml --networks=resnet8,resnet8 --dml.temperature=-1", ["dml.temperature", "-1"]),
        ("--bach_size=3", ["bach_size", "batch_size"]),
        ("--epochs=many", ["epochs", "many"]),
        ("--flagfile={tmp}/absent.flags", ["flagfile", "absent.flags"]),
        ("resnet20", ["'resnet20'"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, words, tmp_path, capsys):
    given = [f"--runs_dir={tmp_path}/runs", f"--export_dir={tmp_path}/exports", "--networks=resnet8"]
    message = refused(train.main, [*given, *arguments.format(tmp=tmp_path).split()], capsys)
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_the_script_ends_with_status_2_and_no_traceback(tmp_path):
    command = [sys.executable, str(LAUNCH / "train.py"), "--bach_size=3"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("train.py: error: ") and "batch_size" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("main", "flag"), [(train.main, "--epochs"), (evaluate.main, "--split"), (export_run.main, "--export_epoch")]
)
def test_help_lists_the_flags(main, flag, capsys):
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("usage: ") and f"  {flag}=" in output and "--run=" in output


def test_list_names_what_there_is(capsys):
    assert train.main(["--list"]) == 0
    assert {"ie_dml", "resnet<depth>", "digits"} <= set(capsys.readouterr().out.split())


# One run, from its training to the scores of its export. The tests below read it.


class Finished:
    """A run that `train.main` has brought to its end."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs, self.folder = root, root / "runs", root / "runs" / "small"
        self.arguments = [
            "--run=small",
            f"--runs_dir={self.runs}",
            f"--export_dir={root / 'exports'}",
            "--networks=resnet8",
            "--train_examples=64",
            "--batch_size=32",
            "--epochs=1",
            "--strategy=one",
            "--noexport",
        ]
        output = io.StringIO()
        with nothing_left_behind(), contextlib.redirect_stdout(output):
            self.status = train.main(self.arguments)
        self.output = output.getvalue()
        self.results = json.loads((self.folder / "results.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def exported(run) -> Path:
    """The version that `export.py` writes while somebody else holds the run's lock, as a training does."""
    holder = RunFolder(run.folder)
    holder.open(train.RunConfig.from_dict(json.loads(holder.flags.read_text())))
    before = contents(run.folder)
    with nothing_left_behind(), contextlib.redirect_stdout(io.StringIO()) as output:
        status = export_run.main(["--run=small", f"--runs_dir={run.runs}"])
    holder._lock.close()
    version = run.root / "exports" / "small" / "resnet8" / "1"
    assert status == 0 and f"resnet8: {version}" in output.getvalue()
    assert contents(run.folder) == before, "an export leaves the run's folder alone"
    return version


def test_the_run_ends_with_a_table(run):
    assert run.status == 0
    line = next(line for line in run.output.splitlines() if line.startswith("resnet8 "))
    accuracy = f"{run.results['networks'][0]['last']['accuracy']:.2%}"
    assert line.split() == ["resnet8", "77,754", accuracy, accuracy, "1"]
    assert str(run.folder / "results.json") in run.output


def test_the_results_say_what_was_done(run):
    (network,) = run.results["networks"]
    assert (network["name"], network["parameters"], network["best_epoch"]) == ("resnet8", 77754, 1)
    assert 0 <= network["last"]["accuracy"] == network["best_accuracy"] <= network["last"]["top5"] <= 1
    facts = {name: run.results[name] for name in ("run", "step", "planned_steps", "epochs", "batch_size", "scored_on")}
    assert facts == {
        "run": "small",
        "step": 2,
        "planned_steps": 2,
        "epochs": 1.0,
        "batch_size": 32,
        "scored_on": "test",
    }
    assert set(run.results["training_terms"]) == {"resnet8/loss", "resnet8/cross_entropy", "resnet8/accuracy"}
    assert run.results["images_per_second"] > 0 and run.results["seconds"] > 0
    assert run.results["exports"] == {} and run.results["flags"]["train_examples"] == 64


def test_the_folder_has_flags_versions_epochs_and_a_checkpoint(run):
    assert json.loads((run.folder / "flags.json").read_text()) == run.results["flags"]
    assert "--train_examples=64\n" in (run.folder / "flags.flags").read_text()
    assert set(run.results["versions"]) == {
        *("tfdistill", "tensorflow", "keras", "numpy", "tensorflow-datasets"),
        *("python", "machine", "devices", "onednn", "onednn_products", "tensor_float_32"),
    }
    with open(run.folder / "epochs.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["epoch"], row["step"], float(row["learning_rate/resnet8"])) == ("1", "2", pytest.approx(0.01))
    assert float(row["val_resnet8/accuracy"]) == run.results["networks"][0]["last"]["accuracy"]
    assert checkpoints.newest(run.folder / "checkpoints").step == 2


def test_tensorboard_has_accuracies_rates_speed_and_flags(run):
    events = {part: EventAccumulator(str(run.folder / "logs" / part)).Reload() for part in ("training", "evaluation")}
    tags = {part: set(one.Tags()["tensors"]) for part, one in events.items()}
    assert {"resnet8/accuracy", "resnet8/loss", "learning_rate/resnet8", "images_per_second", "flags"} <= tags[
        "training"
    ]
    assert {"resnet8/accuracy", "resnet8/top5", "resnet8/cross_entropy"} <= tags["evaluation"]
    (point,) = events["evaluation"].Tensors("resnet8/accuracy")
    assert point.step == 2
    assert tf.make_ndarray(point.tensor_proto) == np.float32(run.results["networks"][0]["last"]["accuracy"])
    (text,) = events["training"].Tensors("flags")
    assert b"--batch_size=32" in tf.make_ndarray(text.tensor_proto).item()


def test_the_same_command_again_does_nothing(run, capsys):
    before = contents(run.folder)
    assert train.main(run.arguments) == 0
    said = capsys.readouterr()
    assert "is finished at step 2" in said.out and "note:" not in said.err
    assert train.main([*run.arguments, "--data_dir=dogs"]) == 0
    said = capsys.readouterr().err
    assert "note: data_dir: the run is finished with none, and not with dogs: it was not looked at; give anoth" in said
    assert contents(run.folder) == before


def test_other_flags_are_refused_by_name(run, capsys):
    before = contents(run.folder)
    message = refused(train.main, [*run.arguments, "--batch_size=16"], capsys)
    assert message.startswith("--batch_size=16 (it was 32): ") and "--run" in message
    assert contents(run.folder) == before


def close_to(results: dict) -> dict:
    return {name: pytest.approx(value, rel=1e-5, abs=1e-6) for name, value in results["networks"][0]["last"].items()}


def test_evaluate_agrees_with_the_run(run, tmp_path, capsys):
    before = contents(run.folder)
    file = tmp_path / "scores.json"
    assert evaluate.main(["--run=small", f"--runs_dir={run.runs}", "--batch_size=100", f"--json={file}"]) == 0
    found = json.loads(file.read_text())
    assert found["scores"] == {"resnet8": close_to(run.results)}
    facts = {name: found[name] for name in ("step", "dataset", "split", "examples")}
    assert facts == {"step": 2, "dataset": "digits", "split": "test", "examples": 360}
    assert f"{found['scores']['resnet8']['accuracy']:.2%}" in capsys.readouterr().out
    assert contents(run.folder) == before and [one.name for one in tmp_path.iterdir()] == ["scores.json"]


def test_evaluate_scores_the_training_split(run, capsys):
    assert evaluate.main(["--run=small", f"--runs_dir={run.runs}", "--split=train"]) == 0
    assert "1437 train examples of digits" in capsys.readouterr().out


def test_an_export_has_the_card_of_the_run(run, exported):
    card = json.loads((exported / "model_card.json").read_text())
    assert (card["run"], card["step"], card["method"]) == ("small", 2, "supervised")
    assert card["data"] == {"name": "digits", "image_shape": [8, 8, 1], "train_examples": 64, "test_examples": 360}
    assert card["accuracy"]["last"] == run.results["networks"][0]["last"]
    assert (exported.parents[1] / "models.config").is_file()


def test_the_same_export_is_said_and_not_written_again(run, exported, capsys):
    before = contents(run.root / "exports")
    assert export_run.main(["--run=small", f"--runs_dir={run.runs}", "--network=resnet8"]) == 0
    assert f"{exported} is of this step already" in capsys.readouterr().out
    assert contents(run.root / "exports") == before


def test_again_writes_a_new_version(run, exported, monkeypatch, capsys):
    asked = []

    def instead_of_exporting(network, folder, **arguments):
        asked.append((network.name, folder, arguments["card"]["step"], arguments["bad_images"]))
        return folder / "2"

    monkeypatch.setattr(exporting.run_exports.export, "export_network", instead_of_exporting)
    assert export_run.main(["--run=small", f"--runs_dir={run.runs}", "--again", "--export_bad_images=mark"]) == 0
    assert asked == [("resnet8", exported.parent, 2, "mark")]
    assert f"resnet8: {exported.parent / '2'}\n" in capsys.readouterr().out


def test_a_saved_model_scores_as_its_run(run, exported, tmp_path, capsys):
    file = tmp_path / "scores.json"
    assert evaluate.main([f"--saved_model={exported.parent}", f"--json={file}"]) == 0
    found = json.loads(file.read_text())
    assert found["scores"] == {"resnet8": close_to(run.results)}
    assert (found["saved_model"], found["run"], found["step"]) == (str(exported), "small", 2)
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--run=smal --runs_dir={runs}", ["run", "nearest: small"]),
        ("--run=small --runs_dir={tmp}", ["--runs_dir"]),
        ("--runs_dir={runs}", ["--run=", "--saved_model="]),
        ("--run=small --saved_model={tmp} --runs_dir={runs}", ["--run=", "--saved_model="]),
        ("--saved_model={tmp}", ["saved_model", "{tmp}"]),
        ("--run=small --runs_dir={runs} --dataset=digit", ["dataset", "nearest: digits"]),
        ("--run=small --runs_dir={runs} --split=tests", ["split", "nearest: test"]),
        ("--run=small --runs_dir={runs} --batch_size=0", ["batch_size", "0"]),
        ("--run=small --runs_dir={runs} --image_size=9", ["image_size", "9"]),
        ("--run=small --runs_dir={runs} --json={tmp}/absent/s.json", ["json", "absent"]),
        ("--run=small --runs_dir={runs} --dataset=cifar10 --nodownload --data_dir={tmp}/no", ["data_dir", "cifar10"]),
        ("--runn=small", ["runn", "run"]),
    ],
)
def test_evaluate_refuses_in_one_line(run, arguments, words, tmp_path, capsys):
    places = {"runs": run.runs, "tmp": tmp_path}
    message = refused(evaluate.main, arguments.format(**places).split(), capsys)
    assert all(word.format(**places) in message for word in words), message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--run=smal", ["run", "nearest: small"]),
        ("", ["run"]),
        ("--run=small --network=resnet9", ["network", "nearest: resnet8"]),
        ("--run=small --networks=resnet8", ["networks", "network"]),
        ("--run=small --export_bad_images=skip", ["export_bad_images", "fail", "mark"]),
        ("--run=small --export_dir=/proc/nowhere", ["export_dir", "/proc/nowhere"]),
    ],
)
def test_export_refuses_in_one_line(run, arguments, words, tmp_path, capsys):
    given = [f"--runs_dir={run.runs}", f"--export_dir={tmp_path}/exports", *arguments.split()]
    message = refused(export_run.main, given, capsys)
    assert all(word in message for word in words), message
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_shape_are_refused(run, tmp_path, capsys):
    """An image folder resized to the network's 8x8 still has three channels."""
    picture = tf.io.encode_png(np.zeros([5, 5, 3], np.uint8)).numpy()
    for folder in (tmp_path / part / name for part in ("train", "test") for name in ("cat", "dog")):
        folder.mkdir(parents=True)
        (folder / "one.png").write_bytes(picture)
    given = ["--run=small", f"--runs_dir={run.runs}", "--dataset=image_folder", f"--data_dir={tmp_path}"]
    message = refused(evaluate.main, given, capsys)
    assert "8x8x3" in message and "8x8x1" in message


def test_classes_of_other_names_are_noted(run, monkeypatch, capsys):
    def renamed(values, subject):
        return dataclasses.replace(subject.dataset, class_names=tuple("abcdefghij"))

    monkeypatch.setattr(evaluating, "chosen_data", renamed)
    assert evaluate.main(["--run=small", f"--runs_dir={run.runs}"]) == 0
    assert "note: the classes have other names" in capsys.readouterr().out


def test_a_run_without_a_whole_checkpoint_is_refused(run, tmp_path, capsys):
    empty = RunFolder(tmp_path / "small")
    empty.path.mkdir()
    empty.flags.write_text((run.folder / "flags.json").read_text())
    for main in (evaluate.main, export_run.main):
        assert "no checkpoint yet" in refused(main, ["--run=small", f"--runs_dir={tmp_path}"], capsys)
