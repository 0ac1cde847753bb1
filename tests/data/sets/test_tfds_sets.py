"""Data sets of TensorFlow Datasets by name, out of tiny copies laid out as it does."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import DataUnavailable, evaluation_batches, load

NAMES = ["cat", "dog", "eel"]


def picture(number: int, size: tuple[int, int] | None) -> np.ndarray:
    height, width = size or (20 + number, 30)
    return np.full((height, width, 3), [number * 20, 100, 200], np.uint8)


def prepare(
    root: Path,
    splits: dict[str, list[int]],
    *,
    name: str = "toys",
    size: tuple[int, int] | None = None,
    broken: tuple[int, ...] = (),
    features: dict | None = None,
    version: str = "1.0.0",
) -> Path:
    """Writes a copy whose examples have these labels, in two shards each; returns its folder."""
    import tensorflow_datasets as tfds

    folder = root / name / version
    folder.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name=name, filetype_suffix="tfrecord")
    infos = []
    for split, labels in splits.items():
        lengths = [len(labels) // 2, len(labels) - len(labels) // 2]
        numbers = iter(enumerate(labels))
        for shard, length in enumerate(lengths):
            with tf.io.TFRecordWriter(str(folder / f"{name}-{split}.tfrecord-{shard:05d}-of-00002")) as writer:
                for _ in range(length):
                    writer.write(example(*next(numbers), size, broken))
        infos.append(tfds.core.SplitInfo(split, lengths, 0, template))
    kinds = features or {
        "image": tfds.features.Image(shape=(*(size or (None, None)), 3)),
        "label": tfds.features.ClassLabel(names=NAMES),
    }
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(kinds),
        split_infos=infos,
        check_data=False,
        version=version,
    )
    return folder


def example(number: int, label: int, size: tuple[int, int] | None, broken: tuple[int, ...]) -> bytes:
    contents = tf.io.encode_png(picture(number, size)).numpy()
    features = {
        "image": tf.train.Feature(bytes_list={"value": [contents[:-20] if number in broken else contents]}),
        "label": tf.train.Feature(int64_list={"value": [label]}),
    }
    return tf.train.Example(features={"feature": features}).SerializeToString()


def test_images_of_one_size_go_to_memory(tmp_path):
    prepare(tmp_path, {"train": [0, 1, 2, 1, 0], "test": [2, 0]}, size=(6, 7))
    dataset = load("tfds:toys", data_dir=tmp_path)
    assert dataset.class_names == tuple(NAMES) and dataset.image_shape == (6, 7, 3)
    assert dataset.train.labels.tolist() == [0, 1, 2, 1, 0] and dataset.test.labels.tolist() == [2, 0]
    np.testing.assert_array_equal(dataset.train.images, [picture(number, (6, 7)) for number in range(5)])
    assert dataset.augmentation.pad == 4 and len(dataset.normalization.mean) == 3


def test_images_of_many_sizes_are_brought_to_one(tmp_path):
    prepare(tmp_path, {"train": [0, 1, 2, 1, 0], "validation": [2, 0]})
    small = load("tfds:toys:1.0.0", data_dir=tmp_path, image_size=12)
    assert not small.train.on_disk and small.image_shape == (12, 12, 3)
    large = load("tfds:toys", data_dir=tmp_path, image_size=70)
    assert large.train.on_disk and large.train.reading.style == "crop" and large.augmentation.pad == 0
    (batch,) = evaluation_batches(large.test, batch_size=2, normalization=large.normalization).as_numpy_iterator()
    pixels = batch["images"] * large.normalization.std + large.normalization.mean
    np.testing.assert_allclose(pixels[:, 35, 35] * 255, [[0, 100, 200], [20, 100, 200]], atol=1e-3)
    with pytest.raises(ValueError, match="image_size: toys has images of many sizes"):
        load("tfds:toys", data_dir=tmp_path)


def test_grey_images_stay_grey(tmp_path):
    import tensorflow_datasets as tfds

    features = {
        "picture": tfds.features.Image(shape=(8, 8, 1)),
        "kind": tfds.features.ClassLabel(num_classes=2),
        "name": tfds.features.Text(),
    }
    folder = prepare(tmp_path, {"train": [], "test": []}, features=features)
    for split in ("train", "test"):
        contents = tf.io.encode_png(np.full((8, 8, 1), 77, np.uint8)).numpy()
        fields = {
            "picture": tf.train.Feature(bytes_list={"value": [contents]}),
            "kind": tf.train.Feature(int64_list={"value": [1]}),
        }
        with tf.io.TFRecordWriter(str(folder / f"toys-{split}.tfrecord-00000-of-00001")) as writer:
            writer.write(tf.train.Example(features={"feature": fields}).SerializeToString())
    template = tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name="toys", filetype_suffix="tfrecord")
    infos = [tfds.core.SplitInfo(split, [1], 0, template) for split in ("train", "test")]
    kinds = tfds.features.FeaturesDict(features)
    tfds.folder_dataset.write_metadata(data_dir=folder, features=kinds, split_infos=infos, check_data=False)
    dataset = load("tfds:toys", data_dir=tmp_path)
    assert dataset.image_shape == (8, 8, 1) and dataset.class_names == ("0", "1")
    assert dataset.train.images.tolist() == np.full((1, 8, 8, 1), 77).tolist()
    assert len(dataset.normalization.mean) == 1


def test_a_test_split_without_labels_gives_way_to_the_validation_split(tmp_path):
    prepare(tmp_path, {"train": [0, 1], "test": [-1, -1, -1], "validation": [2]}, size=(4, 4))
    assert load("tfds:toys", data_dir=tmp_path).test.labels.tolist() == [2]


def test_images_that_cannot_be_decoded_are_left_out_and_counted_once(tmp_path, caplog):
    folder = prepare(tmp_path, {"train": [0, 1, 2, 1, 0], "test": [2]}, broken=(1, 3))
    dataset = load("tfds:toys", data_dir=tmp_path, image_size=70)
    assert dataset.train.labels.tolist() == [0, 2, 0] and dataset.train.index.tolist() == [0, 1, 2]
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("toys, train: 2 of 5 images cannot be read and are left out; the first is the record at ")
    assert str(folder / "toys-train.tfrecord-00000-of-00002") in message and "\n" not in message


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0, 3], "test": [1]}, r"toys: label 3 of example 1 of the train split is not in 0\.\.2"),
        ({"train": [0, 1], "test": [1, -2]}, r"toys: label -2 of example 1 of the test split is not in 0\.\.2"),
        ({"train": [0, 1]}, "toys has no labelled test or validation split; it has: train"),
        ({"test": [0, 1]}, "toys has no train split; it has: test"),
        ({"train": [-1, -1], "test": [1]}, "toys: the train split has no labels"),
    ],
)
def test_labels_and_splits_that_do_not_fit_are_named_in_one_line(tmp_path, splits, message):
    prepare(tmp_path, splits, size=(4, 4))
    with pytest.raises(ValueError, match=message) as caught:
        load("tfds:toys", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_set_without_image_or_label_is_named_in_one_line(tmp_path):
    import tensorflow_datasets as tfds

    label, text = tfds.features.ClassLabel(num_classes=2), tfds.features.Text()
    image = tfds.features.Image()
    for number, (features, missing) in enumerate(
        [
            ({"text": text, "label": label}, "no one image among label, text"),
            ({"image": image, "text": text}, "no one class label among image, text"),
            ({"image": image, "a": label, "b": label}, "no one class label among a, b, image"),
        ]
    ):
        prepare(tmp_path, {"train": [0], "test": [0]}, name=f"set{number}", features=features)
        with pytest.raises(ValueError, match=f"set{number} is no set of images with one class label: .*{missing}"):
            load(f"tfds:set{number}", data_dir=tmp_path, image_size=8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "is damaged: the record at byte .* goes beyond"),
        (lambda path: path.write_bytes(b""), r"toys/1\.0\.0: the train split is damaged: 2 of 4 examples"),
        (Path.unlink, "toys-train.tfrecord-00001-of-00002 cannot be read: No such file"),
    ],
)
def test_a_damaged_copy_is_named_in_one_line(tmp_path, damage, message):
    folder = prepare(tmp_path, {"train": [0, 1, 2, 0], "test": [0, 1]}, size=(4, 4))
    damage(folder / "toys-train.tfrecord-00001-of-00002")
    with pytest.raises(ValueError, match=message) as caught:
        load("tfds:toys", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_imagenet_says_what_to_put_where(tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        load("imagenet2012", data_dir=tmp_path, download=True)
    message = str(caught.value)
    for part in (
        "ILSVRC2012_img_train.tar",
        "ILSVRC2012_img_val.tar",
        str(tmp_path / "downloads" / "manual"),
        f"`tfds build imagenet2012 --data_dir={tmp_path}`",
    ):
        assert part in message
    assert "\n" not in message


def test_imagenet_is_tested_on_its_validation_split(tmp_path):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=NAMES)}
    splits = {"train": [0, 1, 2], "validation": [1, 2], "test": [-1]}
    prepare(tmp_path, splits, name="imagenet2012", features=features, version="5.1.0")
    dataset = load("imagenet2012", data_dir=tmp_path)
    assert dataset.image_shape == (224, 224, 3) and dataset.test.labels.tolist() == [1, 2]
    assert dataset.train.reading.style == "crop" and dataset.name == "imagenet2012"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:mnst", "dataset 'mnst' is unknown to TensorFlow Datasets; nearest: mnist"),
        ("tfds:mnist/large", "dataset 'mnist/large' of TensorFlow Datasets: "),
    ],
)
def test_an_unknown_name_is_said_in_one_line(tmp_path, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(name, data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_images_of_too_many_pixels_are_left_out_and_counted(tmp_path, caplog):
    prepare(tmp_path, {"train": [0, 1, 2, 1, 0], "validation": [2, 0]})
    dataset = load("tfds:toys", data_dir=tmp_path, image_size=12, max_pixels=30 * 22)
    assert dataset.train.labels.tolist() == [0, 1, 2] and len(dataset.test) == 2
    (record,) = caplog.records
    assert record.getMessage().startswith("toys, train: 2 of 5 images")
    assert "(30 x 23 pixels are more than max_pixels=660)" in record.getMessage()
