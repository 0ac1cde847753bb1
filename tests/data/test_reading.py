"""Readers give the same examples whether they lie in memory, in files or in records, and crops resume exactly."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data import NORMALIZATIONS, Split, describe_unreadable, evaluation_batches, training_batches
from tfdistill.data.checking import unreadable_positions
from tfdistill.data.dataset import RecordFiles
from tfdistill.data.reading import into_memory, make_reader
from tfdistill.data.sets.records import record_spans
from tfdistill.data.transforms.augmentation import Augmentation
from tfdistill.data.transforms.readings import Reading

SHAPE = (24, 24, 3)
EXAMPLES = 12
SETTINGS = {
    "batch_size": 4,
    "seed": 9,
    "augmentation": Augmentation(pad=0, mode="reflect", flip=True),
    "normalization": NORMALIZATIONS["none"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photographs of many sizes, one format after the other, as files and in two record files."""
    root = tmp_path_factory.mktemp("images")
    writers = [tf.io.TFRecordWriter(str(root / f"{part}.tfrecord")) for part in range(2)]
    rng = np.random.default_rng(0)
    for number in range(EXAMPLES):
        height, width = rng.integers(20, 90, 2)
        pixels = np.kron(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8), np.ones((30, 30, 1), np.uint8))
        path = root / f"{number:02d}.{('png', 'jpg', 'bmp')[number % 3]}"
        Image.fromarray(pixels[:height, :width]).save(path)
        feature = tf.train.Feature(bytes_list={"value": [path.read_bytes()]})
        example = tf.train.Example(features={"feature": {"picture": feature}})
        writers[number * 2 // EXAMPLES].write(example.SerializeToString())
    for writer in writers:
        writer.close()
    return root


def split_of(folder: Path, kind: str, style: str = "crop") -> Split:
    labels = np.arange(EXAMPLES)
    if kind == "files":
        paths = sorted(str(path) for path in folder.iterdir() if path.suffix != ".tfrecord")
        return Split.of_files(paths, labels, SHAPE, Reading(style))
    records = RecordFiles(tuple(str(folder / f"{part}.tfrecord") for part in range(2)), "picture")
    return Split.of_records(records, record_spans(records.paths), labels, SHAPE, Reading(style))


def arrays(dataset: tf.data.Dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def assert_equal(left: list[dict], right: list[dict]) -> None:
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize(("kind", "style"), [("files", "crop"), ("records", "crop"), ("files", "resize_crop")])
def test_random_crops_resume_at_any_step(folder, kind, style):
    split = split_of(folder, kind, style)
    whole = arrays(training_batches(split, **SETTINGS, steps=7))
    for first_step in (2, 5):
        late = training_batches(split, **SETTINGS, first_step=first_step, steps=7 - first_step)
        assert late.element_spec["images"] == tf.TensorSpec([4, *SHAPE], tf.float32)
        assert_equal(arrays(late), whole[first_step:])
    by_example: dict[int, list] = {}
    for batch in whole:
        for index, image in zip(batch["index"].tolist(), batch["images"], strict=True):
            by_example.setdefault(index, []).append(image)
    assert all(len(images) >= 2 for images in by_example.values())
    same = [np.array_equal(images[0], images[1]) for images in by_example.values()]
    # Of a squeezed image there are few parts, some of which come again.
    assert not (any if style == "crop" else all)(same), "crops differ by epoch"


@pytest.mark.parametrize("style", ["crop", "resize"])
def test_files_and_records_hold_the_same_images(folder, style):
    files, records = (split_of(folder, kind, style) for kind in ("files", "records"))
    assert_equal(
        arrays(training_batches(files, **SETTINGS, steps=3)), arrays(training_batches(records, **SETTINGS, steps=3))
    )
    chosen = np.array([7, 2, 11])
    evaluated = [
        arrays(evaluation_batches(split.take(chosen), batch_size=2, normalization=NORMALIZATIONS["none"]))
        for split in (files, records)
    ]
    assert_equal(*evaluated)
    assert evaluated[0][0]["labels"].tolist() == [7, 2]


def test_without_augmentation_images_are_read_as_for_evaluation(folder):
    split = split_of(folder, "files")
    plain = arrays(training_batches(split, **{**SETTINGS, "augmentation": None}, steps=1))[0]
    read = make_reader(split, training=False)
    expected = read(tf.constant(plain["index"]))["images"].numpy() / 255
    np.testing.assert_allclose(plain["images"], expected, atol=1e-6)


def test_a_seed_is_needed_for_crops_only(folder):
    positions = tf.constant([0, 1], tf.int64)
    assert make_reader(split_of(folder, "files", "resize"), training=True)(positions)["images"].shape == (2, *SHAPE)
    with pytest.raises(ValueError, match="seed: random crops need one"):
        make_reader(split_of(folder, "files"), training=True)(positions)


def test_small_images_of_one_size_go_to_memory(folder, monkeypatch):
    split = split_of(folder, "records", "resize").take(np.array([5, 1, 8]))
    held = into_memory(split)
    assert not held.on_disk and held.index.tolist() == [5, 1, 8] == held.labels.tolist()
    positions = tf.constant([2, 0], tf.int64)
    expected, found = (make_reader(one, training=True)(positions) for one in (split, held))
    assert_equal([expected], [found])
    assert into_memory(held) is held
    assert into_memory(split_of(folder, "files")).on_disk, "crops are taken from the whole image"
    monkeypatch.setattr("tfdistill.data.reading.LARGEST_IN_MEMORY", 3 * 24 * 24 * 3 - 1)
    assert into_memory(split) is split


def test_an_image_that_is_gone_is_named(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    files, records = split_of(tmp_path, "files"), split_of(tmp_path, "records")
    assert describe_unreadable([files, records]) == ""
    (tmp_path / "03.png").unlink()
    damage(tmp_path / "01.jpg")
    with pytest.raises(tf.errors.OpError):
        arrays(evaluation_batches(files, batch_size=4, normalization=NORMALIZATIONS["none"]))
    assert unreadable_positions(files).tolist() == [1, 3]
    message = describe_unreadable([records, files])
    assert message.startswith(f"image {tmp_path / '01.jpg'} can no longer be read (and 1 more): ")
    assert "\n" not in message
    os.truncate(tmp_path / "1.tfrecord", 40)
    assert unreadable_positions(records).tolist() == list(range(EXAMPLES // 2, EXAMPLES))
    assert f"the record at byte 12 of {tmp_path / '1.tfrecord'}" in describe_unreadable([records])
    assert unreadable_positions(Split.in_memory(np.zeros((1, 2, 2, 3), np.uint8), [0])).tolist() == []


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
