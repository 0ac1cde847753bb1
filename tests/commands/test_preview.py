"""The picture shows what the networks see, each image with its labels, and refuses in one line."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfdistill import data
from tfdistill.commands import picture, preview
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.standalone import drawing


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def test_without_augmentation_the_pixels_are_those_of_the_data_set(digits):
    config = RunConfig(augmentation=("none",), batch_size=16, normalization="none", label_noise=0.3)
    shown = RunData(config, digits)
    images, labels = picture.seen(shown, step=3, count=20)
    batches = shown.training_batches(first_step=3, steps=2)
    index = np.concatenate([batch["index"] for batch in batches.as_numpy_iterator()])[:20]
    np.testing.assert_array_equal(images, digits.train.images[index])
    np.testing.assert_array_equal(labels, shown.train.labels[index])


def test_data_too_few_for_the_protocols_batch_are_shown_and_a_batch_that_was_asked_for_is_not(digits):
    few = dataclasses.replace(digits, train=data.take_subset(digits.train, 20, 1))
    images, _ = picture.seen(RunData(RunConfig(), few), step=0, count=12)
    assert images.shape == (12, 8, 8, 1)
    with pytest.raises(ValueError, match=r"^batch_size: 21 is larger than the 20 training examples$"):
        picture.seen(RunData(RunConfig(batch_size=21), few), step=0, count=12)


def test_captions():
    names = ["airplane", "bird", "cat"]
    assert picture.caption(np.array(1), names) == ["bird"]
    assert picture.caption(np.array([0.3, 0.0, 0.7]), names) == ["cat 70%", "airplane 30%"]
    assert picture.caption(np.array([0.0, 1.0, 0.0]), names) == ["bird 100%"]
    objects = np.array([[0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 0, 1], [0, 0, 0, 0, -1, 1]])
    assert picture.caption(objects, names) == ["2 objects, 1 difficult"]
    assert picture.caption(objects[:1], names) == ["1 object"] and picture.caption(objects[2:], names) == ["0 objects"]


def test_images_without_labels_come_last_and_have_no_boxes():
    images = np.full([2, 96, 96, 1], 90, np.uint8)
    drawn = picture.with_boxes(images, np.array([[[0.1, 0.1, 0.9, 0.9, 0, 0]]], np.float32), ["cat"])
    assert drawn.shape == (2, 288, 288, 3) and (drawn[1] == 90).all() and (drawn[0] != 90).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_stands_in_the_grid_with_text_below(channels):
    images = np.random.default_rng(0).integers(0, 256, (11, 26, 13, channels), dtype=np.uint8)
    sheet = np.asarray(picture.grid(images, [["a", "b 10%"]] * 10 + [["x" * 90 + " 70%"]]))
    scale, tile = 8, (picture.TILE + picture.MARGIN, 26 * 8 + 2 * picture.LINE + picture.MARGIN)
    assert sheet.shape == (2 * tile[1] + picture.MARGIN, 8 * tile[0] + picture.MARGIN, 3)
    for number, image in enumerate(images):
        left = picture.MARGIN + number % 8 * tile[0]
        top = picture.MARGIN + number // 8 * tile[1]
        shown = sheet[top : top + 26 * scale : scale, left : left + 13 * scale : scale]
        np.testing.assert_array_equal(shown, np.broadcast_to(image, shown.shape))
        text = sheet[top + 26 * scale : top + 26 * scale + 2 * picture.LINE, left : left + tile[0]]
        assert text.min() < 128, number
    # The long name is cut short, so that the empty place beside it stays white.
    assert (sheet[tile[1] + picture.MARGIN :, 3 * tile[0] + picture.MARGIN :] == 255).all()


def test_the_command_writes_the_picture(tmp_path, capsys):
    out = tmp_path / "seen.png"
    flags = ["--augmentation=standard,cutmix", "--batch_size=8", "--count=10", "--step=2", f"--out={out}"]
    assert preview.main(flags) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 10 images of digits from training step 2" in printed and "standard,cutmix" in printed
    with Image.open(out) as image:
        assert image.format == "PNG" and image.size[0] == 8 * (picture.TILE + picture.MARGIN) + picture.MARGIN


def test_the_command_draws_the_objects_of_scenes(tmp_path, capsys):
    out = tmp_path / "scenes.png"
    flags = ["--dataset=digit_scenes", "--count=5", "--batch_size=5", "--augmentation=none"]
    assert preview.main([*flags, f"--out={out}"]) == 0
    assert "5 images of digit_scenes" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out).convert("RGB"))
    tile = (288 + picture.LINE + picture.MARGIN, 288 + picture.MARGIN)
    assert sheet.shape == (2 * tile[0] + picture.MARGIN, 4 * tile[1] + picture.MARGIN, 3)
    detector = {"dataset": "digit_scenes", "networks": (preview.DETECTOR,)}
    config = RunConfig(**detector, batch_size=5, augmentation=("none",))
    images, labels = picture.seen(RunData.read(config), step=0, count=5)
    drawn = drawing.draw_objects(images[4], labels[4], "0123456789")
    place = picture.MARGIN + tile[0]
    np.testing.assert_array_equal(sheet[place : place + 288, picture.MARGIN : picture.MARGIN + 288], drawn)
    assert (sheet[place + 288 : place + 304, : tile[1]] < 128).any(), "how many objects there are"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count=0"], ["count", "0"]),
        (["--step=-1"], ["step", "-1"]),
        (["--out={tmp}"], ["out", "file"]),
        (["--out={tmp}/absent/a.png"], ["out", "absent"]),
        (["--out=/dev/null"], ["out: must be a file in a folder that exists, not /dev/null"]),
        (["--augmentation=standard,cutmax"], ["augmentation", "cutmax", "nearest: cutmix"]),
        (["--batch_size=1438"], ["batch_size", "1437"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        preview.main([one.format(tmp=tmp_path) for one in arguments])
    output, error = capsys.readouterr()
    assert ended.value.code == 2 and output == "" and error.count("\n") == 1
    assert error.startswith("preview.py: error: ") and all(word in error for word in words)
    assert not list(tmp_path.iterdir())
