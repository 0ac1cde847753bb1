"""How images become those of the network's size: the styles by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tfdistill.bounds import require_one_of

Style = Literal["resize", "crop", "resize_crop"]
ReadingName = Literal["auto", Style]
STYLES: tuple[str, ...] = get_args(Style)
READINGS: tuple[str, ...] = get_args(ReadingName)
# Up to this height and width, "auto" squeezes whole images, as is usual for CIFAR and its like.
LARGEST_RESIZED = 64
# The most pixels that an image may have unless something else is said: 300 MB as RGB, more while it is resized.
MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class Reading:
    """How an encoded image becomes one of the network's size.

    "resize" squeezes the whole image to the size, in training and evaluation alike; the aspect ratio is lost. "crop"
    trains on a rectangle of random area, aspect ratio and place, and evaluates the centre of the image after its
    shorter side has been resized. "resize_crop" squeezes the whole image to a somewhat larger size, trains on a part of
    it at a random place, and evaluates its centre. All resize bilinearly with anti-aliasing.

    Args:
        style: "resize", "crop" or "resize_crop".
        scale: least and largest share of the image's area in a training crop, in 0..1, above 0.
        ratio: least and largest width / height of a training crop, above 0.
        margin: what an image measures before a part of the size is cut out of it, in sizes, 1 or more: for "crop" the
            shorter side in evaluation, for "resize_crop" both sides.
        max_pixels: height times width of an encoded image, at most, 0 for any; what has more is refused unseen.

    Raises:
        ValueError: if an argument is out of range.

    Source: Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), section 6, for area and aspect ratio; ten
        tries and then the centre, and 256 pixels around 224 in evaluation, are PyTorch's usage for ImageNet.
        "resize_crop" with 256 around 224: Yao and Sun, "Knowledge Transfer via Dense Cross-Layer Mutual-Distillation"
        (ECCV 2020), section 4.2.
    """

    style: Style
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    margin: float = 256 / 224
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        # Lists are taken too, but what is built for a reading is found again by it, so it is to be hashable.
        for name in ("scale", "ratio"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require_one_of("style", self.style, STYLES)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two shares of the area in 0..1, the smaller first, got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio must be two ratios above 0, the smaller first, got {self.ratio}")
        if not 1 <= self.margin < math.inf:
            raise ValueError(f"margin must be 1 or more, got {self.margin}")
        if self.max_pixels < 0:
            raise ValueError(f"max_pixels must be 1 or more, or 0 for any number, got {self.max_pixels}")


def reading_of(style: str, image_size: int, max_pixels: int = MAX_PIXELS) -> Reading:
    """The reading of that style; "auto" is "crop" for images above 64 pixels and "resize" below.

    Raises:
        ValueError: if the style is unknown or `max_pixels` below 0.
    """
    require_one_of("reading", style, READINGS)
    chosen: Any = style
    if style == "auto":
        chosen = "crop" if image_size > LARGEST_RESIZED else "resize"
    return Reading(chosen, max_pixels=max_pixels)
