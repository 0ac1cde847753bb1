"""Pascal VOC as TensorFlow Datasets lays it out, in tiny copies that its own features have written."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data import DataUnavailable, load
from tfdistill.data.sets import load_voc_folder

pytestmark = pytest.mark.usefixtures("decoders_traced_once")

# Of each split: images by number, with VOC's corners (xmin, ymin, xmax, ymax) from 1, class and difficult of objects.
SPLITS = {
    "2007": {
        "train": {1: [((1, 1, 40, 30), "cat", False), ((3, 5, 10, 9), "dog", True)]},
        "validation": {2: []},
        "test": {3: [((2, 2, 20, 30), "dog", False)], 4: [((1, 1, 5, 5), "tvmonitor", True)]},
    },
    "2012": {
        "train": {5: [((11, 1, 20, 30), "person", False)]},
        "validation": {6: [((1, 1, 2, 2), "aeroplane", False)], 7: []},
        "test": {8: []},
    },
}
WIDTH, HEIGHT = 40, 30


@pytest.fixture
def copy(tmp_path):
    """A folder of TensorFlow Datasets with both years."""
    import tensorflow_datasets as tfds

    for year, splits in SPLITS.items():
        builder = tfds.builder(f"voc/{year}", data_dir=tmp_path)
        features, folder = builder.info.features, tmp_path / "voc" / year / "5.0.0"
        folder.mkdir(parents=True)
        template = tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name="voc", filetype_suffix="tfrecord")
        infos = []
        for split, images in splits.items():
            with tf.io.TFRecordWriter(str(folder / f"voc-{split}.tfrecord-00000-of-00001")) as writer:
                for number, objects in images.items():
                    writer.write(features.serialize_example(features.encode_example(example(number, objects))))
            infos.append(tfds.core.SplitInfo(split, [len(images)], 0, template))
        tfds.folder_dataset.write_metadata(
            data_dir=folder, features=features, split_infos=infos, check_data=False, version="5.0.0"
        )
    return tmp_path


def example(number, objects):
    """As the builder makes it of the files of VOC."""
    import tensorflow_datasets as tfds

    return {
        "image": np.full((HEIGHT, WIDTH, 3), number * 20, np.uint8),
        "image/filename": f"{number:06}.jpg",
        "objects": [
            {
                "label": name,
                "pose": "left",
                "bbox": tfds.features.BBox(top / HEIGHT, left / WIDTH, bottom / HEIGHT, right / WIDTH),
                "is_truncated": False,
                "is_difficult": difficult,
            }
            for (left, top, right, bottom), name, difficult in objects
        ],
        "labels": sorted({name for _, name, _ in objects}),
        "labels_no_difficult": sorted({name for _, name, difficult in objects if not difficult}),
    }


def test_both_years_are_trained_on_and_2007_is_scored(copy, caplog):
    found = load("voc", data_dir=copy, image_size=20)
    assert (found.task, found.image_shape, len(found.class_names)) == ("detection", (20, 20, 3), 20)
    assert found.train.images.mean(axis=(1, 2, 3)).round(-1).tolist() == [20, 40, 100, 120, 140]
    numbers = {name: found.class_names.index(name) for name in ("aeroplane", "cat", "dog", "person", "tvmonitor")}
    expected = [[0, 0, 1, 1, numbers["cat"], 0], [4 / 30, 2 / 40, 0.3, 0.25, numbers["dog"], 1]]
    np.testing.assert_allclose(found.train.labels[0], expected, atol=1e-6)
    assert found.train.labels[:, 0, 4].tolist() == [numbers["cat"], -1, numbers["person"], numbers["aeroplane"], -1]
    assert found.test.labels[:, 0, 5].tolist() == [0, 1]
    train, test = caplog.messages
    assert train.startswith("voc/2007, train + voc/2007, validation + voc/2012, train + voc/2012, validation: ")
    assert train.endswith("there is no object to train on of bicycle, bird, boat, bottle, bus and 11 more")
    assert test.startswith("voc/2007, test: there is no object to score on of aeroplane, ")


def test_boxes_are_those_of_vocs_own_files(copy, tmp_path):
    """What the same annotations are as XML in VOC's folders."""
    root = tmp_path / "devkit"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    images = {f"{number:06}": one for part in SPLITS["2007"].values() for number, one in part.items()}
    for name, objects in images.items():
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / f"{name}.jpg")
        boxes = "".join(
            f"<object><name>{kind}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{left}</xmin><ymin>{top}"
            f"</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for (left, top, right, bottom), kind, difficult in objects
        )
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{boxes}</annotation>")
    (root / "ImageSets/Main/trainval.txt").write_text("000001\n000003\n000004")
    (root / "ImageSets/Main/test.txt").write_text("000003\n000004")
    files, records = load_voc_folder(root, 20), load("voc", data_dir=copy, image_size=20)
    same = [labels[..., [0, 1, 2, 3, 5]] for labels in (records.test.labels, files.test.labels)]
    np.testing.assert_allclose(*same, atol=1e-6)


def test_photographs_are_of_300_pixels_unless_another_size_is_said(copy):
    assert load("voc", data_dir=copy).image_shape == (300, 300, 3)


def test_what_is_absent_or_damaged_is_one_line(copy, tmp_path):
    for year, text in (("2012", "voc/2012 has no prepared copy in "), ("2007", "voc/2007 has no prepared copy in ")):
        (copy / "voc" / year).rename(tmp_path / f"away{year}")
        with pytest.raises(DataUnavailable, match=text) as error:
            load("voc", data_dir=copy)
        assert "\n" not in str(error.value)
    for year in SPLITS:
        (tmp_path / f"away{year}").rename(copy / "voc" / year)
    path = copy / "voc/2012/5.0.0/voc-train.tfrecord-00000-of-00001"
    whole = path.read_bytes()
    for content, text in (
        (whole[:-3], "voc-train.tfrecord-00000-of-00001 is damaged: the record at byte 0 goes beyond"),
        (b"", "the train split is damaged: 0 of 1 examples"),
        (whole[:12] + b"\xff" * 30 + whole[42:], "the record at byte 12 of .*voc-train.* cannot be read: "),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=text) as error:
            load("voc", data_dir=copy)
        assert "\n" not in str(error.value)
