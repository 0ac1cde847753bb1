"""The default boxes of SSD: the boxes that a detector says its own relative to. They need NumPy alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DefaultBoxes:
    """Boxes of several sizes and shapes at every place of several square maps.

    A place of a map has boxes of `size` × `size`, of the geometric mean of `size` and the next map's, squared, and for
    each ratio r a wide and a tall one of the first one's area.

    Args:
        image: height and width of the image, in pixels.
        maps: height and width of each map, the largest first.
        steps: the distance of a map's places, in pixels; the first is half of it from the border.
        sizes: the side of each map's squares in pixels, and one number more.
        ratios: of the sides of a map's other boxes, above 1.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Section 2.2, "Choosing scales and aspect ratios
    for default boxes".
    """

    image: int
    maps: tuple[int, ...]
    steps: tuple[float, ...]
    sizes: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]

    def at_each_place(self) -> tuple[int, ...]:
        """How many boxes a place of each map has."""
        return tuple(2 + 2 * len(one) for one in self.ratios)

    def centre_form(self) -> np.ndarray:
        """All boxes: by map, row, column and shape.

        What lies outside of the image is cut off, so that the corners of every box are in the image. (Code that one
        meets bounds each of the four numbers by 0 and 1 instead, and leaves boxes at the border as they are.)

        Returns:
            float32 [boxes, 4]: centre's y, centre's x, height and width, in shares of the image.
        """
        found = []
        for number, (places, step) in enumerate(zip(self.maps, self.steps, strict=True)):
            centres = (np.arange(places) + 0.5) * step
            for y, x in itertools.product(centres, centres):
                found += [(y, x, height, width) for height, width in self._shapes(number)]
        boxes = np.array(found) / self.image
        lower = np.clip(boxes[:, :2] - boxes[:, 2:] / 2, 0.0, 1.0)
        upper = np.clip(boxes[:, :2] + boxes[:, 2:] / 2, 0.0, 1.0)
        return np.concatenate([(lower + upper) / 2, upper - lower], axis=1).astype(np.float32)

    def _shapes(self, number: int) -> list[tuple[float, float]]:
        """Height and width of the boxes at a place, in pixels."""
        size, larger = self.sizes[number], float(np.sqrt(self.sizes[number] * self.sizes[number + 1]))
        shapes = [(size, size), (larger, larger)]
        for ratio in self.ratios[number]:
            long, short = size * ratio**0.5, size / ratio**0.5
            shapes += [(short, long), (long, short)]
        return shapes


# Of the SSD for Pascal VOC: 8,732 boxes.
SSD300 = DefaultBoxes(
    image=300,
    maps=(38, 19, 10, 5, 3, 1),
    steps=(8, 16, 32, 64, 100, 300),
    sizes=(30, 60, 111, 162, 213, 264, 315),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
)
# In proportion, for images of 96 pixels and a backbone that takes an eighth of them: 850 boxes.
SSD96 = DefaultBoxes(
    image=96,
    maps=(12, 6, 3, 1),
    steps=(8, 16, 32, 96),
    sizes=(14, 26, 44, 64, 84),
    ratios=((2,), (2, 3), (2, 3), (2,)),
)
