"""Boxes on images: where their lines are, what their names hide, and that classes differ in grey."""

import numpy as np
import pytest
from PIL import Image

from tfdistill.standalone import drawing

NAMES = ["cat", "dog", "bird"]
GREY = 90


def lightness(colour):
    """CIE L*, 0 to 100, of colours [..., 3]."""
    share = np.asarray(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
    return 116 * np.cbrt(linear) - 16


def plain(size, channels=3):
    return np.full([*size, channels], GREY, np.uint8)


@pytest.mark.parametrize("count", [2, 10, 20])
def test_classes_differ_in_lightness(count):
    steps = np.diff([lightness(drawing.colour_of(one, count)) for one in range(count)])
    assert steps.min() > 0.7 * 62 / (count - 1), "nearly equal steps: the closest two are as far apart as can be"


def test_a_line_is_seen_on_any_ground():
    """Its edges are black or white, whichever is farther, so that one of both is far from whatever lies behind."""
    for number in range(20):
        colour = drawing.colour_of(number, 20)
        assert abs(lightness(colour) - lightness(drawing._opposite(colour))) > 45


@pytest.mark.parametrize("unit, factor", [("shares", 1), ("pixels", 96)])
def test_a_box_encloses_its_pixels_on_an_image_that_is_enlarged(unit, factor):
    image = plain((96, 96), channels=1)
    image[30:60, 24:72] = 250
    box = np.array([[30 / 96, 24 / 96, 60 / 96, 72 / 96]]) * factor
    drawn = drawing.draw_boxes(image, box, [1], NAMES, unit=unit)
    assert drawn.shape == (288, 288, 3) and drawn.dtype == np.uint8
    assert (image == image[..., :1]).all() and image.max() == 250, "what is given stays as it was"
    colour = drawing.colour_of(1, 3)
    for line in (drawn[90, 72:216], drawn[179, 72:216], drawn[90:180, 72], drawn[90:180, 215]):
        assert (line == colour).all()
    inside, outside = drawn[92:178, 74:214], drawn[181:, :]
    assert (inside == 250).all() and (outside == GREY).all()


def test_difficult_boxes_are_dashed_padding_and_nonsense_are_not_drawn():
    boxes = np.array([[0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], [0.1, np.nan, 0.5, 0.5]])
    rows = np.column_stack([boxes, [0, -1, 2], [1, 0, 0]])
    drawn = drawing.draw_objects(plain((300, 400)), rows, NAMES)
    assert drawn.shape == (300, 400, 3)
    side = (drawn[240:60:-1, 80] == drawing.colour_of(0, 3)).all(axis=-1)
    assert 0.35 < side.mean() < 0.65 and np.count_nonzero(np.diff(side)) > 10
    assert (drawn[0] == GREY).all() and (drawn[:, 399] == GREY).all()
    without = drawing.draw_objects(plain((300, 400)), rows[:1], NAMES)
    np.testing.assert_array_equal(drawn, without)


def grounds(drawn, number):
    """How many squares of nine pixels have a class's colour: those of names, as lines are two pixels wide."""
    mask = (drawn == drawing.colour_of(number, 3)).all(axis=-1)
    rows = mask[1:-1] & mask[:-2] & mask[2:]
    return np.count_nonzero(rows[:, 1:-1] & rows[:, :-2] & rows[:, 2:])


def test_names_hide_no_other_name_while_there_is_room():
    """Three boxes at one place, and at a border where names cannot be above; each name has its ground to itself."""
    for box in ([0.3, 0.3, 0.7, 0.7], [0.0, 0.0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0]):
        together = drawing.draw_boxes(plain((300, 300)), np.array([box] * 3), [0, 1, 2], NAMES, [0.9, 0.8, 0.7])
        for number, score in enumerate([0.9, 0.8, 0.7]):
            alone = drawing.draw_boxes(plain((300, 300)), np.array([box]), [number], NAMES, [score])
            assert 20 < grounds(alone, number) == pytest.approx(grounds(together, number), rel=0.2), (box, number)


def test_odd_images_and_long_names():
    """One pixel, a line of pixels, a box of no area, a name wider than the image, a box beyond it."""
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5], [-3.0, -3.0, 9.0, 9.0], [1.0, 1.0, 1.0, 1.0]])
    for size, shape in (((1, 1), (288, 288)), ((1, 1000), (1, 1000)), ((700, 3), (700, 3))):
        drawn = drawing.draw_boxes(plain(size), boxes, [0] * 4, ["a name " * 40], [1.0, 0.5, 0.0, 0.3])
        assert drawn.shape == (*shape, 3)
    assert drawing.draw_boxes(plain((8, 8)), np.zeros([0, 4]), [], NAMES).shape == (288, 288, 3)
    assert drawing.draw_boxes(plain((8, 8)), np.zeros([5, 4]), [], NAMES).shape == (288, 288, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^image must be uint8 \[H, W, 1 or 3\], got float32 \[4, 4, 3\]$"):
        drawing.draw_boxes(np.zeros([4, 4, 3], np.float32), np.zeros([1, 4]), [0], NAMES)
    with pytest.raises(ValueError, match=r"^boxes: there are 1 for 2 classes$"):
        drawing.draw_boxes(plain((4, 4)), np.zeros([1, 4]), [0, 1], NAMES)
    with pytest.raises(ValueError, match=r"^classes: 3 has no name, there are 3$"):
        drawing.draw_boxes(plain((4, 4)), np.zeros([1, 4]), [3], NAMES)


def test_panels_stand_side_by_side_below_their_titles():
    left, right = plain((288, 288)), plain((288, 288)) + 100
    sheet = drawing.side_by_side({"truth: 3": left, "found": right})
    height = sheet.shape[0] - 288
    assert sheet.shape[1] == 2 * 288 + drawing.GAP and 12 < height < 30
    np.testing.assert_array_equal(sheet[height:, :288], left)
    np.testing.assert_array_equal(sheet[height:, -288:], right)
    titles = np.asarray(Image.fromarray(sheet[:height]).convert("L"))
    assert titles[:, :288].min() < 100 and titles[:, 294:].min() < 100
