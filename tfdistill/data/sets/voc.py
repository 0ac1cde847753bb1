"""Pascal VOC through TensorFlow Datasets: trained on 2007 and 2012, tested on 2007."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from PIL import Image, UnidentifiedImageError

from tfdistill.data.dataset import Loaded, RecordFiles, Split
from tfdistill.data.sets.annotations import Purpose, check_classes, packed, readable_split
from tfdistill.data.sets.prepared import prepared_builder
from tfdistill.data.sets.records import record_spans
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

YEARS = ("2007", "2012")
# Splits as TensorFlow Datasets calls them; the tests of 2012 have no annotations.
TRAIN = tuple((year, split) for year in YEARS for split in ("train", "validation"))
TEST = (("2007", "test"),)
SIZE = 300


def load_voc(data_dir: Path | None, image_size: int | None, download: bool, max_pixels: int = MAX_PIXELS) -> Loaded:
    """Pascal VOC: `voc/2007` and `voc/2012`, trainval of both to train on, the test part of 2007 to score on.

    Args:
        data_dir: the folder that holds `voc/2007/...` and `voc/2012/...`; by default the environment's TFDS_DATA_DIR,
            and else TensorFlow Datasets' own default.
        image_size: height and width of a batch's images, to which whole images are squeezed; 300 if not given.
        download: whether to download and prepare the data if it is absent.
        max_pixels: of an image, at most; 0 for any.

    Returns:
        two splits, whose labels are float32 [N, objects, 6] as of `Split`, and the names of the 20 classes. Boxes are
        VOC's, of which the last row and column of pixels belong to the object, as `load_voc_folder` reads them.

    Raises:
        DataUnavailable: if there is no prepared copy.
        ValueError: it is damaged; one line names the file.
    """
    builders = {year: prepared_builder(f"voc/{year}", data_dir, download) for year in YEARS}
    class_names = tuple(builders[YEARS[0]].info.features["objects"]["label"].names)
    size = image_size or SIZE
    splits = []
    for parts, purpose in zip((TRAIN, TEST), get_args(Purpose), strict=True):
        records, spans = _records([(builders[year], split) for year, split in parts])
        labels = packed([_objects(*one) for one in _examples(records, spans)])
        title = " + ".join(f"voc/{year}, {split}" for year, split in parts)
        check_classes(labels, class_names, title, purpose)
        reading = Reading("resize", max_pixels=max_pixels)
        splits.append(readable_split(Split.of_records(records, spans, labels, (size, size, 3), reading)))
    return Loaded(splits[0], splits[1], class_names)


def _records(parts: Sequence[tuple[tfds.core.DatasetBuilder, str]]) -> tuple[RecordFiles, np.ndarray]:
    """The files of several splits, and where each record lies in them."""
    infos = [(builder, split, builder.info.splits[split]) for builder, split in parts]
    for builder, split, info in infos:
        found = len(record_spans([str(path) for path in info.filepaths]))
        if found != info.num_examples:
            raise ValueError(
                f"{builder.data_dir}: the {split} split is damaged: {found} of {info.num_examples} examples"
            )
    records = RecordFiles(tuple(str(path) for _, _, info in infos for path in info.filepaths), "image")
    return records, record_spans(records.paths)


def _examples(records: RecordFiles, spans: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Each record, and where it lies, for messages."""
    for number, path in enumerate(records.paths):
        with open(path, "rb") as file:
            for _, offset, length in spans[spans[:, 0] == number]:
                file.seek(offset)
                yield f"the record at byte {offset} of {path}", file.read(length)


def _objects(where: str, record: bytes) -> np.ndarray:
    """Rows of the labels of an example."""
    try:
        features = tf.train.Example.FromString(record).features.feature
        with Image.open(io.BytesIO(features["image"].bytes_list.value[0])) as image:
            width, height = image.size
    except (DecodeError, IndexError, OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    corners = np.array(features["objects/bbox"].float_list.value, np.float64).reshape(-1, 4)
    # TensorFlow Datasets divides VOC's numbers of pixels, which count from 1, by the size.
    corners[:, :2] -= [1 / height, 1 / width]
    others = [features[f"objects/{name}"].int64_list.value for name in ("label", "is_difficult")]
    return np.concatenate([np.clip(corners, 0, 1), np.array(others, np.float64).reshape(2, -1).T], axis=1)
