"""Draws boxes on an image, readable in grey too; needs Pillow, which an export has no other need for."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Images whose longer side has fewer pixels are enlarged by a whole number, so that there is room for names.
LEAST_SIDE = 288
# Letters and lines, in pixels at least, and as shares of the shorter side of large images.
LETTERS, LETTERS_SHARE = 12, 1 / 45
LINE, LINE_SHARE = 2, 1 / 200
PADDING, GAP = 2, 6
# Of equal steps in lightness (CIE L* 30 to 92), so that classes differ in grey and to the colour-blind.
COLOURS = ((56, 51, 173), (156, 49, 185), (227, 73, 129), (251, 130, 61), (248, 187, 73), (238, 238, 120))

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: np.ndarray | Sequence[int],
    class_names: Sequence[str],
    scores: np.ndarray | Sequence[float] | None = None,
    *,
    difficult: np.ndarray | Sequence[bool] | None = None,
    unit: Literal["shares", "pixels"] = "shares",
) -> np.ndarray:
    """An image with boxes on it, each with the name of its class and its score.

    A line has an edge of the opposite brightness, so that it is seen on any ground. Names are put where they hide no
    other name, and as little of all boxes, as there is room for.

    Args:
        image: uint8 [H, W, C], C of 1 or 3.
        boxes: top, left, bottom and right of each, [n, 4]; those behind the first `len(classes)` are padding.
        classes: of each box, whole numbers [n]; a box of a negative one is padding and is not drawn, nor is one whose
            corners are no numbers.
        class_names: one for each class.
        scores: of each box, 0 to 1, the surest first; none for what is known.
        difficult: which boxes are dashed.
        unit: of the boxes: shares of the image's height and width, or its pixels.

    Returns:
        uint8 [H', W', 3]; the size is the image's, or a whole number of times that where its longer side has fewer than
        `LEAST_SIDE` pixels.

    Raises:
        ValueError: the arrays do not fit each other, or a class has no name.
    """
    classes = np.asarray(classes, np.int64).reshape(-1)
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)[: len(classes)]
    _check(image, boxes, classes, class_names)
    scale = -(-LEAST_SIDE // max(image.shape[:2])) if max(image.shape[:2]) < LEAST_SIDE else 1
    large = np.broadcast_to(image, (*image.shape[:2], 3)).repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = large.shape[:2]
    sheet = Image.fromarray(np.ascontiguousarray(large))
    draw = ImageDraw.Draw(sheet)
    size = np.array([height, width] * 2)
    corners = np.clip(boxes * (scale if unit == "pixels" else size), 0, size)
    is_drawn = (classes >= 0) & np.isfinite(corners).all(axis=1)
    line = max(LINE, round(min(height, width) * LINE_SHARE))
    places = {int(one): _pixels(corners[one], height, width) for one in np.flatnonzero(is_drawn)}
    colours = {one: colour_of(int(classes[one]), len(class_names)) for one in places}
    for one in reversed(places):  # the surest last, above the others
        dash = 5 * line if difficult is not None and difficult[one] else 0
        _outline(draw, places[one], colours[one], line, dash)
    font = ImageFont.load_default(size=max(LETTERS, round(min(height, width) * LETTERS_SHARE)))
    taken: list[Box] = []
    for one, box in places.items():
        text = class_names[classes[one]] + ("" if scores is None else f"  {scores[one]:.0%}")
        text = fitted(text, width - 2 * PADDING, draw, font)
        taken.append(_name(draw, text, box, taken, list(places.values()), colours[one], font))
    return np.asarray(sheet)


def draw_objects(image: np.ndarray, objects: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """`draw_boxes` of what is known of an image.

    Args:
        image: uint8 [H, W, C].
        objects: [n, 6]: top, left, bottom and right in shares of the image, class, and 1 for a difficult object. A row
            of class -1 is padding.
        class_names: one for each class.
    """
    return draw_boxes(image, objects[:, :4], objects[:, 4], class_names, difficult=objects[:, 5] > 0)


def side_by_side(panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Images in a row, each below its title.

    Args:
        panels: by title, uint8 [H, W, 3] of one size.
    """
    height, width = next(iter(panels.values())).shape[:2]
    font = ImageFont.load_default(size=max(LETTERS, round(min(height, width) * LETTERS_SHARE)))
    top = _text_height(font) + 2 * PADDING
    sheet = Image.new("RGB", (len(panels) * (width + GAP) - GAP, top + height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, panel) in enumerate(panels.items()):
        left = number * (width + GAP)
        draw.text((left + PADDING, PADDING), fitted(title, width - 2 * PADDING, draw, font), "black", font)
        sheet.paste(Image.fromarray(panel), (left, top))
    return np.asarray(sheet)


def colour_of(number: int, count: int) -> Colour:
    """The colour of a class, of `count`: the more of them before it, the lighter."""
    place = number / (count - 1) * (len(COLOURS) - 1) if count > 1 else 2.5
    red, green, blue = (
        round(float(np.interp(place, range(len(COLOURS)), part))) for part in zip(*COLOURS, strict=True)
    )
    return red, green, blue


def fitted(text: str, width: int, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The text, or as much of its beginning as fits, with the share that ends it kept."""
    if draw.textlength(text, font) <= width:
        return text
    name, space, share = text.rpartition(" ")
    tail = space + share if share.endswith("%") else ""
    name = name if tail else text
    wide = bisect.bisect_left(
        range(len(name)), True, key=lambda end: draw.textlength(f"{name[:end]}…{tail}", font) > width
    )
    return f"{name[: max(wide - 1, 0)]}…{tail}"


def _check(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray, class_names: Sequence[str]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"image must be uint8 [H, W, 1 or 3], got {image.dtype} {list(image.shape)}")
    if len(boxes) != len(classes):
        raise ValueError(f"boxes: there are {len(boxes)} for {len(classes)} classes")
    if classes.max(initial=-1) >= len(class_names):
        raise ValueError(f"classes: {classes.max()} has no name, there are {len(class_names)}")


def _pixels(corners: np.ndarray, height: int, width: int) -> Box:
    """The first and last pixels of a box; there is one at least."""
    top, left = np.minimum(np.floor(corners[:2] + 0.5), (height - 1, width - 1)).astype(int)
    bottom, right = np.floor(corners[2:] + 0.5).astype(int) - 1
    return int(top), int(left), int(max(top, bottom)), int(max(left, right))


def _outline(draw: ImageDraw.ImageDraw, box: Box, colour: Colour, line: int, dash: int) -> None:
    """The four sides, inside the box's border, with a thin edge outside of it; dashed where `dash` is not 0."""
    top, left, bottom, right = box
    edge = -(-line // 6)
    for sides, fill in (
        (_sides((top - edge, left - edge, bottom + edge, right + edge), line, dash), _opposite(colour)),
        (_sides(box, line, dash), colour),
    ):
        for first, start, last, end in sides:
            draw.rectangle((start, first, end, last), fill)


def _sides(box: Box, line: int, dash: int) -> Iterator[Box]:
    top, left, bottom, right = box
    inner = line - 1
    for start, end in _dashes(left, right, dash):
        yield top, start, min(top + inner, bottom), end
        yield max(bottom - inner, top), start, bottom, end
    for start, end in _dashes(top, bottom, dash):
        yield start, left, end, min(left + inner, right)
        yield start, max(right - inner, left), end, right


def _dashes(first: int, last: int, dash: int) -> Iterator[tuple[int, int]]:
    if not dash:
        yield first, last
        return
    for start in range(first, last + 1, 2 * dash):
        yield start, min(start + dash - 1, last)


def _name(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Box,
    taken: Sequence[Box],
    boxes: Sequence[Box],
    colour: Colour,
    font: Font,
) -> Box:
    """Writes a box's name on a ground of its colour, and returns where that is."""
    width, height = draw.im.size
    across, down = int(np.ceil(draw.textlength(text, font))) + 2 * PADDING, _text_height(font) + 2 * PADDING
    top, left, bottom, right = box
    # Above, below, beside, and inside; what would leave the image is moved into it.
    edges = [(y, x) for y in (top - down, bottom + 1) for x in (left, right - across + 1)]
    edges += [(y, x) for y in (top, bottom - down + 1) for x in (right + 1, left - across)]
    edges += [(y, x) for y in (top, bottom - down + 1) for x in (left, right - across + 1)]
    inside = [(min(max(y, 0), height - down), min(max(x, 0), width - across)) for y, x in edges]
    found = [(y, x, y + down - 1, x + across - 1) for y, x in inside]
    # Of equally free places the first.
    hidden = zip(*(_shared(found, others).tolist() for others in (taken, boxes)), strict=True)
    place = min(zip(hidden, range(len(found)), found, strict=True))[2]
    y, x, end, side = place
    draw.rectangle((x, y, side, end), colour, _opposite(colour))
    draw.text((x + PADDING, y + PADDING), text, _opposite(colour), font)
    return place


def _shared(boxes: Sequence[Box], others: Sequence[Box]) -> np.ndarray:
    """How many pixels each box has in common with others, overlaps counted as often as there are, int64 [boxes]."""
    one, other = np.reshape(boxes, [-1, 1, 4]), np.reshape(others, [1, -1, 4]).astype(np.int64)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]) + 1
    return np.prod(np.maximum(sides, 0), axis=-1).sum(axis=1)


def _text_height(font: Font) -> int:
    return int(np.ceil(font.getbbox("Ågjy")[3]))


def _opposite(colour: Colour) -> Colour:
    """Black or white, whichever is farther from a colour."""
    share = np.asarray(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return (0, 0, 0) if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else (255, 255, 255)
