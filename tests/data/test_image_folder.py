"""Image folders: what is found, what is refused, and that decoding agrees with the pixels written."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data import DataUnavailable, evaluation_batches, load, training_batches
from tfdistill.data.image_folder import read_images

COLOURS = {"red": (200, 10, 20), "green": (10, 180, 30)}


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_colour(path: Path, colour: str, size: int = 8) -> Path:
    return write(path, np.full((size, size, 3), COLOURS[colour], np.uint8))


@pytest.fixture
def folder(tmp_path):
    for colour in COLOURS:
        for number in range(5):
            write_colour(tmp_path / "train" / colour / f"{number}.png", colour)
        write_colour(tmp_path / "val" / colour / "one.png", colour)
    return tmp_path


def decoded(path: Path, size: int) -> np.ndarray:
    images = read_images(tf.constant([str(path)]), (size, size, 3))
    assert (images.dtype, images.shape) == (tf.uint8, (1, size, size, 3))
    return images.numpy()[0]


def test_classes_and_files(folder):
    write_colour(folder / "train" / "green" / "SHOUTED.JPG", "green")
    (folder / "train" / "green" / "notes.txt").write_text("not an image")
    write_colour(folder / "train" / "green" / ".hidden.png", "green")
    dataset = load("image_folder", data_dir=folder, image_size=12)
    assert dataset.class_names == ("green", "red")
    assert dataset.image_shape == (12, 12, 3)
    assert np.bincount(dataset.train.labels).tolist() == [6, 5]
    assert [Path(path).name for path in dataset.test.images] == ["one.png", "one.png"]


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_the_test_split_has_three_names(folder, name):
    (folder / "val").rename(folder / name)
    assert len(load("image_folder", data_dir=folder, image_size=8).test) == 2


def test_a_class_may_be_missing_from_the_test_split(folder):
    (folder / "val" / "green" / "one.png").unlink()
    (folder / "val" / "green").rmdir()
    assert load("image_folder", data_dir=folder, image_size=8).test.labels.tolist() == [1]


@pytest.mark.parametrize("extension", ["png", "bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats_come_back_exactly_as_rgb(tmp_path, extension, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, channels), dtype=np.uint8)
    path = write(tmp_path / f"image.{extension}", pixels[..., 0] if channels == 1 else pixels)
    expected = np.repeat(pixels, 3, axis=-1) if channels == 1 else pixels[..., :3]
    np.testing.assert_array_equal(decoded(path, 6), expected)


def test_jpeg_and_gif(tmp_path):
    grey = np.full((16, 16), 120, np.uint8)
    for extension, pixels in (("jpg", np.stack([grey] * 3, axis=-1)), ("jpeg", grey), ("gif", grey)):
        path = write(tmp_path / f"image.{extension}", pixels)
        np.testing.assert_allclose(decoded(path, 16).astype(int), 120, atol=2)


def test_of_a_moving_gif_the_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), grey, np.uint8)) for grey in (40, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(decoded(tmp_path / "moving.gif", 8).astype(int), 40, atol=2)


def test_resizing_smooths(tmp_path):
    checkers = np.indices((32, 32)).sum(0) % 2 * 255
    path = write(tmp_path / "checkers.png", checkers.astype(np.uint8))
    middle = decoded(path, 8)[2:-2, 2:-2].astype(int)
    np.testing.assert_allclose(middle, 128, atol=4)


def test_batches_from_files(folder):
    dataset = load("image_folder", data_dir=folder, image_size=16)
    settings = {"batch_size": 5, "augmentation": dataset.augmentation, "normalization": dataset.normalization}
    whole = list(training_batches(dataset.train, seed=1, steps=4, **settings).as_numpy_iterator())
    late = list(training_batches(dataset.train, seed=1, first_step=2, steps=2, **settings).as_numpy_iterator())
    for one, other in zip(whole[2:], late, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])
        np.testing.assert_array_equal(one["index"], other["index"])
    mean, std = np.array(dataset.normalization.mean), np.array(dataset.normalization.std)
    for batch in whole:
        assert batch["images"].shape == (5, 16, 16, 3)
        colours = np.array([COLOURS[dataset.class_names[label]] for label in batch["labels"]])
        expected = np.broadcast_to(((colours / 255 - mean) / std)[:, None, None, :], batch["images"].shape)
        np.testing.assert_allclose(batch["images"], expected, atol=1e-5)


def test_evaluation_from_files(folder):
    dataset = load("image_folder", data_dir=folder, image_size=8)
    (batch,) = evaluation_batches(dataset.test, batch_size=4, normalization=dataset.normalization).as_numpy_iterator()
    assert batch["weight"].tolist() == [1, 1, 0, 0]
    assert batch["labels"][:2].tolist() == [0, 1]


def empty_class(root: Path) -> None:
    (root / "train" / "blue").mkdir()


def class_without_images(root: Path) -> None:
    (root / "val" / "red" / "one.png").rename(root / "val" / "red" / "one.txt")


def no_test_split(root: Path) -> None:
    (root / "val").rename(root / "holdout")


def no_classes(root: Path) -> None:
    (root / "train").rename(root / "elsewhere")
    write_colour(root / "train" / "loose.png", "red")
    for colour in COLOURS:
        (root / "val" / colour / "one.png").unlink()
        (root / "val" / colour).rmdir()


def unknown_test_class(root: Path) -> None:
    write_colour(root / "val" / "blue" / "one.png", "red")


def empty_file(root: Path) -> None:
    (root / "train" / "red" / "2.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, "class folder .*train/blue has no images"),
        (class_without_images, "class folder .*val/red has no images"),
        (no_test_split, "needs a folder test or val or validation; found holdout, train"),
        (no_classes, r"train has no class folders; image_folder needs train/<class>/<image>"),
        (unknown_test_class, "val has classes that .*train lacks: blue"),
        (empty_file, r"image .*train/red/2\.png is empty \(0 bytes\)"),
    ],
)
def test_a_bad_folder_is_named_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load("image_folder", data_dir=folder, image_size=8)
    assert "\n" not in str(caught.value)


def test_arguments_that_a_folder_needs(tmp_path):
    with pytest.raises(ValueError, match="image_folder needs data_dir"):
        load("image_folder", image_size=8)
    with pytest.raises(ValueError, match="image_folder needs an image_size of 1 or more pixels, got None"):
        load("image_folder", data_dir=tmp_path)
    with pytest.raises(DataUnavailable, match="nowhere is no folder"):
        load("image_folder", data_dir=tmp_path / "nowhere", image_size=8)
