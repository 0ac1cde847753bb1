"""A teacher fitted to the data that it teaches on: normalization, size and order of classes, inside its graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfdistill.bounds import choose, nearest, shown
from tfdistill.data import NORMALIZATIONS, Normalization
from tfdistill.networks.answers import answering
from tfdistill.networks.keras_applications import RESNET_MEAN
from tfdistill.networks.own_images import (
    normalized_otherwise,
    reading_own_images,
    reads_whole_numbers,
    rescaling_of,
)
from tfdistill.runs.teacher_sources import Found, Images
from tfdistill.runs.teacher_texts import BY_NAME, CAFFE, OWN, SAME
from tfdistill.tasks.answered import task_of

_OF_CAFFE = Normalization(tuple(mean / 255 for mean in RESNET_MEAN), (1 / 255,) * 3)


def fitted(found: Found, images: Images, normalization: Normalization | str = OWN, classes: str = SAME) -> keras.Model:
    """The teacher for the images and classes of some data.

    Args:
        found: the teacher as it was trained.
        images: the data.
        normalization: what the teacher was trained on where it does not say so itself: the name of one, "caffe", one of
            the user's own, or "own" for what it records (the data's where it records nothing; raw pixels for a
            SavedModel, and for a network that reads integers).
        classes: "same" where it tells the data's classes apart in their order; "by_name" to pick them out by name; or
            the path of a text file with the names of its classes, a line each, to do so.

    Returns:
        a model from the data's images to the taps of the teacher, with the data's classes.

    Raises:
        ValueError: it says otherwise itself, or it and the data do not fit.
    """
    own, reverse_channels = _own_normalization(found, images, normalization)
    channels = images.image_shape[-1]
    read = found.model.inputs[0].shape[-1] or channels
    for one, count in ((own, read), (images.normalization, channels)):
        if len(one.mean) not in (1, count):
            raise ValueError(f"it has a normalization for {len(one.mean)} channels, and {images.name} has {channels}")
    given = images.normalization
    scale, offset = normalized_otherwise((given.mean, given.std), (own.mean, own.std))
    model = reading_own_images(found.model, images.image_shape, scale, offset, reverse_channels=reverse_channels)
    return _of_classes(model, found, images, classes)


def _own_normalization(found: Found, images: Images, chosen: Normalization | str) -> tuple[Normalization, bool]:
    """What the teacher was trained on, and whether on blue, green, red."""
    if chosen == OWN:
        usual = NORMALIZATIONS["raw"] if reads_whole_numbers(found.model) else found.usual
        return found.normalization or usual or images.normalization, False
    if isinstance(chosen, Normalization):
        own = chosen
    else:
        own = choose("normalization", chosen, {**NORMALIZATIONS, CAFFE: _OF_CAFFE})
    if found.normalization not in (None, own):
        raise ValueError(f"it records its own normalization, {found.normalization}; write {OWN} for it")
    return own, chosen == CAFFE


def _of_classes(model: keras.Model, found: Found, images: Images, chosen: str) -> keras.Model:
    wanted, names = list(images.class_names), list(found.class_names)
    task = task_of(model)
    assert task is not None  # every teacher is a network by now
    count = task.classes(model)
    if chosen == SAME:
        _require_same_classes(model, names, count, images)
        return model
    if task.name != "classification":
        raise ValueError(f"classes are picked by name for classification, not for {task.name}; they must be {SAME}")
    if chosen != BY_NAME:
        names = _names_in(Path(chosen))
    if not names:
        raise ValueError(
            "no names of its classes are recorded; give a text file with them, a line each, in the order of its answer"
        )
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"it tells {count} classes apart, and has {len(set(names))} different names for them")
    missing = [one for one in wanted if one not in names]
    if missing:
        raise ValueError(
            f"it knows no class {shown(missing[0])} of {images.name}; nearest: {shown(nearest(missing[0], names))}"
        )
    return answering(model, [names.index(one) for one in wanted])


def _require_same_classes(model: keras.Model, names: Sequence[str], count: int, images: Images) -> None:
    wanted = list(images.class_names)
    remedy = "; --teacher_classes=by_name takes those of the same names" if set(wanted) <= set(names) else ""
    if count != len(wanted):
        raise ValueError(f"{model.name} tells {count} classes apart, {images.name} has {len(wanted)}{remedy}")
    if names and list(names) != wanted and remedy:
        raise ValueError(f"{model.name} has the classes of {images.name} in another order{remedy}")


def differing_names(found: Found, images: Images, chosen: str) -> str:
    """A warning where teacher and data have as many classes and call them differently; empty where they do not."""
    ours, theirs = list(images.class_names), list(found.class_names)
    different = [(one, other) for one, other in zip(ours, theirs, strict=False) if one != other]
    if chosen != SAME or not theirs or not different:
        return ""
    return (
        f"{len(different)} of its {len(theirs)} classes have other names than those of {images.name}, such as "
        f"{shown(different[0][1])} for {shown(different[0][0])}; they are taken to be the same"
    )


def perhaps_of_pixels(found: Found, images: Images, chosen: Normalization | str) -> str:
    """A warning where a teacher seems to read pixels, and gets the networks' images; empty where it does not."""
    if chosen != OWN or found.normalization or found.usual or images.normalization == NORMALIZATIONS["raw"]:
        return ""
    if (layer := rescaling_of(found.model)) is None:
        return ""
    return (
        f"it begins with {layer.name!r}, a Rescaling by {np.max(layer.scale):.3g}, as if it read pixels of 0..255, and "
        "it gets the networks' normalized images; if it was trained on pixels, give --teacher_normalization=raw"
    )


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(
            f"its classes must be {SAME}, {BY_NAME} or a text file with their names, not {shown(str(path))}"
        )
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a list of names: {error}") from error
