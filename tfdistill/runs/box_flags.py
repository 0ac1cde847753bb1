"""Flags that say something of one class per image, refused where images have boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfdistill.runs.config import RunConfig

# What moves pixels together with boxes, or moves nothing.
AUGMENTATIONS_OF_BOXES = ("standard", "none")
# Flags of labels, and the values that say nothing.
OF_ONE_CLASS = {"balance": "none", "label_smoothing": 0.0, "label_noise": 0.0}
WHY_NOT = {
    "randaugment": "moves pixels and leaves boxes behind",
    "cutout": "hides objects whose boxes stay",
    "cutmix": "mixes labels of one class per image",
    "mixup": "mixes labels of one class per image",
}


def require_flags_for_boxes(config: RunConfig) -> None:
    """Refuses what does not go with a data set whose images have boxes.

    Raises:
        ValueError: in one line that names the flag.
    """
    if config.learned_task != "detection":
        return
    for name in config.augmentation:
        if name not in AUGMENTATIONS_OF_BOXES:
            raise ValueError(
                f"augmentation: {name} {WHY_NOT[name]}, and {config.dataset} has boxes; give "
                f"{' or '.join(AUGMENTATIONS_OF_BOXES)}"
            )
    for flag, nothing in OF_ONE_CLASS.items():
        if getattr(config, flag) != nothing:
            raise ValueError(f"{flag}: is for one class per image, and {config.dataset} has boxes; leave it out")
