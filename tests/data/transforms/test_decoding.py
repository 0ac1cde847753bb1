"""Decoding agrees with the pixels written; crops are distributed as their source says; sizes come out right."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data.transforms.crops import RESOLUTION, TRIES, crop_draws, random_box
from tfdistill.data.transforms.decoding import centre, decode, evaluated, random_crop, random_part, try_decoding, whole
from tfdistill.data.transforms.readings import Reading, reading_of

CROP = Reading("crop")


def encoded(pixels: np.ndarray | Image.Image, form: str, **settings) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def ramp(height: int, width: int) -> np.ndarray:
    """Red says the row and green the column, smoothly."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 / (height - 1), columns * 255 / (width - 1), rows * 0 + 90], axis=-1).astype(np.uint8)


IN_THE_GRAPH = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("form", ["png", "bmp", "webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats_come_back_exactly_as_rgb(form, channels):
    pixels = noise(6, 5, channels)
    expected = np.repeat(pixels, 3, axis=-1) if channels == 1 else pixels[..., :3]
    settings = {"lossless": True, "exact": True} if form == "webp" else {}
    contents = encoded(pixels[..., 0] if channels == 1 else pixels, form, **settings)
    np.testing.assert_array_equal(IN_THE_GRAPH(contents), expected)
    np.testing.assert_array_equal(whole(contents, (6, 5, 3)), expected)


def test_bitmaps_become_grey_where_the_images_are():
    pixels = noise(6, 5)
    expected = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    found = decode(encoded(pixels, "bmp"), channels=1).numpy()[..., 0].astype(int)
    np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.parametrize(("mode", "form"), [("P", "png"), ("1", "png"), ("LA", "png"), ("I;16", "png"), ("P", "gif")])
def test_palettes_and_other_depths_become_rgb(mode, form):
    pixels = Image.fromarray(np.full((7, 5), 136, np.uint8))
    image = Image.fromarray(np.full((7, 5), 136 * 257, np.uint16)) if mode == "I;16" else pixels.convert(mode)
    expected = np.asarray(image.convert("RGB")) if mode in ("P", "1") else np.full((7, 5, 3), 136)
    np.testing.assert_array_equal(decode(encoded(image, form)), expected)


def test_grey_is_kept_grey_where_the_images_are():
    pixels = noise(6, 6, 1)
    np.testing.assert_array_equal(decode(encoded(pixels[..., 0], "png"), channels=1), pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_of_every_colour_space(mode):
    image = Image.fromarray(ramp(24, 40)).convert(mode)
    contents = encoded(image, "jpeg", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB")).astype(int)
    # TensorFlow decodes with the fast integer transform, Pillow with the accurate one.
    np.testing.assert_allclose(decode(contents).numpy().astype(int), expected, atol=6)
    draws = crop_draws(range(1), [1, 2])[0]
    top, left, height, width = random_box((24, 40), draws, CROP).numpy()
    crop = random_crop(contents, draws, (height, width, 3), CROP).numpy().astype(int)
    np.testing.assert_allclose(crop, expected[top : top + height, left : left + width], atol=8)


def test_of_a_moving_gif_the_first_frame():
    frames = [Image.fromarray(np.full((8, 8), grey, np.uint8)) for grey in (40, 200)]
    contents = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(contents), np.full((8, 8, 3), 40))


def test_resizing_smooths():
    checkers = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    middle = whole(encoded(checkers, "png"), (8, 8, 3))[2:-2, 2:-2].numpy().astype(int)
    np.testing.assert_allclose(middle, 128, atol=4)


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_crop_is_its_box_resized(form):
    contents = encoded(ramp(48, 64), form, **({"quality": 98, "subsampling": 0} if form == "jpeg" else {}))
    pixels = decode(contents)
    for draws in crop_draws(range(5), [3, 0]):
        top, left, height, width = random_box((48, 64), draws, CROP).numpy()
        box = tf.cast(pixels[top : top + height, left : left + width], tf.float32)
        expected = tf.image.resize(box, (16, 16), antialias=True)
        crop = random_crop(contents, draws, (16, 16, 3), CROP)
        assert (crop.dtype, crop.shape) == (tf.uint8, (16, 16, 3))
        np.testing.assert_allclose(tf.cast(crop, tf.float32), expected, atol=0.5 if form == "png" else 3)


def boxes(height: int, width: int, count: int, reading: Reading = CROP) -> np.ndarray:
    @tf.function
    def found(draws: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(lambda one: random_box((height, width), one, reading), draws, fn_output_signature=tf.int32)

    return found(crop_draws(range(count), [7, 0])).numpy().astype(float)


def test_boxes_have_the_area_ratio_and_place_of_their_source():
    top, left, height, width = boxes(300, 400, 4000).T
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 300).all() and (left + width <= 400).all()
    area, ratio = height * width / (300 * 400), width / height
    assert 0.079 < area.min() < 0.1 and area.max() <= 1
    assert 0.74 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.35
    # Only small boxes are uniform: those too large for the image are drawn again, which favours its own aspect ratio.
    assert abs(np.log(ratio[area < 0.4]).mean()) < 0.02
    small = area < 0.4
    np.testing.assert_allclose(np.quantile(area[small], [0.25, 0.5, 0.75]), [0.16, 0.24, 0.32], atol=0.015)
    np.testing.assert_allclose((top / (300 - height))[small].mean(), 0.5, atol=0.03)
    np.testing.assert_allclose((left / (400 - width))[small].mean(), 0.5, atol=0.03)


@pytest.mark.parametrize(
    ("size", "expected"), [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10)), ((1, 1), (0, 0, 1, 1))]
)
def test_an_image_that_no_box_fits_gives_its_centre(size, expected):
    # The whole area of a long and narrow image has no aspect ratio in range.
    whole_area = Reading("crop", scale=(1.0, 1.0))
    assert boxes(*size, 3, whole_area).tolist() == [list(expected)] * 3


def test_the_same_draws_give_the_same_box_for_good():
    draws = crop_draws(range(2), [1, 5])
    assert draws.shape == (2, TRIES, 4) and int(tf.reduce_max(draws)) < RESOLUTION
    half = np.full((TRIES, 4), RESOLUTION // 2)
    # Area 0.54 of 300 x 400 at ratio 1 is 254.6 pixels square; places are in the middle of what is left.
    assert random_box((300, 400), half, CROP).numpy().tolist() == [23, 73, 255, 255]


def test_evaluation_takes_the_centre_of_the_shorter_side():
    pixels = ramp(60, 100)
    found = centre(encoded(pixels, "png"), (28, 28, 3), 256 / 224).numpy().astype(int)
    # The shorter side becomes 32 pixels: rows 2..30 of 32 and columns 12..40 of 53.
    rows, columns = (np.arange(2, 30) + 0.5) / 32 * 255, (np.arange(12, 40) + 0.5) / 53 * 255
    np.testing.assert_allclose(found[:, 14, 0], rows, atol=3)
    np.testing.assert_allclose(found[14, :, 1], columns, atol=3)


def test_evaluation_agrees_with_pillow():
    pixels = noise(90, 70)
    found = centre(encoded(pixels, "png"), (28, 28, 3), 256 / 224).numpy().astype(int)
    resized = np.asarray(Image.fromarray(pixels).resize((32, 41), Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(found, resized[6:34, 2:30], atol=2)


def test_a_long_line_does_not_become_a_huge_image():
    pixels = noise(2, 40_000)
    found = centre(encoded(pixels, "png"), (28, 28, 3), 256 / 224)
    # What is around the centre counts, eight times as long as high; all of it would be 32 x 640,000 pixels.
    np.testing.assert_array_equal(found, centre(encoded(pixels[:, 19_992:20_008], "png"), (28, 28, 3), 256 / 224))


def test_parts_of_the_squeezed_image():
    reading, shape = Reading("resize_crop"), (28, 28, 3)
    contents = encoded(ramp(90, 300), "png")
    squeezed = whole(contents, (32, 32, 3)).numpy()
    np.testing.assert_array_equal(evaluated(contents, shape, reading), squeezed[2:30, 2:30])
    places = set()
    parts = tf.function(
        lambda draws: tf.map_fn(
            lambda one: random_part(contents, one, shape, reading), draws, fn_output_signature=tf.uint8
        )
    )
    for part in parts(crop_draws(range(200), [5, 6])).numpy():
        top, left = (int(place) for place in np.argwhere((squeezed == part[0, 0]).all(-1))[0])
        np.testing.assert_array_equal(part, squeezed[top : top + 28, left : left + 28])
        places.add((top, left))
    assert places == {(top, left) for top in range(5) for left in range(5)}, "every place comes up"


@pytest.mark.parametrize("style", ["resize", "crop", "resize_crop"])
def test_evaluation_is_the_same_in_a_saved_model(style, tmp_path):
    reading = Reading(style, max_pixels=5000)

    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def read(self, contents: tf.Tensor) -> tf.Tensor:
            return tf.map_fn(
                lambda one: evaluated(one, (28, 28, 3), reading),
                contents,
                fn_output_signature=tf.TensorSpec((28, 28, 3), tf.uint8),
            )

    tf.saved_model.save(Reader(), tmp_path)
    read = tf.saved_model.load(tmp_path).read
    photograph = Image.fromarray(ramp(90, 50))
    exif = photograph.getexif()
    exif[0x0112] = 6
    contents = [
        *(encoded(photograph, form) for form in ("png", "gif", "bmp", "jpeg", "webp")),
        *(encoded(photograph.convert("P"), "bmp"), encoded(photograph, "jpeg", exif=exif)),
    ]
    np.testing.assert_array_equal(
        read(tf.constant(contents)), [evaluated(one, (28, 28, 3), reading) for one in contents]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="50 x 101 pixels are more than max_pixels=5000"):
        read(tf.constant([encoded(noise(101, 50), "jpeg")]))


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (5, 200), (1, 1)])
def test_small_images_are_enlarged(size):
    contents = encoded(ramp(*size) if min(size) > 1 else noise(*size), "png")
    assert centre(contents, (28, 28, 3), 256 / 224).shape == (28, 28, 3)
    assert random_crop(contents, crop_draws(range(1), [0, 0])[0], (28, 28, 3), CROP).shape == (28, 28, 3)


@pytest.mark.parametrize("form", ["jpeg", "png", "gif", "bmp", "webp"])
def test_what_cannot_be_decoded_is_found(form):
    contents = encoded(noise(40, 60), form)
    try_decoding(tf.constant(contents))
    for damaged in (b"", b"not an image", contents[:40], contents[: len(contents) // 2], contents[:-30]):
        with pytest.raises(tf.errors.OpError):
            try_decoding(tf.constant(damaged))


def test_the_style_follows_the_size_unless_it_is_given():
    assert reading_of("auto", 64).style == "resize" and reading_of("auto", 65).style == "crop"
    assert reading_of("crop", 32).style == "crop" and reading_of("resize", 224).style == "resize"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: reading_of("crops", 32),
            "reading: 'crops' is none of auto, resize, crop, resize_crop; nearest: crop",
        ),
        (lambda: Reading("auto"), "style: 'auto' is none of resize, crop, resize_crop; nearest: crop"),
        (lambda: Reading("crop", scale=(0, 1)), "scale must be two shares"),
        (lambda: Reading("crop", ratio=(2, 1)), "ratio must be two ratios"),
        (lambda: Reading("crop", margin=0.9), "margin must be 1 or more, got 0.9"),
        (lambda: Reading("crop", max_pixels=-1), "max_pixels must be 1 or more, or 0 for any number, got -1"),
    ],
)
def test_arguments_out_of_range_are_named_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
