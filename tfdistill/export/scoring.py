"""Scoring with an exported network, without its source."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdistill.export.folders import first_line, is_saved_model, versions
from tfdistill.export.saved_model import RAW_SIGNATURE


def load_for_scoring(path: str | pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an exported network as a function from raw images to logits.

    Args:
        path: a version's folder, or a network's folder, whose newest version is taken.

    Returns:
        A function that takes images [batch, height, width, channels] with values in 0..255 and returns
        float32 logits [batch, classes]; the batch may be empty.

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
    if "images" not in inputs or "logits" not in signature.structured_outputs:
        raise ValueError(f"{folder} holds a SavedModel without a signature from 'images' to 'logits'")
    shape = inputs["images"].shape

    def score(images: np.ndarray) -> np.ndarray:
        images = np.asarray(images, np.float32)
        if not shape.is_compatible_with(images.shape):
            raise ValueError(f"images must be of shape {shape.as_list()}; got {list(images.shape)}")
        return signature(images=tf.constant(images))["logits"].numpy()

    # A signature does not keep the variables alive; the loaded object does.
    score.saved_model = loaded  # type: ignore[attr-defined]
    return score


def newest_saved_model(path: pathlib.Path) -> pathlib.Path:
    """Returns a SavedModel's own path, or the highest of a folder's versions; ValueError without either."""
    if is_saved_model(path):
        return path
    found = [folder for folder in versions(path).values() if is_saved_model(folder)]
    if not found:
        reason = "is no SavedModel and holds none as a version" if path.is_dir() else "is no folder"
        raise ValueError(f"{path} {reason}; give a SavedModel, or a network's folder of versions")
    return found[-1]
