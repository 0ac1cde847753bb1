"""The datasets by name, and `load`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tfdistill.data.augmentation import NORMALIZATIONS, Augmentation
from tfdistill.data.cifar import load_cifar
from tfdistill.data.dataset import Dataset, Split
from tfdistill.data.digits import load_digits
from tfdistill.data.image_folder import load_image_folder


@dataclass(frozen=True)
class Source:
    """An entry of `DATASETS`.

    Args:
        summary: one line for a user who chooses.
        loader: (data_dir, image_size, download) -> (train, test, class names).
        image_size: height and width of its images in pixels; None where the user chooses.
        normalization: name of its default in `NORMALIZATIONS`.
        augmentation: its default for training images.
    """

    summary: str
    loader: Callable[[Path | None, int | None, bool], tuple[Split, Split, tuple[str, ...]]]
    image_size: int | None
    normalization: str
    augmentation: Augmentation


DATASETS = {
    "cifar10": Source(
        summary="CIFAR-10: 50,000 + 10,000 colour images of 32x32, 10 classes, from TensorFlow Datasets",
        loader=lambda data_dir, image_size, download: load_cifar("cifar10", data_dir, download),
        image_size=32,
        normalization="c10wrn",
        augmentation=Augmentation(pad=4, mode="reflect", flip=True),
    ),
    "cifar100": Source(
        summary="CIFAR-100: 50,000 + 10,000 colour images of 32x32, 100 classes, from TensorFlow Datasets",
        loader=lambda data_dir, image_size, download: load_cifar("cifar100", data_dir, download),
        image_size=32,
        normalization="c100",
        augmentation=Augmentation(pad=4, mode="reflect", flip=True),
    ),
    "digits": Source(
        summary="scikit-learn's digits: 1,437 + 360 grey images of 8x8, 10 classes, no download",
        loader=lambda data_dir, image_size, download: load_digits(),
        image_size=8,
        normalization="digits",
        augmentation=Augmentation(pad=1, mode="zero", flip=False),
    ),
    "image_folder": Source(
        summary="your images: train/<class>/*.jpg and test/<class>/*.jpg in data_dir, resized to image_size",
        loader=lambda data_dir, image_size, download: load_image_folder(data_dir, image_size),
        image_size=None,
        normalization="imagenet",
        augmentation=Augmentation(pad=4, mode="reflect", flip=True),
    ),
}


def load(
    name: str, *, data_dir: str | Path | None = None, image_size: int | None = None, download: bool = False
) -> Dataset:
    """Loads a dataset by name.

    Args:
        name: a key of `DATASETS`.
        data_dir: where the data lies: for CIFAR a folder of TensorFlow Datasets (default: TFDS_DATA_DIR, then
            the library's own), for "image_folder" the folder with train/ and test/; "digits" needs none.
        image_size: height and width in pixels, for "image_folder"; the other datasets have one size only.
        download: whether absent data may be downloaded (CIFAR only).

    Returns:
        The dataset, with its default normalisation and augmentation.

    Raises:
        DataUnavailable: if the data is not on this machine.
        ValueError: if the name is unknown, the size is not the dataset's, or the data is damaged.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(DATASETS)}"
        raise ValueError(f"dataset {name!r} is unknown; {hint}")
    source = DATASETS[name]
    if source.image_size and image_size not in (None, source.image_size):
        raise ValueError(f"image_size of {name} is {source.image_size}, got {image_size}; leave it out")
    train, test, class_names = source.loader(Path(data_dir) if data_dir else None, image_size, download)
    return Dataset(
        name=name,
        image_shape=train.image_shape,
        class_names=class_names,
        train=train,
        test=test,
        normalization=NORMALIZATIONS[source.normalization],
        augmentation=source.augmentation,
    )
