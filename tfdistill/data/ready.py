"""A data set as the batches that `fit` and `evaluate` take, in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tensorflow as tf

from tfdistill.bounds import Number, checked
from tfdistill.data.dataset import Dataset, Split
from tfdistill.data.pipeline import evaluation_batches, training_batches
from tfdistill.data.selection import hold_out
from tfdistill.data.sources import load
from tfdistill.data.transforms.readings import Reading, ReadingName


@dataclass(frozen=True, eq=False)
class ReadyData:
    """What `load_data` gives; it unpacks into `train, test`, or `train, validation, test` where some are held out.

    Attributes:
        train: an epoch of `(images, labels)`, float32 `[batch_size, height, width, channels]`, normalised, and int32
            `[batch_size]`, or the objects of images with boxes, float32 `[batch_size, objects, 6]`. Every pass is an
            epoch of its own, in another order and with other draws of the augmentation.
        test: the whole test split, in its order and not augmented; its last batch may be smaller.
        validation: likewise what is held out of the training split; `None` where nothing is.
        dataset: the data set behind, with its splits and names.
    """

    train: tf.data.Dataset
    test: tf.data.Dataset
    validation: tf.data.Dataset | None
    dataset: Dataset

    def __iter__(self) -> Iterator[tf.data.Dataset]:
        return iter([one for one in (self.train, self.validation, self.test) if one is not None])

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.dataset.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, in the order of the labels."""
        return self.dataset.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`, as networks take it."""
        return self.dataset.image_shape

    @property
    def served(self) -> dict[str, Any]:
        """What an export has to know of the images: `export_network(network, folder, **data.served)`."""
        return {
            "mean": self.dataset.normalization.mean,
            "std": self.dataset.normalization.std,
            "class_names": self.dataset.class_names,
            "reading": self.dataset.test.reading or Reading("resize"),
        }


@checked
def load_data(
    name: str,
    *,
    batch_size: Annotated[int, Number(1, 1_000_000)] = 64,
    validation_share: Annotated[float, Number(0, 1, below=True)] = 0.0,
    augment: bool = True,
    seed: Annotated[int, Number(0, 2**63 - 1)] = 0,
    data_dir: str | Path | None = None,
    image_size: Annotated[int | None, Number(1, 16_384)] = None,
    reading: ReadingName = "auto",
    download: bool = False,
    split: Sequence[float] = (),
) -> ReadyData:
    """Loads a data set by its name, split, augmented and normalised as the command does it.

    >>> train, test = tfdistill.load_data("digits", batch_size=16)
    >>> images, labels = next(iter(train))
    >>> images.shape, labels.shape
    (TensorShape([16, 8, 8, 1]), TensorShape([16]))

    Args:
        name: such as "digits", "cifar100", "image_folder", "tfds:<name>", "digit_scenes" or "voc_folder"; see
            `data.DATASETS`.
        batch_size: examples per batch, over all replicas; in training examples that fill no batch are left out of the
            epoch.
        validation_share: held out of the training split for validation, from 0 to below 1, each class alike.
        augment: whether training images are shifted, mirrored or cropped as the data set's default says.
        seed: of order, augmentation and splits, from 0.
        data_dir: where the data lies: the folder with train/<class>/*.jpg and test/<class>/*.jpg for "image_folder",
            with the annotations for images with boxes, TensorFlow Datasets' own for the sets from there.
        image_size: height and width in pixels; for data whose images are of many sizes.
        reading: how those are brought to that size; see `data.load`.
        download: whether absent data may be downloaded.
        split: for a folder of classes without train/ and test/ above them: the shares of training, perhaps validation,
            and test, such as `(0.8, 0.1, 0.1)`.

    Raises:
        DataUnavailable: the data is not on this machine; the line says how to get it.
        ValueError: an unknown name, a value out of range, or a `validation_share` of a `split` that has a validation
            part already.
    """
    if validation_share and len(split) == 3:
        raise ValueError("validation_share: split has a validation part already; leave one of them out")
    found = load(
        name, data_dir=data_dir, image_size=image_size, download=download, reading=reading, split=split, seed=seed
    )
    train, validation = found.train, found.validation
    if validation_share:
        train, validation = hold_out(train, validation_share, seed)
    normalization = found.normalization
    batches = training_batches(
        train,
        batch_size=batch_size,
        seed=seed,
        augmentation=found.augmentation if augment else None,
        normalization=normalization,
        source=_steps_of_passes(len(train) // batch_size),
    )

    def scored(one: Split) -> tf.data.Dataset:
        full = evaluation_batches(one, batch_size=batch_size, normalization=normalization)
        return full.map(_without_padding, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    return ReadyData(
        train=batches.map(lambda batch: (batch["images"], batch["labels"])),
        test=scored(found.test),
        validation=scored(validation) if validation else None,
        dataset=found,
    )


def _steps_of_passes(steps: int) -> tf.data.Dataset:
    """The numbers of the steps of an epoch; every pass goes on where the one before ended."""
    begun = 0

    def of_a_pass() -> Iterator[int]:
        nonlocal begun
        first, begun = begun, begun + steps
        yield from range(first, first + steps)

    numbers = tf.data.Dataset.from_generator(of_a_pass, output_signature=tf.TensorSpec((), tf.int64))
    return numbers.apply(tf.data.experimental.assert_cardinality(steps))


def _without_padding(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    count = tf.math.count_nonzero(batch["weight"])
    return batch["images"][:count], batch["labels"][:count]
