"""Crop and flip against an exhaustive NumPy search, normalisation against float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import NORMALIZATIONS, Augmentation, Normalization, load
from tfdistill.data.transforms.usual import normalize, pad_crop_flip

NUMPY_MODES = {"reflect": "reflect", "zero": "constant"}


def random_images(batch: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, channels), dtype=np.uint8)


def draws_of(image: np.ndarray, output: np.ndarray, pad: int, mode: str) -> list[tuple[int, int, bool]]:
    """All (row, column, flipped) whose crop of the padded image is `output`."""
    padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode=NUMPY_MODES[mode])
    height, width, _ = image.shape
    found = []
    for row in range(2 * pad + 1):
        for column in range(2 * pad + 1):
            crop = padded[row : row + height, column : column + width]
            found += [(row, column, False)] if np.array_equal(output, crop) else []
            found += [(row, column, True)] if np.array_equal(output, crop[:, ::-1]) else []
    return found


@pytest.mark.parametrize("mode", ["reflect", "zero"])
@pytest.mark.parametrize("shape", [(9, 7, 3), (8, 8, 1)])
def test_every_output_is_a_crop_of_its_own_image_and_draws_are_uniform(mode, shape):
    pad, batch = 2, 1500
    images = random_images(batch, *shape)
    outputs = pad_crop_flip(images, [3, 5], pad, mode, True)
    assert outputs.dtype == tf.uint8
    draws = [draws_of(image, output, pad, mode) for image, output in zip(images, outputs.numpy(), strict=True)]
    assert {len(found) for found in draws} == {1}
    _, counts = np.unique([found[0] for found in draws], axis=0, return_counts=True)
    expected = batch / (2 * (2 * pad + 1) ** 2)
    assert len(counts) == 50
    # Chi-squared with 49 degrees of freedom exceeds 94.6 with probability 0.0001.
    assert ((counts - expected) ** 2 / expected).sum() < 94.6


def test_without_flip_nothing_is_mirrored():
    images = random_images(200, 8, 8, 1)
    outputs = pad_crop_flip(images, [0, 0], 1, "zero", False).numpy()
    draws = [draws_of(image, output, 1, "zero") for image, output in zip(images, outputs, strict=True)]
    assert all(len(found) == 1 and not found[0][2] for found in draws)


def test_no_pad_and_no_flip_change_nothing():
    images = random_images(4, 8, 8, 3)
    np.testing.assert_array_equal(pad_crop_flip(images, [0, 0], 0, "reflect", False), images)


@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_xla_draws_and_cuts_the_same(mode):
    images = tf.constant(random_images(64, 32, 32, 3))
    compiled = tf.function(lambda x, seed: pad_crop_flip(x, seed, 4, mode, True), jit_compile=True)
    for step in range(3):
        seed = tf.constant([2**40 + 1, step], tf.int64)
        np.testing.assert_array_equal(compiled(images, seed), pad_crop_flip(images, seed, 4, mode, True))


def test_seed_decides():
    images = random_images(32, 32, 32, 3)
    first, again, other = (pad_crop_flip(images, seed, 4, "reflect", True).numpy() for seed in ([1, 2], [1, 2], [2, 1]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalize_equals_its_formula(name):
    normalization = NORMALIZATIONS[name]
    images = random_images(5, 6, 4, len(normalization.mean))
    expected = (images / 255 - np.array(normalization.mean)) / np.array(normalization.std)
    normalized = normalize(tf.constant(images), normalization)
    assert normalized.dtype == tf.float32
    np.testing.assert_allclose(normalized, expected, atol=1e-6, rtol=1e-6)


def test_one_value_serves_every_channel():
    images = random_images(2, 4, 4, 3)
    np.testing.assert_allclose(normalize(tf.constant(images), NORMALIZATIONS["none"]), images / 255, atol=1e-6)


def test_published_constants():
    assert NORMALIZATIONS["c10wrn"].mean == (125.3 / 255, 123.0 / 255, 113.9 / 255)
    assert NORMALIZATIONS["c10wrn"].std == (63.0 / 255, 62.1 / 255, 66.7 / 255)
    assert NORMALIZATIONS["c100"].mean == (129.3 / 255, 124.1 / 255, 112.4 / 255)
    assert NORMALIZATIONS["c100"].std == (68.2 / 255, 65.4 / 255, 70.4 / 255)
    assert NORMALIZATIONS["kuang"] == Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert NORMALIZATIONS["rep"] == Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
    assert NORMALIZATIONS["imagenet"] == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_digits_constants_are_those_of_its_training_split():
    pixels = load("digits").train.images / 255
    assert NORMALIZATIONS["digits"].mean == pytest.approx((pixels.mean(),), abs=1e-9)
    assert NORMALIZATIONS["digits"].std == pytest.approx((pixels.std(),), abs=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Normalization((0.5,), (0.2, 0.2)),
            "mean and std need one value per channel each, got 1 and 2",
        ),
        (lambda: Normalization((), ()), "mean and std need one value per channel each"),
        (lambda: Normalization((0.5,), (0.0,)), "std must be positive"),
        (lambda: Augmentation(-1, "zero", True), "pad must be 0 or more pixels, got -1"),
        (lambda: Augmentation(4, "mirror", True), "mode must be one of reflect, zero, got 'mirror'"),
        (
            lambda: pad_crop_flip(random_images(1, 4, 8, 3), [0, 0], 4, "reflect", True),
            "below the image's 4x8 pixels",
        ),
        (
            lambda: normalize(random_images(1, 4, 4, 1), NORMALIZATIONS["c100"]),
            "for 3 channels but the images have 1",
        ),
    ],
)
def test_bad_settings_are_named_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
