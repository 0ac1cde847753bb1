"""A folder of images without labels: what is found, read as the labelled data is, counted and refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfdistill.data import load, load_unlabelled_folder
from tfdistill.data.sets import load_digit_scenes

pytestmark = pytest.mark.usefixtures("decoders_traced_once")


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def write(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5, 3), shade, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("b.png", "a/c.png", "a/deeper/a.png", "z/b.jpg")):
        write(tmp_path / "images" / name, 40 * number)
    return tmp_path / "images"


def test_images_at_any_depth_become_those_of_the_data_behind_its_numbers(folder, digits, caplog):
    (folder / "a" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("no image")
    found = load_unlabelled_folder(folder, digits)
    assert found.split.images.shape == (4, 8, 8, 1) and found.left_out == 1
    np.testing.assert_allclose(found.split.images.mean((1, 2, 3)), [40, 80, 0, 120], atol=1)
    assert found.split.index.tolist() == [1437, 1438, 1439, 1440]
    (record,) = caplog.records
    assert "1 of 5 images cannot be read and are left out" in record.getMessage()
    assert record.getMessage().endswith(f"1 file is no image: {folder / 'notes.txt'}")


def test_the_mark_is_that_of_the_names_of_what_can_be_read(folder, digits, tmp_path):
    before = load_unlabelled_folder(folder, digits).mark
    folder.rename(tmp_path / "elsewhere")
    assert load_unlabelled_folder(tmp_path / "elsewhere", digits).mark == before
    (tmp_path / "elsewhere" / "b.png").write_bytes(b"")
    without = load_unlabelled_folder(tmp_path / "elsewhere", digits).mark
    write(tmp_path / "elsewhere" / "more.png", 9)
    assert len({before, without, load_unlabelled_folder(tmp_path / "elsewhere", digits).mark}) == 3


def test_a_data_set_that_crops_photographs_has_them_read_like_its_own(folder, tmp_path):
    for name in ("train/ant/1.png", "train/bee/2.png", "test/ant/3.png", "test/bee/4.png"):
        write(tmp_path / "data" / name, len(name) + int(name[-5]))
    like = load("image_folder", data_dir=tmp_path / "data", image_size=4, reading="crop")
    found = load_unlabelled_folder(folder, like)
    assert found.split.reading == like.train.reading and found.split.image_shape == (4, 4, 3)


def test_images_beside_those_with_boxes_are_without_objects(folder, digits):
    scenes = load_digit_scenes(train=3, test=1)
    like = dataclasses.replace(digits, image_shape=(96, 96, 1), train=scenes.train, task="detection")
    found = load_unlabelled_folder(folder, like)
    assert found.split.images.shape == (4, 96, 96, 1) and found.split.labels.shape == (4, 5, 6)
    assert (found.split.labels == [0, 0, 0, 0, -1, 0]).all()


def test_what_is_no_folder_of_images_is_refused_in_one_line(folder, digits, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "one.png").write_bytes(b"")
    four = dataclasses.replace(digits, image_shape=(8, 8, 4))
    for place, like, said in (
        ("absent", digits, "is no folder; give one with images, in folders of any depth"),
        ("images/b.png", digits, "is no folder; give one with images, in folders of any depth"),
        ("empty", digits, "has no images, such as .jpg, .png or .webp"),
        ("damaged", digits, "has no image that can be read"),
        ("images", four, "images in files have 1 or 3 channels, those of digits have 4; leave it out"),
    ):
        with pytest.raises(ValueError) as refused:
            load_unlabelled_folder(tmp_path / place, like)
        assert str(refused.value).startswith("unlabelled_dir: ") and str(refused.value).endswith(said)
