"""--teacher_views: teachers are asked about each view of an image once, and a run learns from what is kept of it."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tfdistill import KD, Distillation
from tfdistill.commands import train
from tfdistill.data import Split
from tfdistill.engine.distiller import Distiller
from tfdistill.files import FileError
from tfdistill.runs import building, checkpoints, kept_views, run_exports
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.kept_views import KeptViews
from tfdistill.runs.stored_flags import read_run_config
from tfdistill.runs.teacher_views import TeacherViews, mark_of
from tfdistill.runs.teachers import load_teachers
from tfdistill.runs.timetable import Timetable

EXAMPLES, CLASSES = 64, 10


def dense(name: str, seed: int, *, scale: float = 1.0, convolution: bool = False) -> keras.Model:
    """One dense layer, for digits; perhaps behind a convolution, whose maps are a tap."""
    x = images = keras.Input((8, 8, 1), name="images")
    if convolution:
        x = keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.HeNormal(seed=seed), name="conv")(x)
    draw = keras.initializers.RandomNormal(stddev=scale, seed=seed)
    logits = keras.layers.Dense(CLASSES, kernel_initializer=draw, dtype="float32", name="logits")
    taps = {"features": x} if convolution else {}
    return keras.Model(images, {**taps, "logits": logits(keras.layers.Flatten()(x))}, name=name)


def networks_of(data: RunData) -> list[keras.Model]:
    return [dense(one.name, one.seed, scale=0.1) for one in data.config.specifications]


@pytest.fixture(scope="module", autouse=True)
def _made_up(card_alone):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_networks", networks_of)
        patch.setattr(run_exports.export, "export_network", card_alone)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teachers")
    for seed, name in enumerate("abc"):
        dense(name, seed).save(folder / f"{name}.keras")
    dense("loud", 4, scale=1e6).save(folder / "loud.keras")
    dense("maps", 5, convolution=True).save(folder / "maps.keras")
    return folder


class Command:
    """A training of three epochs of four steps, in two views; from the mean of A, which reads 0..255, and B; and C."""

    def __init__(self, root: Path, files: Path) -> None:
        self.root, self.folder = root, root / "runs" / "one"
        self.kind = ["--method=distillation", "--networks=resnet8", "--epochs=3"]
        self.taught = [f"--teacher={files}/a.keras+{files}/b.keras,{files}/c.keras", "--also=kd"]
        self.taught += ["--teacher_normalization=raw+own,own"]

    def __call__(self, *more: str) -> int:
        where = [f"--runs_dir={self.root / 'runs'}", f"--export_dir={self.root / 'exports'}", "--run=one"]
        small = [f"--train_examples={EXAMPLES}", "--batch_size=16", "--schedule=constant", "--nocheck_terms"]
        try:
            return train.main(
                [*small, *self.kind, *self.taught, "--teacher_views=2", "--checkpoint_seconds=0", *where, *more]
            )
        except SystemExit as ended:
            return int(str(ended.code))

    def view(self, number: int) -> Path:
        return self.folder / "teacher_views" / f"view_{number:03}"

    def answers(self, number: int) -> np.ndarray:
        return np.fromfile(self.view(number) / kept_views.ANSWERS, "<f2").reshape(EXAMPLES, -1)

    def weights(self) -> dict[str, np.ndarray]:
        found = checkpoints.newest(self.folder / "checkpoints")
        assert found.step == 12
        return found.arrays


@pytest.fixture(scope="module")
def whole(tmp_path_factory, files) -> Command:
    """A run that nothing has disturbed; `called` are the models that its training and its scoring called."""
    command = Command(tmp_path_factory.mktemp("whole"), files)
    command.called = []
    with pytest.MonkeyPatch.context() as patch:
        call = Distiller.call_model
        patch.setattr(Distiller, "call_model", lambda *given: command.called.append(given[1].name) or call(*given))
        assert command() == 0
    return command


@pytest.fixture
def command(tmp_path, files) -> Command:
    return Command(tmp_path, files)


def test_what_is_kept_is_what_the_teachers_answer_to_the_images_of_the_view(whole):
    data = RunData.read(read_run_config(whole.folder / "flags.json"))
    teachers = load_teachers(data, tf.distribute.get_strategy())
    assert [model.name for model in teachers] == ["a_and_b", "c"]
    for view in range(2):
        (batch,) = data.view_batches(view, EXAMPLES)
        expected = np.concatenate([model(batch["images"], training=False)["logits"] for model in teachers], axis=1)
        np.testing.assert_allclose(whole.answers(view), expected, rtol=2**-10, atol=1e-4)
    assert np.abs(whole.answers(0) - whole.answers(1)).max() > 1


def test_training_calls_no_teacher_and_says_what_that_saved(whole):
    assert set(whole.called) == {"resnet8"}
    told = json.loads((whole.folder / "results.json").read_text())["teacher_views"]
    assert told == {"views": 2, "passes": 128, "saved_passes": 64, "bytes": 2 * 64 * 20 * 2}


def test_a_run_that_was_cut_off_and_whose_views_were_damaged_ends_with_the_same_bits(
    whole, command, monkeypatch, capsys
):
    assert command("--steps=3") == 0
    out = capsys.readouterr().out
    assert "1 of each image: 64 passes of each teacher, which saves none of the 48 without views;" in out
    assert not command.view(1).exists()
    # Killed while it filled the second view; and a bit of the first has turned over.
    shutil.copytree(command.view(0), command.view(1).with_suffix(".writing"))
    file = command.view(0) / kept_views.ANSWERS
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    warned: list[str] = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: warned.append(message % args))
    assert command("--steps=7") == 0
    assert warned[1:] == [f"teacher_views: {command.view(0)} is made again: answers.f16 does not match its checksum"]
    assert command() == 0
    out = capsys.readouterr().out
    assert "views       2 of each image: 128 passes of each teacher, all before the first step, in place of 192;" in out
    assert "teacher views: 2 made, 0 there already\n" in out and "teacher views: 0 made, 2 there already\n" in out
    assert "teacher views: 128 passes of each teacher, 64 saved\n" in out
    assert [one.name for one in sorted(command.view(0).parent.iterdir())] == ["view_000", "view_001"]
    for view in range(2):
        assert command.answers(view).tobytes() == whole.answers(view).tobytes()
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(command.weights()[name], array, err_msg=name)


def test_in_a_chain_the_first_network_is_taught_in_views_and_later_ones_ask_no_teacher(command, files, capsys):
    command.taught = [f"--teacher={files}/c.keras", "--links=kd"]
    command.kind = ["--method=chain", "--networks=resnet8,resnet8", "--epochs=1"]
    assert command() == 0
    out = capsys.readouterr().out
    assert "1 of each image: 64 passes of each teacher, which saves none of the 64 without views;" in out
    assert "step 8/8" in out


def test_what_cannot_be_kept_is_one_line_before_the_first_step(command, files, monkeypatch, capsys):
    def said(*taught: str) -> str:
        command.taught = taught
        assert command() != 0
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "teacher_views: one of loud/logits reaches " in said(f"--teacher={files}/loud.keras", "--also=kd")
    assert not list(command.folder.glob("teacher_views/*"))
    monkeypatch.setattr(kept_views.shutil, "disk_usage", lambda path: SimpleNamespace(free=2000))
    few = said(f"--teacher={files}/c.keras", "--also=kd")
    assert "error: teacher_views: the answers to 2 views of 64 images take another 2.6 kB in" in few
    monkeypatch.setattr(building, "build_networks", lambda data: [dense("resnet8", 1, convolution=True)])
    maps = said(f"--teacher={files}/maps.keras", "--also=kd,map_distance")
    assert "error: teacher_views: distillation+kd+map_distance reads features of teacher maps, a map of 6×6×2" in maps
    assert not (command.folder / "checkpoints").exists()


def test_two_replicas_ask_each_about_its_part(whole, two_replicas, tmp_path):
    data = RunData.read(read_run_config(whole.folder / "flags.json"))
    with two_replicas.scope():
        teachers = load_teachers(data, two_replicas)
        distiller = Distillation(networks_of(data), teachers, [KD()])
        distiller.compile()
    views = TeacherViews(data, distiller, [{"fingerprint": "x"}], tmp_path, Timetable(4, epochs=1))
    views.make()
    np.testing.assert_allclose(views.kept.read(0), whole.answers(0), rtol=2**-9, atol=1e-3)
    batch = next(iter(data.training_batches(first_step=1, along=views.along)))
    for own in teachers:
        np.testing.assert_allclose(
            batch[f"{own.name}/logits"], own(batch["images"], training=False)["logits"], rtol=2**-9, atol=1e-3
        )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"teacher_views": -1}, "teacher_views: must be a whole number in 0..1,000,000, not -1"),
        ({"teacher_ahead": "on"}, "teacher_ahead: with --teacher_views no teacher is asked in training; leave one .*"),
        ({"teacher": ()}, "teacher_views: is for --teacher; leave it out"),
        ({"also": ("kd", "jacobian")}, "teacher_views: jacobian calls the teacher on every batch, and kept answers .*"),
        ({"augmentation": ("standard", "mixup")}, "teacher_views: mixup of --augmentation makes images of two, .*"),
        ({"balance": "sampling"}, "teacher_views: --balance=sampling draws some images several times an epoch, .*"),
        ({"augmentation": ("none",)}, "teacher_views: must be 1 with --augmentation=none, .*"),
    ],
)
def test_flags_that_do_not_go_with_views_are_refused_in_one_line(flags, said):
    good = {"method": "distillation", "also": ("kd",), "teacher": ("big.keras",), "teacher_views": 2}
    assert RunConfig(**good).teacher_views == 2
    with pytest.raises(ValueError, match=f"^{said}$"):
        RunConfig(**good | flags)


def test_a_view_that_finds_no_room_leaves_nothing_and_the_others_stay(tmp_path):
    kept, told = KeptViews(tmp_path / "views", examples=4, width=3), {"teacher": "x"}
    rows = np.arange(12, dtype="float16").reshape(4, 3)
    kept.write(0, [rows[:3], rows[3:]], told)

    def too_long():
        yield rows
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match=r"view_001: cannot be written: No space left on device$"):
        kept.write(1, too_long(), told)
    assert [one.name for one in kept.folder.iterdir()] == ["view_000"]
    assert kept.problem(0, told) == "" and kept.read(0).tolist() == rows.tolist()
    assert kept.problem(0, {"teacher": "y"}) == "other teachers, images or flags made it"
    (kept.place(0) / "manifest.json").write_text("{")
    assert kept.problem(0, told) == "manifest.json is damaged"


def test_images_are_known_by_their_pixels_or_by_their_names_wherever_they_lie():
    def files(*paths):
        return Split.of_files(paths, np.zeros(len(paths), "int32"), (8, 8, 3))

    first = mark_of(files("/data/cat/1.png", "/data/dog/2.png"))
    assert first == mark_of(files("/moved/data/cat/1.png", "/moved/data/dog/2.png"))
    assert first != mark_of(files("/data/cat/2.png", "/data/dog/1.png"))
    pixels = np.zeros((2, 8, 8, 1), "uint8")
    other = pixels.copy()
    other[1, 7, 7] = 1
    one, two = (mark_of(Split.in_memory(images, np.zeros(2, "int32"))) for images in (pixels, other))
    assert one != two
