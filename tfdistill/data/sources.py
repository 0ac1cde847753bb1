"""The datasets by name, and `load`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfdistill.bounds import nearest
from tfdistill.data import sets
from tfdistill.data.dataset import Dataset, Loaded, Split, TaskName
from tfdistill.data.selection import check_shares
from tfdistill.data.transforms.augmentation import NORMALIZATIONS, Augmentation, BoxAugmentation
from tfdistill.data.transforms.readings import MAX_PIXELS, ReadingName


@dataclass(frozen=True)
class Request:
    """What `load` is asked for, besides the name."""

    data_dir: Path | None
    image_size: int | None
    download: bool
    reading: str
    max_pixels: int = MAX_PIXELS
    shares: tuple[float, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """An entry of `DATASETS`.

    Args:
        summary: one line for a user who chooses.
        loader: from what is asked for to the fields of `Loaded`.
        image_size: height and width of its images in pixels; None where the user chooses.
        normalization: name of its default in `NORMALIZATIONS`.
        augmentation: its default for training images, unless they are read as random crops.
        task: what its labels are for. Images with boxes are squeezed whole, whatever their size.
        is_folder: whether the user's folder is the data, and not only where it lies.
    """

    summary: str
    loader: Callable[[Request], Loaded | tuple[Split, Split, tuple[str, ...]]]
    image_size: int | None
    normalization: str
    augmentation: Augmentation | BoxAugmentation
    task: TaskName = "classification"
    is_folder: bool = False


PAD_4 = Augmentation(pad=4, mode="reflect", flip=True)
# Where the reading shifts and scales already, the mirror is left to do.
MIRROR = Augmentation(pad=0, mode="reflect", flip=True)

# Digits lie in scenes where a window shows them whole and at their sizes, and a mirrored digit is another sign.
SCENES = BoxAugmentation(zoom_out=1.5, crop=False, mirror=False, photometric=False)
BOXES = BoxAugmentation()

DATASETS = {
    "cifar10": Source(
        summary="CIFAR-10: 50,000 + 10,000 colour images of 32x32, 10 classes, from TensorFlow Datasets",
        loader=lambda asked: sets.load_cifar("cifar10", asked.data_dir, asked.download),
        image_size=32,
        normalization="c10wrn",
        augmentation=PAD_4,
    ),
    "cifar100": Source(
        summary="CIFAR-100: 50,000 + 10,000 colour images of 32x32, 100 classes, from TensorFlow Datasets",
        loader=lambda asked: sets.load_cifar("cifar100", asked.data_dir, asked.download),
        image_size=32,
        normalization="c100",
        augmentation=PAD_4,
    ),
    "digits": Source(
        summary="scikit-learn's digits: 1,437 + 360 grey images of 8x8, 10 classes, no download",
        loader=lambda asked: sets.load_digits(),
        image_size=8,
        normalization="digits",
        augmentation=Augmentation(pad=1, mode="zero", flip=False),
    ),
    "digit_scenes": Source(
        summary="scenes with boxes, made of scikit-learn's digits: 2,000 + 400 grey images of 96x96, no download",
        loader=lambda asked: sets.load_digit_scenes(),
        image_size=96,
        normalization="digit_scenes",
        augmentation=SCENES,
        task="detection",
    ),
    "image_folder": Source(
        summary="your images: train/<class>/*.jpg and test/<class>/*.jpg in data_dir, or <class>/*.jpg and --split",
        loader=lambda asked: sets.load_image_folder(
            *(asked.data_dir, asked.image_size, asked.reading, asked.max_pixels),
            shares=asked.shares,
            seed=asked.seed,
        ),
        image_size=None,
        normalization="imagenet",
        augmentation=PAD_4,
        is_folder=True,
    ),
    "imagenet2012": Source(
        summary="ImageNet: 1,281,167 + 50,000 photographs, 1,000 classes, from TensorFlow Datasets; fetched by hand",
        loader=lambda asked: sets.load_imagenet(
            asked.data_dir, asked.image_size, asked.download, asked.reading, asked.max_pixels
        ),
        image_size=None,
        normalization="imagenet",
        augmentation=PAD_4,
    ),
    "voc": Source(
        summary="Pascal VOC 2007 and 2012: 16,551 + 4,952 photographs with boxes, 20 classes, from TensorFlow Datasets",
        loader=lambda asked: sets.load_voc(asked.data_dir, asked.image_size, asked.download, asked.max_pixels),
        image_size=None,
        normalization="imagenet",
        augmentation=BOXES,
        task="detection",
    ),
    "voc_folder": Source(
        summary="your images with boxes: Annotations/*.xml, JPEGImages/ and ImageSets/Main/*.txt in data_dir",
        loader=lambda asked: sets.load_voc_folder(*_folder_of_boxes("voc_folder", asked)),
        image_size=None,
        normalization="imagenet",
        augmentation=BOXES,
        task="detection",
        is_folder=True,
    ),
    "coco_json": Source(
        summary="your images with boxes: train.json, test.json and folders of images in data_dir",
        loader=lambda asked: sets.load_coco_json(*_folder_of_boxes("coco_json", asked)),
        image_size=None,
        normalization="imagenet",
        augmentation=BOXES,
        task="detection",
        is_folder=True,
    ),
}


def _folder_of_boxes(name: str, asked: Request) -> tuple[Path, int, int]:
    """Folder, size and most pixels of images with boxes."""
    if asked.data_dir is None:
        raise ValueError(f"data_dir: {name} needs one, {DATASETS[name].summary.partition(': ')[2]}")
    if asked.image_size is None or asked.image_size < 1:
        raise ValueError(
            f"image_size: {name} needs one, to which its images are brought: 300 for the networks ssd300_..., 96 for "
            "ssd96_..."
        )
    return asked.data_dir, asked.image_size, asked.max_pixels


TFDS_PATTERN = "tfds:<name>"
TFDS_SUMMARY = "any set of TensorFlow Datasets with images and a class label, also tfds:<name>/<config>"


def source_of(name: str) -> Source:
    """The entry of `DATASETS`, or what `tfds:<name>` stands for; nothing is loaded.

    Raises:
        ValueError: if the name is neither; the message has the nearest.
    """
    if re.fullmatch(r"tfds:\w[\w/:.-]*", name):
        return Source(
            summary=TFDS_SUMMARY,
            loader=lambda asked: sets.load_tfds(
                name.removeprefix("tfds:"),
                asked.data_dir,
                asked.image_size,
                asked.download,
                asked.reading,
                asked.max_pixels,
            ),
            image_size=None,
            normalization="imagenet",
            augmentation=PAD_4,
        )
    if name not in DATASETS:
        near = nearest(name, DATASETS)
        raise ValueError(f"dataset: {name!r} is unknown; nearest: {near}; {TFDS_PATTERN} is any of TensorFlow Datasets")
    return DATASETS[name]


def load(
    name: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    download: bool = False,
    reading: ReadingName = "auto",
    max_pixels: int = MAX_PIXELS,
    split: Sequence[float] = (),
    seed: int = 0,
) -> Dataset:
    """Loads a dataset by name.

    Args:
        name: a key of `DATASETS`, or "tfds:" and a name of TensorFlow Datasets.
        data_dir: where the data lies: for data from TensorFlow Datasets the folder of its copies (default:
            TFDS_DATA_DIR, then the library's own), for "image_folder" the folder with train/ and test/, for images with
            boxes what `load_voc_folder` and `load_coco_json` say; "digits" and "digit_scenes" need none.
        image_size: height and width in pixels that images of many sizes are brought to; the datasets whose images
            have one size have no other.
        download: whether absent data may be downloaded.
        reading: how images are brought to `image_size`: "resize" squeezes them whole, "crop" trains on random crops
            and evaluates the centre, "resize_crop" does so with the whole image squeezed to a somewhat larger size,
            "auto" is "crop" above 64 pixels and else "resize". Images with boxes are squeezed.
        max_pixels: height times width of an encoded image, at most; what has more is left out, and counted in a
            warning; 0 for no limit.
        split: for "image_folder" whose classes have no folders above them: the shares of training, perhaps validation,
            and test, such as (0.8, 0.1, 0.1).
        seed: decides who is in which part, 0 or more.

    Returns:
        The dataset, with its default normalisation and augmentation.

    Raises:
        DataUnavailable: if the data is not on this machine.
        ValueError: if the name is unknown, the size or reading is none of the dataset's, or the data is damaged.
    """
    source = source_of(name)
    if source.image_size and image_size not in (None, source.image_size):
        raise ValueError(f"image_size of {name} is {source.image_size}, got {image_size}; leave it out")
    if max_pixels < 0:
        raise ValueError(f"max_pixels must be 1 or more, or 0 for no limit, got {max_pixels}")
    if source.image_size and reading not in ("auto", "resize"):
        raise ValueError(f"reading: the images of {name} are {source.image_size}x{source.image_size}; leave it out")
    if source.task == "detection" and reading not in ("auto", "resize"):
        raise ValueError(f"reading: the images of {name} are squeezed whole, with their boxes; leave it out")
    require_split(name, split)
    loaded = Loaded(
        *source.loader(
            Request(
                *(Path(data_dir) if data_dir else None, image_size, download, reading, max_pixels, tuple(split), seed)
            )
        )
    )
    train = loaded.train
    cropped = train.reading is not None and train.reading.style in ("crop", "resize_crop")
    normalization = NORMALIZATIONS[source.normalization]
    if len(normalization.mean) not in (1, train.image_shape[-1]):
        normalization = NORMALIZATIONS["none"]
    return Dataset(
        name=name,
        image_shape=train.image_shape,
        class_names=loaded.class_names,
        train=train,
        test=loaded.test,
        normalization=normalization,
        augmentation=MIRROR if cropped else source.augmentation,
        validation=loaded.validation,
        marks=loaded.marks,
        task=source.task,
    )


def require_split(name: str, shares: Sequence[float]) -> None:
    """Refuses shares that are none, or for a data set that has its parts already.

    Args:
        name: of the data set.
        shares: of its parts; empty where it is to have none but its own.

    Raises:
        ValueError: in one line, which begins with "split: ".
    """
    if not shares:
        return
    if name != "image_folder":
        raise ValueError(f"split: is for --dataset=image_folder; {name} has its own parts, leave it out")
    check_shares(shares)
