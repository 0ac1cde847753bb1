"""Unlabelled images in a run's batches: where they stand, what changes none of them, and when a run goes on."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from PIL import Image

from tfdistill import data
from tfdistill.commands import picture, train
from tfdistill.devices.workers import Workers
from tfdistill.runs import building, checkpoints, run_exports
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.feeding import Feeding

REST = {"train_examples": 60, "batch_size": 12, "unlabelled_rest": True, "unlabelled_batch_size": 20, "method": "dml"}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def batches(digits, *, steps=3, first_step=0, part=0, parts=1, shares=1, **settings):
    made = RunData(RunConfig(**{**REST, **settings}), digits)
    found = made.training_batches(first_step=first_step, steps=steps, part=part, parts=parts, shares=shares)
    return list(found.as_numpy_iterator())


def test_labelled_examples_are_those_of_a_run_without_and_the_others_stand_behind(digits):
    plain = batches(digits, unlabelled_rest=False, unlabelled_batch_size=0, label_noise=0.2, balance="loss")
    subset = RunData(RunConfig(**REST), digits).train.index
    for one, without in zip(batches(digits, label_noise=0.2, balance="loss"), plain, strict=True):
        for name, value in without.items():
            np.testing.assert_array_equal(one[name][:12], value)
        assert one["labelled"].tolist() == [1] * 12 + [0] * 20
        assert (one["labels"][12:] == -1).all() and (one["weight"][12:] == 0).all()
        assert not np.isin(one["index"][12:], subset).any() and np.isin(one["index"][:12], subset).all()


def test_each_stream_has_epochs_of_its_own_and_any_step_can_be_the_first(digits):
    steps = (len(digits.train) - 60) // 20
    found = batches(digits, steps=steps + 3)
    index = [one["index"][12:] for one in found]
    assert len(set(np.concatenate(index[:steps]).tolist())) == 20 * steps
    assert not np.array_equal(index[0], index[steps])
    for one, again in zip(batches(digits, steps=2, first_step=steps), found[steps:], strict=False):
        assert one.keys() == again.keys() and all(np.array_equal(one[name], again[name]) for name in one)
    other = batches(digits, steps=1, seed=2)[0]["index"][12:]
    assert not np.array_equal(other, index[0])


def test_mixing_stays_among_labelled_and_among_unlabelled_images(digits):
    (plain,) = batches(digits, steps=1, augmentation=("none",))
    (mixed,) = batches(digits, steps=1, augmentation=("mixup",))
    for rows in (slice(12), slice(12, 32)):
        own = plain["images"][rows]
        partner = np.roll(own, -1, axis=0)
        gap, change = partner - own, mixed["images"][rows] - own
        shares = (change * gap).sum((1, 2, 3)) / (gap**2).sum((1, 2, 3))
        np.testing.assert_allclose(change, shares[:, None, None, None] * gap, atol=1e-5)
        assert 0 < shares.mean() < 1
    np.testing.assert_allclose(mixed["labels"].sum(1), [1] * 12 + [0] * 20, atol=1e-6)


def test_replicas_and_workers_have_their_share_of_both(digits):
    (whole,) = batches(digits, steps=1)
    of_shares = batches(digits, steps=1, shares=2)[0]
    of_parts = [batches(digits, steps=1, part=part, parts=2)[0] for part in range(2)]
    for number, part in enumerate(of_parts):
        share = {name: value[16 * number : 16 * (number + 1)] for name, value in of_shares.items()}
        rows = [*range(6 * number, 6 * number + 6), *range(12 + 10 * number, 22 + 10 * number)]
        for name, value in whole.items():
            np.testing.assert_array_equal(part[name], value[rows])
            np.testing.assert_array_equal(share[name], value[rows])


def test_a_run_on_two_replicas_feeds_each_of_them_both(digits, two_replicas):
    fed = Feeding(RunData(RunConfig(**REST), digits), Workers(two_replicas), 2).training(first_step=0)
    batch = next(iter(two_replicas.experimental_distribute_dataset(fed)))
    for share in two_replicas.experimental_local_results(batch["labelled"]):
        assert share.numpy().tolist() == [1] * 6 + [0] * 10


def test_the_picture_shows_both(digits):
    images, labels = picture.seen(RunData(RunConfig(**REST, augmentation=("none",)), digits), step=0, count=16)
    assert images.shape == (16, 8, 8, 1) and labels.shape == (6,)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"unlabelled_batch_size": 3, "unlabelled_rest": False},
            "unlabelled_batch_size: is for --unlabelled_dir or --un",
        ),
        ({"teacher_views": 2, "teacher": ("runs/a",), "also": ("kd",)}, "teacher_views: keeps answers about labelled"),
        ({"unlabelled_dir": "photos"}, "unlabelled_rest: give this or --unlabelled_dir, not both"),
        ({"train_examples": 0}, "unlabelled_rest: is for --train_examples, whose rest it takes"),
        ({"method": "supervised"}, "unlabelled_rest: method supervised learns from labels alone; give --method=dist"),
        ({"train_examples": 1437}, "unlabelled_rest: --train_examples takes every training example, and leaves none"),
        (
            {"unlabelled_batch_size": 1378},
            "unlabelled_batch_size: 1378 is larger than the 1377 unlabelled images; give",
        ),
        ({"unlabelled_batch_size": 21}, "unlabelled_batch_size: 21 does not divide over 2 replicas; give a multiple"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_flag(digits, settings, said):
    with pytest.raises(ValueError) as refused:
        RunData(RunConfig(**{**REST, **settings}), digits).require_trainable(replicas=2)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)


# A run of the command, of two networks of one dense layer that teach each other.


def dense_networks(run_data):
    built = []
    for seed, one in enumerate(run_data.config.specifications):
        images = keras.Input(run_data.image_shape, name="images")
        draw = keras.initializers.HeNormal(seed=seed)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(images))
        built.append(keras.Model(images, {"logits": logits}, name=one.name))
    return built


class Command:
    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "runs" / "one"

    def __call__(self, *more: str) -> int:
        where = [f"--runs_dir={self.root / 'runs'}", f"--export_dir={self.root / 'exports'}", "--run=one"]
        small = ["--method=dml", "--networks=resnet8,resnet8", "--train_examples=32", "--batch_size=16", "--epochs=3"]
        quick = ["--unlabelled_batch_size=8", "--checkpoint_seconds=0", "--nocheck_terms", "--noexport"]
        return train.main([*small, *quick, *where, *more])

    def arrays(self):
        found = checkpoints.newest(self.folder / "checkpoints")
        return found.step, found.arrays


def test_a_run_says_what_joins_goes_on_to_the_same_bits_and_not_with_other_images(
    digits, tmp_path, monkeypatch, card_alone, capsys
):
    monkeypatch.setattr(building, "build_networks", dense_networks)
    monkeypatch.setattr(run_exports.export, "export_network", card_alone)
    monkeypatch.setattr(logging, "warning", lambda *_: None)
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for number, pixels in enumerate(digits.train.images[-12:]):
        Image.fromarray(pixels[..., 0]).save(images / "deep" / f"{number}.png")
    (images / "cut.png").write_bytes(b"")
    whole, half = Command(tmp_path / "whole"), Command(tmp_path / "half")
    folder = f"--unlabelled_dir={images}"
    assert whole(folder) == 0
    told = capsys.readouterr().out
    assert f"unlabelled 12 ({images}, 1 could not be read)" in " ".join(told.split())
    assert "in batches of 16 and 8 unlabelled" in " ".join(told.split())
    results = json.loads((whole.folder / "results.json").read_text())
    assert (results["unlabelled_batch_size"], results["unlabelled_examples"], results["unlabelled_left_out"]) == (
        8,
        12,
        1,
    )
    assert half(folder, "--steps=3") == 0
    (images / "cut.png").rename(images / "other.png")
    shutil.copytree(images, tmp_path / "moved")
    (images / "deep" / "0.png").unlink()
    for flags, said in (
        ([folder], "unlabelled_dir: images have come to the folder, left it, got other names or can no longer be read"),
        (["--unlabelled_rest"], "--unlabelled_rest=True (it was False)"),
    ):
        with pytest.raises(SystemExit):
            half(*flags)
        assert said in capsys.readouterr().err
    assert half(f"--unlabelled_dir={tmp_path / 'moved'}") == 0
    (step, first), (again, second) = whole.arrays(), half.arrays()
    assert step == again == 6 and first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    capsys.readouterr()
    assert whole(f"--unlabelled_dir={tmp_path / 'moved'}") == 0
    assert "unlabelled_dir: the run is finished with" in capsys.readouterr().err


def test_kdcl_hears_of_its_target(digits, tmp_path):
    config = dataclasses.replace(RunConfig(**REST), method="kdcl", networks=("resnet8", "resnet8"))
    with pytest.raises(ValueError, match=r"^kdcl.target: must be 'mean' for batches with unlabelled examples"):
        building.build_distiller(RunData(config, digits), tf.distribute.get_strategy())
