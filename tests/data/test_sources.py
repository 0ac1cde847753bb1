"""Datasets by name: digits, CIFAR from a prepared copy, and what is said when there is none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import DATASETS, NORMALIZATIONS, BoxAugmentation, DataUnavailable, load, take_subset

CLASS_NAMES = ["cat", "dog", "eel"]


def test_the_table_is_complete():
    classes = ["cifar10", "cifar100", "digits", "image_folder", "imagenet2012"]
    boxes = ["digit_scenes", "voc", "voc_folder", "coco_json"]
    assert sorted(DATASETS) == sorted(classes + boxes)
    for name, source in DATASETS.items():
        assert source.task == ("detection" if name in boxes else "classification")
        assert isinstance(source.augmentation, BoxAugmentation) == (name in boxes)
        assert source.normalization in NORMALIZATIONS
        assert source.summary and "\n" not in source.summary


def test_digits():
    dataset = load("digits")
    assert (dataset.name, dataset.image_shape) == ("digits", (8, 8, 1))
    assert dataset.class_names == tuple("0123456789")
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    assert dataset.train.images.dtype == np.uint8
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)
    for split, share in ((dataset.train, 0.8), (dataset.test, 0.2)):
        np.testing.assert_allclose(
            np.bincount(split.labels) / share, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], atol=5
        )


def test_digit_scenes_are_for_detection():
    dataset = load("digit_scenes")
    assert (dataset.task, load("digits").task) == ("detection", "classification")
    assert (dataset.image_shape, dataset.class_names) == ((96, 96, 1), tuple("0123456789"))
    assert (dataset.train.labels.shape, dataset.test.labels.shape) == ((2000, 5, 6), (400, 5, 6))
    assert not dataset.augmentation.mirror, "a mirrored digit is another sign"
    pixels = dataset.train.images / 255
    np.testing.assert_allclose([pixels.mean(), pixels.std()], np.ravel([*vars(dataset.normalization).values()]), 1e-6)


def test_digits_splits_never_change():
    dataset = load("digits")
    weights = np.arange(1, 361)
    assert int((dataset.test.labels * weights).sum()) == 293494
    assert int((dataset.test.images.sum((1, 2, 3), dtype=np.int64) * weights).sum()) == 322398893


def test_digits_splits_are_disjoint():
    from sklearn.datasets import load_digits

    dataset = load("digits")
    pixels = np.concatenate([dataset.train.images, dataset.test.images]).reshape(-1, 64)
    original = np.rint(load_digits().images.reshape(-1, 64) * 255 / 16)
    assert sorted(map(tuple, pixels.tolist())) == sorted(map(tuple, original.tolist()))


def prepare_cifar(root: Path, name: str, train: int, test: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes a tiny copy as TensorFlow Datasets lays it out, and returns its images and labels."""
    import tensorflow_datasets as tfds

    folder = root / name / "3.0.2"
    folder.mkdir(parents=True)
    arrays, infos = {}, []
    template = tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name=name, filetype_suffix="tfrecord")
    for seed, (split, examples) in enumerate({"train": train, "test": test}.items()):
        rng = np.random.default_rng(seed)
        images, labels = rng.integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8), np.arange(examples) % 3
        with tf.io.TFRecordWriter(str(folder / f"{name}-{split}.tfrecord-00000-of-00001")) as writer:
            for image, label in zip(images, labels, strict=True):
                features = {
                    "image": tf.train.Feature(bytes_list={"value": [tf.io.encode_png(image).numpy()]}),
                    "label": tf.train.Feature(int64_list={"value": [label]}),
                }
                writer.write(tf.train.Example(features={"feature": features}).SerializeToString())
        arrays[split] = images, labels
        infos.append(tfds.core.SplitInfo(split, [examples], 0, template))
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=CLASS_NAMES),
            }
        ),
        split_infos=infos,
        check_data=False,
    )
    return arrays


@pytest.mark.parametrize("where", ["argument", "environment"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_from_a_prepared_copy(tmp_path, monkeypatch, name, where):
    # More examples than a block of the decoder, so that order across blocks is seen too.
    written = prepare_cifar(tmp_path, name, train=600, test=7)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path if where == "environment" else tmp_path / "elsewhere"))
    dataset = load(name, data_dir=tmp_path if where == "argument" else None)
    assert dataset.class_names == tuple(CLASS_NAMES)
    assert dataset.image_shape == (32, 32, 3)
    for split, (images, labels) in zip((dataset.train, dataset.test), written.values(), strict=True):
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        np.testing.assert_array_equal(split.index, np.arange(len(images)))


def record_file(root: Path) -> Path:
    return root / "cifar10" / "3.0.2" / "cifar10-test.tfrecord-00000-of-00001"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def lose_the_records(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lose_the_records, Path.unlink])
def test_a_damaged_copy_is_named_in_one_line(tmp_path, damage):
    prepare_cifar(tmp_path, "cifar10", train=3, test=3)
    damage(record_file(tmp_path))
    with pytest.raises(ValueError, match=r"cifar10/3\.0\.2: the test split is damaged") as caught:
        load("cifar10", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_absent_cifar_says_how_to_get_it(tmp_path, name):
    with pytest.raises(DataUnavailable) as caught:
        load(name, data_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for hint in (name, str(tmp_path), "data_dir", "TFDS_DATA_DIR", f"tfds build {name}", "download"):
        assert hint in message
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_says_why(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(self, **settings):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("tfdistill.data.sets.prepared._require_host", lambda builder, name: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(DataUnavailable, match=r"cifar10 could not be downloaded to .*: no route to host"):
        load("cifar10", data_dir=tmp_path, download=True)


def test_without_network_the_download_is_not_begun(tmp_path, monkeypatch):
    def unreachable(address, timeout):
        raise OSError("name resolution failed")

    monkeypatch.setattr("socket.create_connection", unreachable)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(DataUnavailable, match="cannot be reached to download it: point data_dir") as caught:
        load("cifar100", data_dir=tmp_path, download=True)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_read(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def prepare(self):
        prepare_cifar(tmp_path, "cifar10", train=4, test=2)
        self.info.read_from_directory(self.data_dir)

    monkeypatch.setattr("tfdistill.data.sets.prepared._require_host", lambda builder, name: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare)
    dataset = load("cifar10", data_dir=tmp_path, download=True)
    assert (len(dataset.train), len(dataset.test)) == (4, 2)


CIFAR100_COPY = Path(os.environ.get("TFDS_DATA_DIR", "nowhere")) / "cifar100"


@pytest.mark.skipif(not CIFAR100_COPY.is_dir(), reason="TFDS_DATA_DIR holds no prepared cifar100")
def test_the_real_cifar100():
    import tensorflow_datasets as tfds

    dataset = load("cifar100")
    assert dataset.train.images.shape == (50_000, 32, 32, 3)
    assert set(np.bincount(dataset.train.labels)) == {500}
    assert set(np.bincount(dataset.test.labels)) == {100}
    assert (dataset.class_names[0], dataset.class_names[-1]) == ("apple", "worm")
    # The published constants are this data's own statistics.
    pixels = take_subset(dataset.train, 5000, seed=0).images.reshape(-1, 3) / 255
    np.testing.assert_allclose(pixels.mean(0), dataset.normalization.mean, atol=0.01)
    np.testing.assert_allclose(pixels.std(0), dataset.normalization.std, atol=0.01)
    # The library's own reader, which ours bypasses for speed, sees the same examples in the same order.
    reference = tfds.load("cifar100", split="test[:50]", download=False, try_gcs=False, batch_size=-1)
    np.testing.assert_array_equal(dataset.test.images[:50], reference["image"])
    np.testing.assert_array_equal(dataset.test.labels[:50], reference["label"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cifar"}, "dataset: 'cifar' is unknown; nearest: cifar10"),
        ({"name": "mnist"}, "dataset: 'mnist' is unknown; .*; tfds:<name> is any of TensorFlow Datasets"),
        ({"name": "tfds:"}, "dataset: 'tfds:' is unknown"),
        ({"name": "tfds:../mnist"}, "dataset: 'tfds:../mnist' is unknown"),
        ({"name": "digits", "reading": "crop"}, "reading: the images of digits are 8x8; leave it out"),
        ({"name": "digits", "image_size": 32}, "image_size of digits is 8, got 32; leave it out"),
        ({"name": "digit_scenes", "image_size": 300}, "image_size of digit_scenes is 96, got 300; leave it out"),
        ({"name": "voc_folder"}, "data_dir: voc_folder needs one, Annotations/"),
        ({"name": "coco_json", "data_dir": "."}, "image_size: coco_json needs one, .*: 300 for .* ssd300_.*, 96 for"),
        ({"name": "voc_folder", "data_dir": ".", "image_size": 96, "reading": "crop"}, "reading: the images of voc_f"),
        ({"name": "coco_json", "data_dir": ".", "split": (0.8, 0.2)}, "split: is for --dataset=image_folder; coco_js"),
    ],
)
def test_bad_arguments_are_named_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(**settings)
    assert "\n" not in str(caught.value)


def test_the_import_stays_light():
    # scikit-learn's base is imported by Keras itself; its datasets are ours to load late.
    code = "import sys, tfdistill.data; print({'tensorflow_datasets', 'sklearn.datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr[-3000:]
