"""Objects of images in arrays: what their rows may be."""

from __future__ import annotations

from typing import Any

import numpy as np


def require_objects(labels: Any, classes: int, place: str = "example") -> None:
    """Refuses an array of which some row is no object; what is no array is not looked at.

    Args:
        labels: of all examples, `[examples, objects, 6]`: top, left, bottom, right in shares of the image, class (-1
            for padding, of which nothing else is looked at), and 1 for a difficult object or 0.
        classes: how many there are.
        place: what an entry is, for the message.

    Raises:
        ValueError: another shape, or an object of no class, without area, or whose corners are no numbers; names the
            first.
    """
    if not hasattr(labels, "shape"):
        return
    array = np.asarray(labels)
    if array.ndim != 3 or array.shape[-1] != 6 or array.dtype.kind not in "biuf":
        shape = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"labels: must be the objects of images, numbers [{place}s, objects, 6], not {shape}")
    label = array[..., 4]
    faults = {
        f"is of class {{}}, the {classes} classes are 0 to {classes - 1}, and -1 is padding": ~np.isin(
            label, np.arange(-1, classes)
        ),
        "has corners that are no numbers": (label != -1) & ~np.isfinite(array[..., :4]).all(axis=-1),
        "has no area: rows are top, left, bottom, right": (label != -1)
        & ~(array[..., 2:4] > array[..., :2]).all(axis=-1),
    }
    for text, wrong in faults.items():
        if wrong.any():
            example, row = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            said = text.format(f"{label[example, row]:g}")
            raise ValueError(f"labels: object {row} of {place} {example} {said}")
