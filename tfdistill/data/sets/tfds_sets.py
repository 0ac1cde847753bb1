"""Any data set of TensorFlow Datasets that has images and one class label each, ImageNet among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from tfdistill.data.checking import unreadable_text
from tfdistill.data.dataset import RecordFiles, Split
from tfdistill.data.reading import into_memory
from tfdistill.data.sets.prepared import prepared_builder
from tfdistill.data.sets.records import readable_examples, record_spans
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading, reading_of

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

TEST_SPLITS = ("test", "validation")
IMAGENET_SIZE = 224
# What a test split of a competition has for a label.
UNLABELLED = -1


def load_tfds(
    name: str, data_dir: Path | None, image_size: int | None, download: bool, reading: str, max_pixels: int = MAX_PIXELS
) -> tuple[Split, Split, tuple[str, ...]]:
    """Finds the examples of a data set by name; the splits are "train" and "test", or else "validation".

    Images that are squeezed to one small size are decoded into memory, all others when a batch needs them.

    Args:
        name: as TensorFlow Datasets has it, with "/config" and ":version" if wanted.
        data_dir: the folder that holds `name/version/`; by default the environment's TFDS_DATA_DIR, and else
            TensorFlow Datasets' own default.
        image_size: height and width of a batch's images; the data set's own if not given and all have one size.
        download: whether to download and prepare the data if it is absent.
        reading: one of `READINGS`.
        max_pixels: of an image, at most; 0 for any.

    Returns:
        (train, test, class names).

    Raises:
        DataUnavailable: if there is no prepared copy.
        ValueError: if there is no such data set, it is damaged, has no image or no class label, lacks a split, has a
            label out of range, or needs an `image_size`.
    """
    return _load(name, data_dir, image_size, download, reading, max_pixels, TEST_SPLITS)


def load_imagenet(
    data_dir: Path | None, image_size: int | None, download: bool, reading: str, max_pixels: int = MAX_PIXELS
) -> tuple[Split, Split, tuple[str, ...]]:
    """As `load_tfds`, for ImageNet (ILSVRC 2012): tested on its validation split, at 224 pixels if none are given."""
    return _load("imagenet2012", data_dir, image_size or IMAGENET_SIZE, download, reading, max_pixels, ("validation",))


def _load(
    name: str,
    data_dir: Path | None,
    image_size: int | None,
    download: bool,
    reading: str,
    max_pixels: int,
    test_splits: tuple[str, ...],
) -> tuple[Split, Split, tuple[str, ...]]:
    builder = prepared_builder(name, data_dir, download)
    image_key, label_key = _features(builder, name)
    shape = _image_shape(builder.info.features[image_key], image_size, name)
    keys = image_key, label_key
    # Images that are of the right size already are not cropped unless that is asked for.
    style = "resize" if image_size is None and reading == "auto" else reading
    chosen = reading_of(style, min(shape[:2]), max_pixels)
    splits = builder.info.splits
    if "train" not in splits:
        raise ValueError(f"{name} has no train split; it has: {', '.join(splits) or 'none'}")
    train = _split(builder, name, "train", keys, shape, chosen)
    for test_name in test_splits:
        if test_name in splits and (test := _split(builder, name, test_name, keys, shape, chosen)) is not None:
            break
    else:
        raise ValueError(f"{name} has no labelled {' or '.join(test_splits)} split; it has: {', '.join(splits)}")
    if train is None:
        raise ValueError(f"{name}: the train split has no labels")
    return into_memory(train), into_memory(test), tuple(builder.info.features[label_key].names)


def _features(builder: tfds.core.DatasetBuilder, name: str) -> tuple[str, str]:
    """Keys of the image and of its class label."""
    import tensorflow_datasets as tfds

    features: Any = builder.info.features
    entries = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    chosen = []
    for kind, usual, text in (
        (tfds.features.Image, "image", "image"),
        (tfds.features.ClassLabel, "label", "class label"),
    ):
        # Exactly these types: some, such as masks and videos, derive from them.
        keys = [key for key, feature in entries.items() if type(feature) is kind]
        if usual in keys:
            keys = [usual]
        if len(keys) != 1:
            found = ", ".join(sorted(entries)) or type(features).__name__
            raise ValueError(f"{name} is no set of images with one class label: it has no one {text} among {found}")
        chosen += keys
    return chosen[0], chosen[1]


def _image_shape(feature: Any, image_size: int | None, name: str) -> tuple[int, int, int]:
    height, width, channels = feature.shape
    if np.dtype(feature.np_dtype) != np.uint8:
        raise ValueError(f"{name} has images of {np.dtype(feature.np_dtype)}; only those of uint8 can be read")
    channels = 1 if channels == 1 else 3
    if image_size is not None:
        return image_size, image_size, channels
    if height is None or width is None:
        raise ValueError(f"image_size: {name} has images of many sizes; say to what height and width they are to come")
    return height, width, channels


def _split(
    builder: tfds.core.DatasetBuilder,
    name: str,
    split_name: str,
    keys: tuple[str, str],
    image_shape: tuple[int, int, int],
    reading: Reading,
) -> Split | None:
    """A split on disk, or None if it has no labels."""
    info = builder.info.splits[split_name]
    image_key, label_key = keys
    records = RecordFiles(tuple(str(path) for path in info.filepaths), image_key)
    spans = record_spans(records.paths)
    if len(spans) != info.num_examples:
        raise ValueError(
            f"{builder.data_dir}: the {split_name} split is damaged: {len(spans)} of {info.num_examples} examples"
        )
    positions, labels = readable_examples(records, spans, label_key, reading.max_pixels)
    if len(positions) < len(spans):
        everything = Split.of_records(records, spans, np.zeros(len(spans), np.int32), image_shape, reading)
        lost = np.setdiff1d(np.arange(len(spans)), positions)
        logging.warning("%s, %s: %s", name, split_name, unreadable_text(everything, lost))
    if not len(positions):
        raise ValueError(f"{builder.data_dir}: the {split_name} split has no images that can be read")
    if np.all(labels == UNLABELLED):
        return None
    classes = builder.info.features[label_key].num_classes
    if len(wrong := np.flatnonzero((labels < 0) | (labels >= classes))):
        raise ValueError(
            f"{name}: label {labels[wrong[0]]} of example {positions[wrong[0]]} of the {split_name} split "
            f"is not in 0..{classes - 1}"
        )
    return Split.of_records(records, spans[positions], labels, image_shape, reading)
