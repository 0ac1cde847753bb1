"""The best epoch by held-out scores is what is exported, whatever cuts the run off on the way."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tfdistill.commands import evaluate, export, train
from tfdistill.runs import best_epoch, building, checkpoints, run_exports, trained
from tfdistill.runs.config import RunConfig

# What the epochs are made to score: the second is the best, and the third no better.
SCORES = {1: 0.5, 2: 0.7, 3: 0.7, 4: 0.6}


def tiny_networks(data):
    images = keras.Input(data.image_shape, name="images")
    draw = keras.initializers.HeNormal(seed=data.config.seed)
    logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(images))
    return [keras.Model(images, {"logits": logits}, name="resnet8")]


@pytest.fixture
def command(tmp_path, monkeypatch, card_alone):
    """Runs the command of a run of four epochs of four steps; `written` has the kernels and cards of its exports."""

    def written_down(network, folder, *, card, **others):
        run.written.append((network.get_layer("logits").kernel.numpy(), card))
        return card_alone(network, folder, card=card)

    def run(name, *more):
        arguments = ["--networks=resnet8", "--validation_share=0.2", "--train_examples=64", "--batch_size=16"]
        arguments += ["--epochs=4", "--nocheck_terms", "--checkpoint_seconds=0", "--export_epoch=best"]
        assert train.main([*arguments, f"--run={name}", *folders, *more]) == 0
        return json.loads((tmp_path / "runs" / name / "results.json").read_text())

    folders = [f"--runs_dir={tmp_path / 'runs'}", f"--export_dir={tmp_path / 'exports'}"]
    run.written, run.runs = [], tmp_path / "runs"
    monkeypatch.setattr(building, "build_networks", tiny_networks)
    monkeypatch.setattr(trained, "build_networks", tiny_networks)
    monkeypatch.setattr(run_exports.export, "export_network", written_down)
    monkeypatch.setattr(best_epoch, "mean_headline", lambda row, names, headline: SCORES.get(row["epoch"]))
    return run


def test_the_best_epoch_is_exported_and_survives_being_cut_off(command, capsys):
    results = command("whole")
    (kernel, card), row = command.written[0], best_row(command.runs / "whole")
    said = {"choice": "best", "epoch": 2, "step": 8, "score": 0.7, "judged_by": "validation accuracy"}
    assert results["exported_epoch"] == card["exported_epoch"] == said
    assert results["step"] == 16 and card["step"] == 8
    scores = {name: row[f"val_resnet8/{name}"] for name in ("accuracy", "top5", "cross_entropy")}
    assert results["networks"][0]["exported"] == card["accuracy"]["exported"] == scores
    assert "exported  epoch 2, the best by validation accuracy (0.7000)" in capsys.readouterr().out

    # The weights are those that a run has which ends after the second epoch, and its scores on the test data too.
    short = command("short", "--export_epoch=last", "--steps=8")
    np.testing.assert_array_equal(kernel, command.written[1][0])
    assert short["other_scores"] == results["other_scores"] and short["exported_epoch"]["choice"] == "last"
    assert "exported" not in short["networks"][0]

    # In the middle of the third epoch, when its weights are others already, and after the second's end.
    for steps in (8, 10):
        command("cut", f"--steps={steps}", "--noexport")
    again = command("cut")
    np.testing.assert_array_equal(kernel, command.written[2][0])
    assert again["other_scores"] == results["other_scores"] and again["exported_epoch"] == said
    newest = [checkpoints.newest(command.runs / name / "checkpoints") for name in ("whole", "cut")]
    assert newest[0].arrays.keys() == newest[1].arrays.keys()
    for name, array in newest[0].arrays.items():
        np.testing.assert_array_equal(array, newest[1].arrays[name], err_msg=name)
    # Beside the training's own state only what is exported is kept twice.
    kept = [name for name in newest[0].arrays if name.startswith("best/")]
    assert kept == [f"best/{name}" for name in newest[0].arrays if name.startswith("networks/")]

    export_later(command, capsys, results)


def export_later(command, capsys, results):
    """What the commands beside training say and write of both epochs."""
    folders = [f"--runs_dir={command.runs}", "--run=whole"]
    target = command.runs.parent / "exports" / "whole" / "resnet8"
    assert export.main(folders) == 0
    assert f"{target / '1'} is of this step already" in capsys.readouterr().out
    assert export.main([*folders, "--export_epoch=last"]) == 0
    (kernel, card) = command.written[-1]
    assert card["step"] == 16 and card["exported_epoch"] == {"choice": "last", "epoch": 4, "step": 16}
    assert (kernel != command.written[0][0]).any()
    newest = checkpoints.newest(command.runs / "whole" / "checkpoints").arrays
    np.testing.assert_array_equal(kernel, newest["networks/resnet8/0000/kernel"])
    capsys.readouterr()
    assert evaluate.main(folders) == 0
    shown = capsys.readouterr().out
    assert "epoch 2 (step 8), the best by validation accuracy: 0.7000" in shown
    assert f"{results['other_scores']['test']['resnet8/accuracy']:.2%}" in shown
    with pytest.raises(SystemExit):
        export.main([f"--runs_dir={command.runs}", "--run=short", "--export_epoch=best"])
    assert "keeps no best epoch: it was trained with --export_epoch=last" in capsys.readouterr().err


def best_row(folder: Path) -> dict:
    rows = checkpoints.newest(folder / "checkpoints").metadata["rows"]
    return next(row for row in rows if row["epoch"] == 2)


def test_a_run_of_the_last_epoch_does_not_become_one_of_the_best(command, capsys):
    command("short", "--export_epoch=last", "--steps=4", "--noexport")
    with pytest.raises(SystemExit):
        command("short")
    assert "--export_epoch=best (it was last)" in capsys.readouterr().err
    shutil.rmtree(command.runs / "short")


def test_an_epoch_is_judged_by_the_mean_of_what_is_exported():
    row = {"val_one/accuracy": 0.5, "val_two/accuracy": 0.75, "val_ensemble/accuracy": 0.9, "val_one/top5": 1.0}
    assert best_epoch.mean_headline(row, ["one", "two"], "accuracy") == 0.625
    assert best_epoch.mean_headline({"one/loss": 1.0}, ["one", "two"], "accuracy") is None
    assert best_epoch.mean_headline({**row, "val_two/accuracy": float("nan")}, ["one", "two"], "accuracy") is None


def test_without_held_out_data_nothing_can_be_the_best():
    with pytest.raises(
        ValueError, match=r"^export_epoch: best is judged on validation data, and none is held out; give"
    ):
        RunConfig(export_epoch="best")
    with pytest.raises(ValueError, match=r"^export_epoch: best is judged on validation data"):
        RunConfig(export_epoch="best", dataset="image_folder", split=(0.8, 0.2))
    RunConfig(export_epoch="best", dataset="image_folder", split=(0.8, 0.1, 0.1))
