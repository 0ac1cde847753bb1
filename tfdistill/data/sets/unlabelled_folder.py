"""Images in a folder, of which nobody says what they show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfdistill.data.checking import without_unreadable
from tfdistill.data.dataset import Dataset, Split
from tfdistill.data.reading import into_memory
from tfdistill.data.sets.image_files import SUCH_AS, images_below, mark_of
from tfdistill.data.transforms.readings import MAX_PIXELS, Reading
from tfdistill.data.unlabelled import Unlabelled, without_labels


def load_unlabelled_folder(folder: Path | str, like: Dataset, max_pixels: int = MAX_PIXELS) -> Unlabelled:
    """Finds the images in a folder and below it, and reads them as a data set reads its training images.

    What is an image, which are left out and counted, and which stay in memory is as for `load_image_folder`; names of
    folders mean nothing. Images become those of the data set: of its size, by its reading (squeezed where it has none),
    grey where it is grey.

    Args:
        folder: with images at any depth.
        like: the labelled data.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        ValueError: there is no such folder, no image in it that can be read, or the data has other channels than
            images in files.
    """
    folder, channels = Path(folder).expanduser(), like.image_shape[-1]
    if not folder.is_dir():
        raise ValueError(f"unlabelled_dir: {folder} is no folder; give one with images, in folders of any depth")
    if channels not in (1, 3):
        raise ValueError(
            f"unlabelled_dir: images in files have 1 or 3 channels, those of {like.name} have {channels}; leave it out"
        )
    paths, others = images_below(folder)
    if not paths:
        raise ValueError(f"unlabelled_dir: {folder} has no images, such as {SUCH_AS}")
    reading = like.train.reading or Reading("resize", max_pixels=max_pixels)
    # Of the kind of the labelled data's, so that the images go through the same augmentation.
    labels = without_labels(np.repeat(like.train.labels[:1], len(paths), axis=0))
    found = Split.of_files(paths, labels, like.image_shape, reading)
    split = without_unreadable(found, str(folder), others)
    if not len(split):
        raise ValueError(f"unlabelled_dir: {folder} has no image that can be read")
    # Names of those that can be read: any other image that comes or goes moves all behind it.
    mark = mark_of([path.removeprefix(str(folder)) for path in split.images])
    # Their numbers go on behind those of the labelled data.
    split = dataclasses.replace(into_memory(split), index=len(like.train) + np.arange(len(split)))
    return Unlabelled(split, len(paths) - len(split), mark)
