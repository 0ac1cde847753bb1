"""A folder of images, some of them spoilt, trains with one command; an image that vanishes later is named."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill import data
from tfdistill.commands import evaluate, train, training
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.prepared import Prepared
from tfdistill.runs.run import Run

HUES = {"red": (200, 40, 40), "green": (40, 200, 40)}


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    """A run sets Keras' global precision."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Coloured noise of CIFAR's size; of the 24 training images one is cut short, one grey, one transparent."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name, hue in HUES.items():
            target = tmp_path / "images" / part / name
            target.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(hue, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(target / f"{number:02d}.png")
    red = tmp_path / "images" / "train" / "red"
    (red / "03.png").write_bytes((red / "03.png").read_bytes()[:500])
    Image.open(red / "04.png").convert("L").save(red / "04.png")
    Image.open(red / "05.png").convert("RGBA").save(red / "05.png")
    return tmp_path / "images"


def test_a_folder_trains_with_one_command(folder, tmp_path, monkeypatch, capsys, caplog):
    arguments = [
        *("--dataset=image_folder", f"--data_dir={folder}", "--image_size=16", "--reading=crop"),
        *("--networks=resnet8", "--batch_size=8", "--epochs=1", "--strategy=one", "--noexport"),
        f"--runs_dir={tmp_path / 'runs'}",
    ]
    assert train.main([*arguments, "--run=whole"]) == 0
    results = json.loads((tmp_path / "runs" / "whole" / "results.json").read_text())
    # 23 images in batches of 8, scored on all 8 test images.
    assert results["step"] == 2 and results["networks"][0]["last"]["accuracy"] * 8 % 1 == 0
    (warning,) = [one.getMessage() for one in caplog.records if "left out" in one.getMessage()]
    first = folder / "train" / "red" / "03.png"
    assert f"1 of 24 images cannot be read and are left out; it is {first}" in warning

    def lose_an_image(run):
        (folder / "train" / "green" / "07.png").unlink()
        next(iter(run.feeding.training(first_step=0).batch(10)))

    monkeypatch.setattr(training.Run, "train", lose_an_image)
    capsys.readouterr()
    assert train.main([*arguments, "--run=robbed"]) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith(f"train.py: error: image {folder / 'train' / 'green' / '07.png'} can no longer be read")
    assert error.endswith("the same command goes on without it")


def test_a_folder_of_classes_is_parted_balanced_trained_and_scored_part_by_part(folder, tmp_path, capsys, caplog):
    """The training folder of the fixture has no parts of its own: 24 images, one cut short."""
    where = [f"--runs_dir={tmp_path / 'runs'}", "--run=parted"]
    arguments = [
        *("--dataset=image_folder", f"--data_dir={folder / 'train'}", "--image_size=16", "--split=0.6,0.2,0.2"),
        *("--balance=loss", "--optimizer=adamw", "--export_epoch=best", "--networks=resnet8", "--batch_size=7"),
        *("--epochs=1", "--strategy=one", "--noexport", "--nocheck_terms"),
    ]
    assert train.main([*where, *arguments]) == 0
    results = json.loads((tmp_path / "runs" / "parted" / "results.json").read_text())
    assert results["scored_on"] == "validation" and results["flags"]["split"] == [0.6, 0.2, 0.2]
    assert results["step"] == 2 and results["exported_epoch"]["epoch"] == 1
    classes = json.loads((tmp_path / "runs" / "parted" / "classes.json").read_text())
    examples = classes["networks"]["resnet8"]["examples"]
    assert classes["split"] == "test" and list(examples) == ["green", "red"] and 4 <= sum(examples.values()) <= 5
    capsys.readouterr()
    file = tmp_path / "confusion.json"
    assert evaluate.main([*where, f"--confusion={file}"]) == 0
    shown = capsys.readouterr().out
    assert f"on {sum(examples.values())} test examples" in shown and "classes of resnet8, worst first" in shown
    assert f"{results['other_scores']['test']['resnet8/accuracy']:.2%}" in shown
    assert json.loads(file.read_text())["networks"] == classes["networks"]

    # One image more: others change places, so that some that were trained on would be tested on.
    shutil.copy(folder / "train" / "red" / "06.png", folder / "train" / "red" / "more.png")
    assert evaluate.main([*where, "--split=validation"]) == 0
    after = capsys.readouterr().out
    note = "note: the folder's images are others than at the training"
    assert " validation examples of image_folder" in after and note in after and note not in shown
    parted = RunFolder(tmp_path / "runs" / "parted")
    config = read_config(parted.path)
    run = Run(config, parted)
    with pytest.raises(ValueError, match=r"^split: images have come to the folder, left it or .* another --run$"):
        run.open()
    parted.close()
    next_one = dataclasses.replace(config, run="next", networks=(f"resnet8:{parted.path}",))
    Prepared(next_one, RunFolder(tmp_path / "runs" / "next"))
    assert f"networks: {parted.path} was trained on other parts of a folder" in caplog.text


def test_an_error_that_is_not_the_images_keeps_its_traceback(folder, tmp_path, monkeypatch):
    def fail(run):
        raise tf.errors.InternalError(None, None, "a kernel has failed")

    monkeypatch.setattr(training.Run, "train", fail)
    arguments = [f"--runs_dir={tmp_path / 'runs'}", "--networks=resnet8", "--strategy=one"]
    with pytest.raises(tf.errors.InternalError, match="a kernel has failed"):
        train.main(arguments)


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")])
def test_a_training_that_finds_no_memory_left_says_which_flags_take_it(folder, tmp_path, monkeypatch, capsys, error):
    def fail(run):
        raise error

    monkeypatch.setattr(training.Run, "train", fail)
    assert train.main([f"--runs_dir={tmp_path / 'runs'}", "--networks=resnet8", "--strategy=one"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("train.py: error: batch_size, image_size, networks: out of memory (")


CIFAR100_COPY = Path(os.environ.get("TFDS_DATA_DIR", "nowhere")) / "cifar100"


@pytest.mark.skipif(not CIFAR100_COPY.is_dir(), reason="TFDS_DATA_DIR holds no prepared cifar100")
def test_real_images_in_folders_train_and_export_with_one_command(tmp_path):
    cifar = data.load("cifar100")
    for part, split, count in (("train", cifar.train, 16), ("test", cifar.test, 8)):
        for label in range(3):
            target = tmp_path / "images" / part / cifar.class_names[label]
            target.mkdir(parents=True)
            for number, pixels in enumerate(split.images[split.labels == label][:count]):
                Image.fromarray(pixels).save(target / f"{number:02d}.png")
    arguments = [
        *("--dataset=image_folder", f"--data_dir={tmp_path / 'images'}", "--image_size=32", "--networks=resnet8"),
        *("--batch_size=16", "--epochs=1", "--strategy=one", "--run=real"),
        *(f"--runs_dir={tmp_path / 'runs'}", f"--export_dir={tmp_path / 'exports'}"),
    ]
    assert train.main(arguments) == 0
    results = json.loads((tmp_path / "runs" / "real" / "results.json").read_text())
    assert results["step"] == 3 and results["flags"]["dataset"] == "image_folder"
    labels = Path(results["exports"]["resnet8"], "assets", "labels.txt").read_text().split()
    assert labels == ["apple", "aquarium_fish", "baby"]
