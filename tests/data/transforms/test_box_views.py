"""Boxes that move with pixels: what a window shows, where its objects are, and photometric distortion."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import boxes
from tfdistill.data.dataset import Split
from tfdistill.data.pipeline import training_batches, view_batches
from tfdistill.data.rows import Rows
from tfdistill.data.transforms.augmentation import Augmentation, BoxAugmentation, Normalization
from tfdistill.data.transforms.box_views import (
    LEAST_OVERLAPS,
    SMALLEST_SIDE,
    TRIES,
    _crops,
    seen_labels,
    seen_pixels,
    windows,
)
from tfdistill.data.transforms.mixing import Cutout
from tfdistill.data.transforms.photometric import distorted

SIZE, IMAGES = 48, 64
AUGMENTATION = BoxAugmentation(photometric=False)
SEED = tf.constant([5, 6], tf.int64)


@pytest.fixture(scope="module")
def scenes():
    """Images with one bright rectangle each, a second row of padding, and every eighth image without an object."""
    generator = np.random.default_rng(0)
    images, labels = np.zeros([IMAGES, SIZE, SIZE, 3], np.uint8), np.zeros([IMAGES, 2, 6], np.float32)
    labels[..., 4] = -1
    for image in range(IMAGES):
        if image % 8:
            top, left = generator.integers(0, SIZE - 14, 2)
            height, width = generator.integers(8, 15, 2)
            images[image, top : top + height, left : left + width] = 250
            labels[image, 0] = [*(np.array([top, left, top + height, left + width]) / SIZE), image % 3, image % 2]
    return images, labels


@pytest.fixture(scope="module")
def seen(scenes):
    images, labels = scenes
    window, is_mirrored = windows(tf.constant(labels), SEED, AUGMENTATION)
    pixels = seen_pixels(images, window, is_mirrored, tf.constant([10.0, 20.0, 30.0]))
    return window.numpy(), is_mirrored.numpy(), pixels.numpy(), seen_labels(labels, window, is_mirrored).numpy()


def test_boxes_are_where_the_pixels_are(scenes, seen):
    _, is_mirrored, pixels, labels = seen
    found = 0
    for image in range(IMAGES):
        if labels[image, 0, 4] < 0:
            continue
        bright = pixels[image, ..., 0] > 125
        rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        edges = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        np.testing.assert_allclose(edges / SIZE, labels[image, 0, :4], atol=1.01 / SIZE)
        np.testing.assert_array_equal(labels[image, 0, 4:], scenes[1][image, 0, 4:])
        found += 1
    assert found > IMAGES / 2 and 0.3 < is_mirrored.mean() < 0.7
    assert (labels[::8, :, 4] == -1).all() and (labels[:, 1, 4] == -1).all(), "padding stays padding"


def test_windows_zoom_out_and_crop_within_their_bounds(scenes, seen):
    window, _, pixels, labels = seen
    sides = window[:, 2:] - window[:, :2]
    assert (sides >= SMALLEST_SIDE - 1e-6).all() and (sides <= 4 + 1e-6).all()
    assert (window[:, :2] <= 1).all() and (window[:, 2:] >= 0).all()
    whole = np.isclose(window, [0, 0, 1, 1]).all(axis=1)
    assert 0 < whole.sum() < IMAGES / 2 and (sides > 1).any() and (sides < 1).any()
    # What surrounds an image is of the colour that was asked for.
    far = int(np.argmax(sides.min(axis=1)))
    np.testing.assert_allclose(
        pixels[far, 0, 0] if window[far, 0] < 0 else pixels[far, -1, -1], [10, 20, 30], atol=1e-3
    )
    untouched = BoxAugmentation(zoom_out=1, crop=False, mirror=False, photometric=False)
    window, is_mirrored = windows(tf.constant(labels), SEED, untouched)
    np.testing.assert_array_equal(window, np.tile([[0, 0, 1, 1]], [IMAGES, 1]))
    same = seen_pixels(scenes[0], window, is_mirrored, tf.zeros([3]))
    np.testing.assert_allclose(same, scenes[0], atol=1e-3)


@pytest.mark.parametrize("kind", range(len(LEAST_OVERLAPS)))
def test_a_crop_overlaps_some_object_in_it_by_what_was_drawn(scenes, kind):
    labels, generator = scenes[1], np.random.default_rng(kind)
    # The objects as a crop of 0.9 has to find them: nearly as large as the image.
    if LEAST_OVERLAPS[kind] in (0.5, 0.7, 0.9):
        large = np.concatenate([np.tile([0.1, 0.1, 0.9, 0.9], [IMAGES, 2, 1]), labels[..., 4:]], axis=-1)
        labels = np.where(labels[..., 4:5] >= 0, large, labels)
    share = generator.uniform(size=[IMAGES, TRIES, 4])
    found = _crops(tf.constant(labels, tf.float32), tf.fill([IMAGES], kind), tf.constant(share, tf.float32)).numpy()
    is_whole = (found == [0, 0, 1, 1]).all(axis=1)
    assert is_whole[::8].all(), "nothing to overlap"
    if kind == 0:
        assert is_whole.all()
        return
    assert (~is_whole).any()
    sides = found[~is_whole, 2:] - found[~is_whole, :2]
    assert sides.min() >= SMALLEST_SIDE - 1e-6 and found.min() >= 0 and found.max() <= 1
    assert (np.abs(np.log(sides[:, 0] / sides[:, 1])) <= np.log(2) + 1e-5).all()
    object_of, crops = labels[~is_whole, 0], found[~is_whole]
    overlaps = boxes.intersection_over_union(crops[:, None], object_of[:, None, :4].astype("float32"))
    assert np.min(overlaps) >= LEAST_OVERLAPS[kind] - 1e-6
    assert (seen_labels(object_of[:, None].astype("float32"), crops).numpy()[:, 0, 4] >= 0).all(), "its centre is shown"


def test_an_object_is_cut_at_the_window_or_goes_with_its_centre():
    labels = tf.constant([[[0.0, 0.0, 0.4, 0.4, 3, 1], [0.6, 0.6, 1.0, 1.0, 1, 0]]])
    window = tf.constant([[0.1, 0.1, 0.6, 0.6]])
    np.testing.assert_allclose(seen_labels(labels, window), [[[0, 0, 0.6, 0.6, 3, 1], [0, 0, 0, 0, -1, 0]]], atol=1e-6)
    mirrored = seen_labels(labels, tf.constant([[0.0, 0.0, 2.0, 2.0]]), tf.constant([True]))
    np.testing.assert_allclose(mirrored[0, 1], [0.3, 0.5, 0.5, 0.7, 1, 0], atol=1e-6)


def test_a_batch_of_boxes_is_a_function_of_seed_and_step_and_parts_make_it_up(scenes):
    split = Split.in_memory(*scenes)
    common = {
        "batch_size": 8,
        "seed": 3,
        "augmentation": BoxAugmentation(),
        "normalization": Normalization((0.5,), (0.5,)),
    }
    whole = list(training_batches(split, steps=3, **common))
    (later,) = training_batches(split, first_step=2, steps=1, **common)
    parts = [next(iter(training_batches(split, steps=1, part=part, parts=2, **common))) for part in (0, 1)]
    assert whole[0]["images"].shape == (8, SIZE, SIZE, 3) and whole[0]["labels"].shape == (8, 2, 6)
    for name in ("images", "labels", "index"):
        np.testing.assert_array_equal(whole[2][name], later[name])
        np.testing.assert_array_equal(whole[0][name], tf.concat([one[name] for one in parts], axis=0))
    assert (whole[0]["images"][0].numpy() != whole[1]["images"][0].numpy()).any()


def test_a_view_of_boxes_is_what_training_shows_of_them(scenes):
    split = Split.in_memory(*scenes)
    common = {"seed": 3, "augmentation": BoxAugmentation(), "normalization": Normalization((0.5,), (0.5,))}
    (batch,) = training_batches(split, batch_size=8, views=1, steps=1, **common)
    (view,) = view_batches(split, 0, batch_size=IMAGES, **common)
    for name in ("images", "labels"):
        np.testing.assert_allclose(batch[name], tf.gather(view[name], batch["index"]), atol=1e-5)
    assert len(np.unique(view["labels"][:, 0, 0])) > IMAGES / 4


def test_what_moves_pixels_without_boxes_is_refused(scenes):
    split = Split.in_memory(*scenes)
    common = {"batch_size": 8, "seed": 3, "normalization": Normalization((0.5,), (0.5,))}
    with pytest.raises(ValueError, match=r"^augmentation: labels are boxes, which move along by BoxAugmentation alone"):
        training_batches(split, augmentation=Augmentation(4, "zero", True), **common)
    with pytest.raises(ValueError, match=r"^augmentation: labels are boxes, and a cut-out would hide objects"):
        training_batches(split, augmentation=None, cutout=Cutout(), **common)
    with pytest.raises(ValueError, match=r"^labels: mixing, label_smoothing and balance are for one class per image"):
        training_batches(split, augmentation=None, label_smoothing=0.1, classes=3, **common)
    classes = Split.in_memory(scenes[0], np.zeros(IMAGES, int))
    with pytest.raises(ValueError, match=r"^augmentation: BoxAugmentation is for labels that are boxes"):
        training_batches(classes, augmentation=BoxAugmentation(), **common)
    with pytest.raises(ValueError, match=r"^zoom_out must be in 1..100"):
        BoxAugmentation(zoom_out=0.5)


def test_photometric_distortion_stays_in_range_and_differs_between_images():
    images = np.tile(np.linspace(40, 200, 16 * 16).reshape([1, 16, 16, 1]), [32, 1, 1, 3]) * np.array([1.0, 0.8, 0.6])
    found = distorted(images, SEED).numpy()
    assert found.shape == images.shape and found.min() >= 0 and found.max() <= 255
    changes = np.abs(found - images).max(axis=(1, 2, 3))
    assert len(np.unique(changes.round(3))) > 20, "each image has draws of its own"
    pairs = zip(found[:, 8, 8] / 255, images[:, 8, 8] / 255, strict=True)
    hues = np.array([[colorsys.rgb_to_hsv(*one)[0] for one in pair] for pair in pairs])
    turned = np.abs(hues[:, 0] - hues[:, 1])
    # By at most 18 degrees, and by none in half of the images.
    assert turned.max() <= 0.05 + 1e-4 and 8 <= (turned > 1e-4).sum() <= 24
    part = distorted(images[8:16], SEED, Rows(tuple(range(8, 16)), 32)).numpy()
    np.testing.assert_array_equal(part, found[8:16])
    grey = distorted(images[..., :1], SEED)
    assert grey.shape == (32, 16, 16, 1) and (np.abs(grey - images[..., :1]) > 1).any()
