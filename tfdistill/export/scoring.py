"""Scoring with an exported network, without its source."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.export.folders import first_line, is_saved_model, versions
from tfdistill.export.saved_model import LABELS_FILE, RAW_SIGNATURE

LOGITS = "logits"
OBJECTS = ("boxes", "scores", "classes", "count")


@dataclass(frozen=True, eq=False)
class LoadedExport:
    """An exported network as a function from raw images to what its task scores.

    Attributes:
        task: "classification" or "detection".
        image_shape: (height, width, channels) that it takes.
        classes: how many it tells apart.
        saved_model: what TensorFlow loads; a signature does not keep the variables alive.
    """

    task: str
    image_shape: tuple[int, int, int]
    classes: int
    saved_model: Any = field(repr=False)

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Asks the signature for raw images.

        Args:
            images: [batch, height, width, channels] with values in 0..255; the batch may be empty.

        Returns:
            of a classifier "logits", float32 [batch, classes]; of a detector its objects in the form of
            `tfdistill.boxes.detections`: "boxes" in shares of the image, "scores", "classes" and "count".
        """
        images = np.asarray(images, np.float32)
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"images must be of shape {[None, *self.image_shape]}; got {list(images.shape)}")
        outputs = self.saved_model.signatures[RAW_SIGNATURE](images=tf.constant(images))
        if self.task == "classification":
            return {LOGITS: outputs[LOGITS].numpy()}
        found = {name: outputs[name].numpy() for name in OBJECTS}
        sides = np.array(self.image_shape[:2] * 2, np.float32)
        return {**found, "boxes": found["boxes"] / sides, "classes": found["classes"].astype(np.int32)}


def load_export(path: str | pathlib.Path) -> LoadedExport:
    """Loads an exported network.

    Args:
        path: a version's folder, or a network's folder, whose newest version is taken.

    Raises:
        ValueError: `path` is no SavedModel and holds none, or one that `export_network` did not write.
    """
    folder = newest_saved_model(pathlib.Path(path))
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        raise ValueError(f"{folder} holds a SavedModel that does not load: {first_line(error)}") from error
    signature = loaded.signatures.get(RAW_SIGNATURE)
    inputs = signature.structured_input_signature[1] if signature else {}
    outputs: Mapping[str, tf.TensorSpec] = signature.structured_outputs if signature else {}
    finds_objects = set(OBJECTS) <= outputs.keys()
    if "images" not in inputs or (LOGITS not in outputs and not finds_objects):
        raise ValueError(f"{folder} holds a SavedModel without a signature from 'images' to 'logits' or to 'boxes'")
    shape = inputs["images"].shape
    if shape.rank != 4 or None in shape[1:]:
        raise ValueError(f"{folder} does not take images of one size")
    classes = _named(folder) if finds_objects else outputs[LOGITS].shape[-1]
    if not classes or (LOGITS in outputs and outputs[LOGITS].shape.rank != 2):
        raise ValueError(f"{folder} does not say how many classes it tells apart")
    return LoadedExport("detection" if finds_objects else "classification", tuple(shape[1:]), classes, loaded)


def load_for_scoring(path: str | pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an exported classifier as a function from raw images to logits.

    Args:
        path: as of `load_export`.

    Returns:
        A function that takes images [batch, height, width, channels] with values in 0..255 and returns
        float32 logits [batch, classes]; the batch may be empty.

    Raises:
        ValueError: as of `load_export`, or it is a detector, which `load_export` loads.
    """
    loaded = load_export(path)
    if loaded.task != "classification":
        raise ValueError(f"{path} holds a detector, which gives no logits; load_export loads it")
    return lambda images: loaded(images)[LOGITS]


def newest_saved_model(path: pathlib.Path) -> pathlib.Path:
    """Returns a SavedModel's own path, or the highest of a folder's versions; ValueError without either."""
    if is_saved_model(path):
        return path
    found = [folder for folder in versions(path).values() if is_saved_model(folder)]
    if not found:
        reason = "is no SavedModel and holds none as a version" if path.is_dir() else "is no folder"
        raise ValueError(f"{path} {reason}; give a SavedModel, or a network's folder of versions")
    return found[-1]


def _named(folder: pathlib.Path) -> int:
    """How many classes the names of a SavedModel are of; 0 where it has none."""
    file = folder / "assets" / LABELS_FILE
    return len(file.read_text("utf-8").splitlines()) if file.is_file() else 0
