"""RandAugment's operations against Pillow, and the draws of which image goes through which."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tfdistill.data.transforms.randaugment import OPERATIONS, RandAugment, rand_augment

HEIGHT, WIDTH = 24, 30
GREY = (128, 128, 128)
WITHOUT_LEVEL = ("auto_contrast", "equalize")


def images(count: int = 3) -> np.ndarray:
    """Noise that does not reach 0 and 255, and is less frequent at its ends."""
    draws = np.random.default_rng(0).integers(10, 60, (4, count, HEIGHT, WIDTH, 3))
    return draws.sum(0).astype(np.uint8)


def moved(image: Image.Image, *coefficients: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=GREY)


REFERENCES = {
    "identity": lambda image, level: image,
    "auto_contrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "rotate": lambda image, level: image.rotate(30 * level, Image.Resampling.NEAREST, fillcolor=GREY),
    "solarize": lambda image, level: ImageOps.solarize(image, round(256 * (1 - abs(level)))),
    "color": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "posterize": lambda image, level: ImageOps.posterize(image, 8 - round(4 * abs(level))),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "shear_x": lambda image, level: moved(image, 1, 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda image, level: moved(image, 1, 0, 0, 0.3 * level, 1, 0),
    "translate_x": lambda image, level: moved(image, 1, 0, level * 150 / 331 * WIDTH, 0, 1, 0),
    "translate_y": lambda image, level: moved(image, 1, 0, 0, 0, 1, level * 150 / 331 * HEIGHT),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_does_what_pillows_does(name):
    levels = np.array([-1.0, -0.9, -0.3, 0.5, 0.9, 1.0], np.float32)
    pixels = images(len(levels))
    found = OPERATIONS[name](tf.constant(pixels), tf.constant(levels)).numpy()
    references = [
        REFERENCES[name](Image.fromarray(one), float(level)) for one, level in zip(pixels, levels, strict=True)
    ]
    expected = np.stack([np.asarray(one) for one in references])
    assert found.dtype == np.uint8
    # Pillow and TensorFlow round halves differently: by 1 in a value, or to the neighbour among the pixels.
    differences = np.abs(found.astype(int) - expected)
    assert np.mean(differences > 1) < 0.003
    if name != "identity":
        assert np.mean(found != pixels) > 0.1


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in WITHOUT_LEVEL])
def test_level_0_changes_nothing(name):
    pixels = images()
    np.testing.assert_array_equal(OPERATIONS[name](tf.constant(pixels), tf.zeros(3)), pixels)


@pytest.mark.parametrize("name", OPERATIONS)
def test_grey_images_and_no_images_at_all(name):
    pixels, levels = tf.constant(images()[..., :1]), tf.constant([-0.9, 0.5, 0.9])
    found = OPERATIONS[name](pixels, levels)
    assert found.shape == pixels.shape and found.dtype == tf.uint8
    assert OPERATIONS[name](pixels[:0], levels[:0]).shape == (0, HEIGHT, WIDTH, 1)
    if name == "color":
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("name", WITHOUT_LEVEL)
def test_flat_images_stay_flat(name):
    flat = np.full((1, HEIGHT, WIDTH, 3), 77, np.uint8)
    np.testing.assert_array_equal(OPERATIONS[name](tf.constant(flat), tf.zeros(1)), flat)


def test_every_image_has_its_own_operation_and_sign_drawn_uniformly():
    image, count = images(1), 1400
    made: dict[bytes, set[str]] = {}
    for name, operation in OPERATIONS.items():
        for sign in (-1.0, 1.0):
            made.setdefault(operation(tf.constant(image), tf.constant([sign])).numpy().tobytes(), set()).add(name)
    assert len(made) > 20
    outputs = rand_augment(tf.constant(np.repeat(image, count, 0)), [3, 5], operations=1, magnitude=10).numpy()
    names = [made[one.tobytes()] for one in outputs]
    assert all(len(one) == 1 for one in names)
    _, counts = np.unique([one for (one,) in names], return_counts=True)
    assert len(counts) == len(OPERATIONS)
    # Chi-squared with 13 degrees of freedom exceeds 40.9 with probability 0.0001.
    assert ((counts - 100) ** 2 / 100).sum() < 40.9


def test_images_stay_in_their_places():
    # At magnitude 0 a flat image stays as it is whatever it drew, so its value tells which it was.
    flat = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None, None], (100, HEIGHT, WIDTH, 3))
    outputs = rand_augment(tf.constant(flat), [3, 5], operations=1, magnitude=0).numpy()
    np.testing.assert_array_equal(outputs, flat)


def test_a_seed_decides_and_operations_follow_each_other():
    pixels = tf.constant(np.repeat(images(1), 50, 0))
    first, again, other, once = (
        rand_augment(pixels, seed, operations, 9).numpy()
        for seed, operations in (([1, 2], 2), ([1, 2], 2), ([2, 1], 2), ([1, 2], 1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    changed = [(one != pixels[0].numpy()).any((1, 2, 3)).mean() for one in (once, first)]
    assert len({one.tobytes() for one in first}) > len({one.tobytes() for one in once}) > 10
    assert changed[0] > 0.8


@pytest.mark.parametrize(("settings", "name"), [((0, 9), "operations"), ((2, 11), "magnitude"), ((2, -1), "magnitude")])
def test_settings_out_of_range_are_named_in_one_line(settings, name):
    for make in (RandAugment, lambda *values: rand_augment(tf.constant(images()), [0, 0], *values)):
        with pytest.raises(ValueError, match=f"^{name}") as caught:
            make(*settings)
        assert "\n" not in str(caught.value)
