"""Image folders: what is found, what is refused, and that decoding agrees with the pixels written."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfdistill.data import NORMALIZATIONS, DataUnavailable, evaluation_batches, load, training_batches

pytestmark = pytest.mark.usefixtures("decoders_traced_once")
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
        write_colour(tmp_path / "val" / colour / "one.png", colour, size=9)  # no copy of a training image
    return tmp_path


def test_classes_and_files(folder):
    write_colour(folder / "train" / "green" / "SHOUTED.JPG", "green")
    (folder / "train" / "green" / "notes.txt").write_text("not an image")
    write_colour(folder / "train" / "green" / ".hidden.png", "green")
    dataset = load("image_folder", data_dir=folder, image_size=12)
    assert dataset.class_names == ("green", "red")
    assert dataset.image_shape == (12, 12, 3)
    assert np.bincount(dataset.train.labels).tolist() == [6, 5]
    assert dataset.test.images[:, 0, 0].tolist() == [list(COLOURS["green"]), list(COLOURS["red"])]


def test_what_is_passed_over_is_counted_in_one_warning_and_what_systems_leave_is_not(folder, caplog):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "__MACOSX/0.png", ".ipynb_checkpoints/1.png"):
        (folder / "train" / "red" / name).parent.mkdir(exist_ok=True)
        (folder / "train" / "red" / name).write_bytes(b"junk")
    (folder / "train" / "__MACOSX" / "red").mkdir(parents=True)
    (folder / "train" / "$RECYCLE.BIN").mkdir()
    load("image_folder", data_dir=folder, image_size=8)
    assert not caplog.records
    (folder / "train" / "red" / "labels.csv").write_text("0,1")
    (folder / "train" / "green" / "notes.txt").write_text("BM is no bitmap here")
    (folder / "train" / "green" / "0.png").write_bytes(b"")
    write_colour(folder / "train" / "red" / "large.png", "red", 40)
    dataset = load("image_folder", data_dir=folder, image_size=8, max_pixels=1599)
    assert (dataset.class_names, len(dataset.train)) == (("green", "red"), 9)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{folder / 'train'}: 2 of 11 images cannot be read and are left out; the first is "
        f"{folder / 'train' / 'green' / '0.png'} (not an image that TensorFlow or Pillow can read), then "
        f"{folder / 'train' / 'red' / 'large.png'}; 2 files are no images: "
        f"{folder / 'train' / 'green' / 'notes.txt'}, {folder / 'train' / 'red' / 'labels.csv'}"
    )


def test_folders_within_a_class_count_for_it(folder):
    (folder / "train" / "red" / "more").mkdir()
    write_colour(folder / "train" / "red" / "more" / "again" / "0.png", "red")
    (folder / "train" / "red" / "more" / "back").symlink_to(folder / "train" / "red")
    train = load("image_folder", data_dir=folder, image_size=80).train
    assert train.labels.tolist() == [0] * 5 + [1] * 6
    assert [str(Path(path).relative_to(folder / "train" / "red")) for path in train.images[5:]] == [
        *("0.png", "1.png", "2.png", "3.png", "4.png", "more/again/0.png"),
    ]


def test_images_of_every_format_by_their_content(folder):
    pixels = np.full((8, 8, 3), COLOURS["red"], np.uint8)
    image = Image.fromarray(pixels)
    path = folder / "train" / "red"
    for number in range(5):
        (path / f"{number}.png").unlink()
    for name, form in (
        ("a.webp", "webp"),
        ("b.tiff", "tiff"),
        ("c.avif", "avif"),
        ("d.jfif", "jpeg"),
        ("e.tga", "tga"),
    ):
        image.save(path / name, form, **({"lossless": True} if form == "webp" else {}))
    image.save(path / "f.jpg", "webp", lossless=True)
    image.save(path / "g.png", "tiff")
    image.save(path / "h", "png")
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(path / "i.bmp")
    found = load("image_folder", data_dir=folder, image_size=8).train
    red = found.images[found.labels == 1].astype(int)
    assert len(red) == 9
    np.testing.assert_allclose(red, np.broadcast_to(pixels, red.shape), atol=3)


def test_names_in_latin_1(folder):
    place = os.fsencode(folder / "train" / "red") + b"/caf\xe9.png"
    shutil.copy(folder / "train" / "red" / "0.png", place)
    train = load("image_folder", data_dir=folder, image_size=80).train
    assert len(train) == 11 and train.place(10) == f"{folder / 'train' / 'red'}/caf\\xe9.png"
    (batch,) = evaluation_batches(train, batch_size=11, normalization=NORMALIZATIONS["none"]).as_numpy_iterator()
    np.testing.assert_allclose(batch["images"][10, 40, 40] * 255, COLOURS["red"], atol=1e-3)
    os.mkdir(os.fsencode(folder / "train") + b"/caf\xe9")
    with pytest.raises(
        ValueError, match=r"folder .*train/caf\\xe9 is no UTF-8.* convmv -f latin1 -t utf8 -r"
    ) as caught:
        load("image_folder", data_dir=folder, image_size=8)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_the_test_split_has_three_names(folder, name):
    (folder / "val").rename(folder / name)
    assert len(load("image_folder", data_dir=folder, image_size=8).test) == 2


def test_a_class_missing_from_the_test_split_is_warned_of_and_so_are_copies_of_training_images(folder, caplog):
    (folder / "val" / "green" / "one.png").unlink()
    (folder / "val" / "green").rmdir()
    shutil.copy(folder / "train" / "red" / "3.png", folder / "val" / "red" / "two.png")
    assert load("image_folder", data_dir=folder, image_size=8).test.labels.tolist() == [1, 1]
    assert [one.getMessage() for one in caplog.records] == [
        f"{folder / 'val'} has no images of green, so nothing is measured there",
        f"{folder}: 1 held-out image has the same bytes as a training image, so that its score is too good; it is "
        f"{folder / 'val' / 'red' / 'two.png'}",
    ]


def test_large_images_stay_on_disk_and_small_ones_are_decoded_once(folder):
    small = load("image_folder", data_dir=folder, image_size=64)
    assert not small.train.on_disk and small.augmentation.pad == 4
    large = load("image_folder", data_dir=folder, image_size=65)
    assert large.train.on_disk and large.train.reading.style == "crop"
    assert large.augmentation.pad == 0 and large.augmentation.flip
    assert [Path(path).name for path in large.test.images] == ["one.png", "one.png"]
    asked = load("image_folder", data_dir=folder, image_size=32, reading="crop")
    assert asked.train.on_disk and asked.test.reading.style == "crop"


def test_files_that_cannot_be_read_are_left_out_and_counted_once(folder, caplog):
    (folder / "train" / "red" / "2.png").write_bytes(b"")
    (folder / "train" / "red" / "3.png").write_text("not an image")
    (folder / "train" / "green" / "4.png").write_bytes((folder / "train" / "green" / "3.png").read_bytes()[:-20])
    train = load("image_folder", data_dir=folder, image_size=80).train
    assert [f"{Path(path).parent.name}/{Path(path).name}" for path in train.images] == [
        *("green/0.png", "green/1.png", "green/2.png", "green/3.png"),
        *("red/0.png", "red/1.png", "red/4.png"),
    ]
    assert train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1] and train.index.tolist() == list(range(7))
    (record,) = caplog.records
    message = record.getMessage()
    first = folder / "train" / "green" / "4.png"
    assert message.startswith(
        f"{folder / 'train'}: 3 of 10 images cannot be read and are left out; the first is {first} ("
    )
    assert "\n" not in message


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
    (root / "val" / "red" / "one.png").unlink()
    (root / "val" / "red" / "one.txt").write_text("not an image")


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


def unreadable_class(root: Path) -> None:
    for path in (root / "train" / "red").iterdir():
        path.write_bytes(b"")


def unreadable_test_split(root: Path) -> None:
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"GIF89a and no more")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, "class folder .*train/blue has no images"),
        (class_without_images, "class folder .*val/red has no images"),
        (no_test_split, "needs a folder test or val or validation; found holdout, train"),
        (no_classes, r"train has no class folders; image_folder needs train/<class>/<image>"),
        (unknown_test_class, "val has classes that .*train lacks: blue"),
        (unreadable_class, "train has no image that can be read of red"),
        (unreadable_test_split, "val has no image that can be read"),
    ],
)
def test_a_bad_folder_is_named_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load("image_folder", data_dir=folder, image_size=8)
    assert str(caught.value).startswith("data_dir: ") and "\n" not in str(caught.value)


def test_arguments_that_a_folder_needs(tmp_path):
    with pytest.raises(ValueError, match="'crops' is none of auto, resize, crop, resize_crop; nearest: crop"):
        load("image_folder", data_dir=tmp_path, image_size=8, reading="crops")
    with pytest.raises(ValueError, match=r"^data_dir: image_folder needs one"):
        load("image_folder", image_size=8)
    with pytest.raises(ValueError, match=r"^image_size: image_folder needs one, such as 32 pixels"):
        load("image_folder", data_dir=tmp_path)
    with pytest.raises(DataUnavailable, match=r"^data_dir: .*nowhere is no folder"):
        load("image_folder", data_dir=tmp_path / "nowhere", image_size=8)
