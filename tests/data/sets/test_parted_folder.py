"""A folder of classes without a split of its own: who is in which part, and what is refused or told."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfdistill.data import hold_out, load
from tfdistill.data.selection import parts_by_shares

pytestmark = pytest.mark.usefixtures("decoders_traced_once")
COUNTS = {"ant": 20, "bee": 10, "cat": 3}


def write(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Every image has a shade of its own, by which it is known once it is in memory."""
    shade = 0
    for name, count in COUNTS.items():
        for number in range(count):
            write(tmp_path / "data" / name / f"{number:02d}.png", shade)
            shade += 1
    return tmp_path / "data"


def loaded(folder, *shares, seed=1, **settings):
    return load("image_folder", data_dir=folder, image_size=6, split=shares, seed=seed, **settings)


def shades(split):
    return split.images[:, 0, 0, 0].tolist()


def test_three_parts_are_everything_once_and_each_class_is_in_all_by_its_share(folder):
    dataset = loaded(folder, 0.7, 0.1, 0.2)
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [len(part) for part in parts] == [23, 3, 7]
    assert sorted(shade for part in parts for shade in shades(part)) == list(range(33))
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        counts = np.bincount(part.labels, minlength=3)
        assert np.abs(counts - share * np.array([20, 10, 3])).max() <= 1
        assert part.index.tolist() == list(range(len(part))) and (np.diff(shades(part)) > 0).all()
    assert dataset.class_names == tuple(COUNTS)


def test_the_parts_are_a_function_of_seed_and_order_of_names(folder, tmp_path):
    first = loaded(folder, 0.8, 0.2)
    assert first.validation is None
    folder.rename(tmp_path / "elsewhere")
    assert shades(loaded(tmp_path / "elsewhere", 0.8, 0.2).test) == shades(first.test)
    assert shades(loaded(tmp_path / "elsewhere", 0.8, 0.2, seed=2).test) != shades(first.test)
    # A validation part is taken from the training part, and leaves the test part alone.
    assert shades(loaded(tmp_path / "elsewhere", 0.5, 0.3, 0.2).test) == shades(first.test)


def test_an_image_that_cannot_be_read_moves_no_other(folder, caplog):
    before = loaded(folder, 0.7, 0.1, 0.2)
    lost = shades(before.test)[0]
    (folder / "ant" / f"{lost:02d}.png").write_bytes(b"GIF89a and no more")
    (folder / "labels.csv").write_text("no image")
    (folder / ".DS_Store").write_bytes(b"junk")
    (folder / "bee" / "more").mkdir()
    (folder / "bee" / "more" / "back").symlink_to(folder / "bee")
    after = loaded(folder, 0.7, 0.1, 0.2)
    assert shades(after.test) == shades(before.test)[1:]
    assert after.marks == before.marks and set(after.marks) == {"training", "validation", "test"}
    assert shades(after.train) == shades(before.train) and shades(after.validation) == shades(before.validation)
    record = caplog.records[1]  # after the first load's, and before the same again
    assert "1 of 33 images cannot be read" in record.getMessage()
    assert record.getMessage().endswith(f"1 file is no image: {folder / 'labels.csv'}")


def test_an_image_that_comes_or_goes_changes_the_marks_of_the_parts(folder, tmp_path):
    before = loaded(folder, 0.8, 0.2).marks
    assert (
        loaded(folder, 0.6, 0.2, 0.2).marks["test"] == before["test"] != loaded(folder, 0.8, 0.2, seed=2).marks["test"]
    )
    folder.rename(tmp_path / "elsewhere")
    assert loaded(tmp_path / "elsewhere", 0.8, 0.2).marks == before
    write(tmp_path / "elsewhere" / "ant" / "99.png", 99)
    assert all(mark != before[part] for part, mark in loaded(tmp_path / "elsewhere", 0.8, 0.2).marks.items())
    assert not load("digits").marks


def test_small_classes_and_copies_of_training_images_are_told_with_counts(folder, caplog):
    write(folder / "dog" / "0.png", 200)
    whole = loaded(folder, 0.8, 0.2)
    twin = shades(whole.train)[0]
    held_out = next(path for path in folder.rglob("*.png") if _shade(path) == shades(whole.test)[0])
    caplog.clear()
    write(held_out, twin)
    loaded(folder, 0.8, 0.2)
    few, twice = (record.getMessage() for record in caplog.records)
    assert few == (f"{folder}: the test part has no images of dog (1 image in all), so nothing is measured there")
    assert twice == (
        f"{folder}: 1 held-out image has the same bytes as a training image, so that its score is too good; it is "
        f"{held_out}"
    )


def _shade(path):
    return int(np.asarray(Image.open(path))[0, 0, 0])


def empty_class(folder):
    (folder / "dog").mkdir()


def one_class(folder):
    for name in ("bee", "cat"):
        (folder / name).rename(folder.parent / name)


def no_class(folder):
    one_class(folder)
    (folder / "ant").rename(folder.parent / "ant")


def few(folder):
    for path in sorted(folder.rglob("*.png"))[3:]:
        path.unlink()
    for name in ("bee", "cat"):
        write(folder / name / "0.png", 1)


def with_a_split(folder):
    (folder / "ant").rename(folder / "train")
    (folder / "bee").rename(folder / "val")


def training_alone(folder):
    for path in list(folder.iterdir()):
        (folder / "train").mkdir(exist_ok=True)
        path.rename(folder / "train" / path.name)


@pytest.mark.parametrize(
    ("spoil", "shares", "message"),
    [
        (
            training_alone,
            (0.8, 0.2),
            "data_dir: .* has train/ alone, with the classes in it; give --data_dir=.*/train$",
        ),
        (
            training_alone,
            (),
            "folder test or val .* found train; to part the training images give --data_dir=.*/train and",
        ),
        (None, (0.8, 0.1), "split: the shares must add up to 1, 0.8,0.1 add up to 0.9"),
        (None, (1.0,), "split: must be two shares .training, test. or three .* not '1'; such as 0.8,0.1,0.1"),
        (None, (1.2, -0.2), "split: every share must be above 0 and below 1, not 1.2,-0.2"),
        (None, (math.nan, 0.5), "split: every share must be above 0 and below 1, not nan,0.5"),
        (None, (0.98, 0.01, 0.01), "split: 0.98,0.01,0.01 of 33 examples leaves a part empty; give more examples"),
        (None, (0.1, 0.9), r"split: leaves no training image of cat \(3 images in all\); add images, or give training"),
        (empty_class, (0.8, 0.2), "class folder .*dog has no images"),
        (one_class, (0.8, 0.2), "data_dir: .* has one class folder only, ant; a classifier needs two or more"),
        (no_class, (0.8, 0.2), "has no class folders; image_folder needs <class>/<image>"),
        (with_a_split, (0.8, 0.2), "split: .* has a split of its own, train/ and val/; leave --split out"),
        (None, (), "needs a folder train; found ant, bee, cat; classes without a split need one, such as --split=0.8"),
        (few, (0.9, 0.05, 0.05), "split: 0.9,0.05,0.05 of 5 examples leaves a part empty"),
    ],
)
def test_a_bad_folder_or_share_is_refused_in_one_line(folder, spoil, shares, message):
    if spoil:
        spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        loaded(folder, *shares)
    assert "\n" not in str(caught.value)


def test_shares_are_for_image_folders():
    with pytest.raises(ValueError, match=r"^split: is for --dataset=image_folder; digits has its own parts, leave it"):
        load("digits", split=(0.8, 0.2))


def test_parts_and_holding_out_draw_alike():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    _, validation, test = parts_by_shares(labels, (0.6, 0.2, 0.2), seed=3)
    assert np.bincount(labels[test]).tolist() == np.bincount(labels[validation]).tolist() == [10, 6, 4]
    split = load("digits").test
    kept, held = hold_out(split, 0.25, seed=3)
    most, fewest = parts_by_shares(split.labels, (0.75, 0.25), seed=3)
    assert kept.index.tolist() == split.index[most].tolist() and held.index.tolist() == split.index[fewest].tolist()
