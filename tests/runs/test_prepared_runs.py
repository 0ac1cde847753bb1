"""Runs whose transfers have preparations or memories: cut off in them, at their borders and after, in the same bits."""

import csv

import keras
import numpy as np
import pytest

from tfdistill.commands import train
from tfdistill.runs import building, checkpoints

# An epoch of the preparation and two of the training.
EPOCH = 4


def tiny_networks(data):
    built = []
    for seed, one in enumerate(data.config.specifications):
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        images = keras.Input(data.image_shape, name="images")
        maps = keras.layers.Conv2D(4, 3, 4, use_bias=False, kernel_initializer=draw)(images)
        maps = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(maps))
        embedding = keras.layers.Flatten()(maps)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(embedding)
        taps = {"features": maps, "embedding": embedding, "logits": logits}
        built.append(keras.Model(images, taps, name=one.name))
    return built


@pytest.fixture
def command(tmp_path, monkeypatch):
    def run(name, *more):
        arguments = ["--method=mutual", "--networks=resnet8,resnet14"]
        arguments += ["--train_examples=64", "--batch_size=16", "--epochs=3", "--checkpoint_seconds=0", "--noexport"]
        assert train.main([*arguments, f"--runs_dir={tmp_path}", f"--run={name}", *more]) == 0
        return checkpoints.newest(tmp_path / name / "checkpoints").arrays

    monkeypatch.setattr(building, "build_networks", tiny_networks)
    return run


def test_cut_off_in_the_preparation_at_its_border_and_after_it_ends_in_the_same_bits(command, tmp_path, capsys):
    given = ("--also=ie_ft", "--ie_ft.preparation_epochs=1")
    whole = command("whole", *given)
    assert "in phases: ie_ft_preparation 1, training 2" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "whole" / "epochs.csv").open()))
    assert [row["phase"] for row in rows] == ["1", "2", "2"]
    assert [row["resnet8_ie_ft_preparation/reconstruction"] != "" for row in rows] == [True, False, False]
    assert [row["resnet8/ie_ft_exploration"] != "" for row in rows] == [False, True, True]
    command("cut", *given, f"--steps={EPOCH - 2}")
    prepared = command("cut", *given, f"--steps={EPOCH}")
    command("cut", *given, f"--steps={EPOCH + 2}")
    assert_same(whole, command("cut", *given))
    # What was prepared stays; what learns does not.
    for part, stays in (("encoder", True), ("decoder", True), ("inheritance", False)):
        keys = [
            name for name in whole if name.startswith("helpers/") and f"resnet8_from_resnet14_ie_ft_{part}/" in name
        ]
        assert keys and all(np.array_equal(prepared[name], whole[name]) for name in keys) == stays, part


def assert_same(whole, cut):
    assert whole.keys() == cut.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, cut[name], err_msg=name)


def test_so_does_one_with_phases_that_move_the_learners_and_with_memories(command):
    """AB's first phase, FitNet's, and what CRD remembers of every example."""
    given = ["--also=ab,fitnet,crd", "--crd.negatives=4", "--crd.units=3"]
    given += [f"--{name}.{flag}" for name in ("ab", "fitnet") for flag in ("preparation_epochs=1", "taps=features")]
    whole = command("whole", *given)
    first = command("cut", *given, f"--steps={EPOCH + 2}")
    command("cut", *given, f"--steps={2 * EPOCH}")
    second = command("cut", *given, f"--steps={2 * EPOCH + 2}")
    assert_same(whole, command("cut", *given))
    banks = [name for name in whole if name.endswith(("/learner", "/source"))]
    assert len(banks) == 4, "a memory of both sides, for each learner"
    for name in banks:
        assert not np.array_equal(first[name], second[name]) and not np.array_equal(second[name], whole[name])


def test_a_run_that_leaves_no_epoch_to_the_student_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(building, "build_networks", tiny_networks)
    arguments = ["--method=mutual", "--networks=resnet8,resnet14", "--also=ft", "--epochs=5", "--train_examples=64"]
    with pytest.raises(SystemExit) as ended:
        train.main([*arguments, f"--runs_dir={tmp_path / 'runs'}", "--run=short"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code != 0 and "epochs: 5 are too few for phase 'training'" in line
    assert not (tmp_path / "runs").exists()
