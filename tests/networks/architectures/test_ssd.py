"""SSD: its taps, default boxes and parameters, counted by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import boxes, losses, networks
from tfdistill.networks.default_boxes import SSD96, SSD300

STAGES = ["stage1", "stage2", "stage3"]
BACKBONE = ["stem", *STAGES, *(f"{stage}_preactivation" for stage in STAGES)]
ANSWER = ["offsets", "class_logits", "default_boxes"]


def conv(inputs, outputs, size, bias=False):
    return size * size * inputs * outputs + bias * outputs


def normed(inputs, outputs, size):
    """A convolution without bias, and the scale and shift of its normalization."""
    return conv(inputs, outputs, size) + 2 * outputs


def basic_stage(inputs, outputs, blocks):
    shortcut = normed(inputs, outputs, 1) if inputs != outputs else 0
    return shortcut + normed(inputs, outputs, 3) + (2 * blocks - 1) * normed(outputs, outputs, 3)


def bottleneck_stage(inputs, within, blocks):
    outputs = 4 * within
    shortcut, entry, others = normed(inputs, outputs, 1), normed(inputs, within, 1), normed(outputs, within, 1)
    rest = normed(within, within, 3) + normed(within, outputs, 1)
    return shortcut + entry + (blocks - 1) * others + blocks * rest


def behind(channels, extras, counts, classes):
    """The parameters of what follows the backbone."""
    maps, total = [channels], 0
    for within, outputs in extras:
        total += normed(maps[-1], within, 1) + normed(within, outputs, 3)
        maps.append(outputs)
    return total + sum(conv(one, count * (5 + classes), 3, bias=True) for one, count in zip(maps, counts, strict=True))


STEM = normed(3, 64, 7)
EXTRAS = [(256, 512), (256, 512), (128, 256), (128, 256), (128, 128)]
FOR_300 = (4, 6, 6, 6, 4, 4)
SMALL = {"extras": [(32, 64)] * 3, "counts": (4, 6, 6, 4)}
COUNTS = {
    "ssd300_resnet18": STEM
    + basic_stage(64, 64, 2)
    + basic_stage(64, 128, 2)
    + basic_stage(128, 256, 2)
    + behind(256, EXTRAS, FOR_300, 20),
    "ssd300_resnet34": STEM
    + basic_stage(64, 64, 3)
    + basic_stage(64, 128, 4)
    + basic_stage(128, 256, 6)
    + behind(256, EXTRAS, FOR_300, 20),
    "ssd300_resnet50": STEM
    + bottleneck_stage(64, 64, 3)
    + bottleneck_stage(256, 128, 4)
    + bottleneck_stage(512, 256, 6)
    + behind(1024, [*EXTRAS[:4], (128, 256)], FOR_300, 20),
    "ssd96_resnet8": normed(3, 16, 3)
    + basic_stage(16, 16, 1)
    + basic_stage(16, 32, 1)
    + basic_stage(32, 64, 1)
    + behind(64, **SMALL, classes=20),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_maps_and_boxes(name):
    detector = getattr(networks, name)(classes=20)
    assert sum(int(np.prod(one.shape)) for one in detector.trainable_variables) == COUNTS[name]
    assert [*detector.output] == [*BACKBONE, "features", "embedding", *ANSWER]
    count, places, channels = (8732, 38, 1024 if "50" in name else 256) if "300" in name else (850, 12, 64)
    assert detector.output["features"].shape == (None, places, places, channels)
    assert detector.output["embedding"].shape == (None, channels)
    assert [detector.output[tap].shape for tap in ANSWER] == [(None, count, 4), (None, count, 21), (None, count, 4)]
    assert detector.architecture == detector.name == name


def test_ssd300_has_the_boxes_of_its_specification():
    assert SSD300.at_each_place() == (4, 6, 6, 6, 4, 4)
    found = SSD300.centre_form()
    assert found.shape == (8732, 4) and found.dtype == np.float32
    lower, upper = found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2
    assert lower.min() > -1e-6 and upper.max() < 1 + 1e-6 and found[:, 2:].min() > 0
    # Away from the border: row 4 and column 6 of the first map, row 4 and column 5 of the third.
    first = found[(4 * 38 + 6) * 4 :][:4] * 300
    pair = np.sqrt(30 * 60)
    sides = [(30, 30), (pair, pair), (30 / 2**0.5, 30 * 2**0.5), (30 * 2**0.5, 30 / 2**0.5)]
    np.testing.assert_allclose(first, [(36, 52, *side) for side in sides], rtol=1e-5)
    third = found[38 * 38 * 4 + 19 * 19 * 6 + (4 * 10 + 5) * 6 :][4:6] * 300
    short, long = 111 / 3**0.5, 111 * 3**0.5
    np.testing.assert_allclose(third, [(144, 176, short, long), (144, 176, long, short)], rtol=1e-5)
    # At the border what is outside is cut off; the last box is wider than the image.
    np.testing.assert_allclose(found[0] * 300, [9.5, 9.5, 19, 19], rtol=1e-5)
    np.testing.assert_allclose(found[-1] * 300, [150, 150, 300, 264 / 2**0.5], rtol=1e-5)


@pytest.fixture(scope="module")
def detector():
    return networks.ssd96_resnet8(classes=3, seed=4)


def test_offsets_and_classes_of_a_box_come_from_its_place_on_its_map(detector):
    """A head whose only weights are biases says of each shape of box what its bias is."""
    before = detector.get_weights()
    for number, count in enumerate(SSD96.at_each_place(), 1):
        for name, parts in (("offsets", 4), ("classes", 4)):
            layer = detector.get_layer(f"map{number}_{name}")
            layer.kernel.assign(tf.zeros_like(layer.kernel))
            layer.bias.assign(np.arange(count * parts, dtype=np.float32) + 1000 * number)
    taps = detector(np.zeros([1, 96, 96, 3], np.float32))
    detector.set_weights(before)
    start = 0
    for number, (count, places) in enumerate(zip(SSD96.at_each_place(), SSD96.maps, strict=True), 1):
        rows = slice(start, start + count * places**2)
        for tap in ("offsets", "class_logits"):
            found = taps[tap][0][rows].numpy().reshape([places, places, count, 4])
            assert (found == 1000 * number + np.arange(count * 4).reshape([count, 4])).all()
        start = rows.stop
    assert start == 850
    np.testing.assert_array_equal(taps["default_boxes"][0], SSD96.centre_form())


def test_a_detector_learns_and_comes_back_from_a_file(detector, tmp_path):
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 96, 96, 3)).astype("float32")
    labels = np.array([[[0.1, 0.2, 0.4, 0.6, 1, 0], [0.5, 0.5, 0.9, 0.7, 2, 0]], [[0.0] * 4 + [-1, 0]] * 2], np.float32)

    def loss(taps):
        return losses.multibox_loss(labels, *(taps[tap] for tap in ANSWER))

    with tf.GradientTape() as tape:
        total = tf.reduce_mean(loss(detector(images, training=True)))
    gradients = tape.gradient(total, detector.trainable_variables)
    assert np.isfinite(total) and all(one is not None and np.isfinite(one).all() for one in gradients)
    detector.save(tmp_path / "detector.keras")
    again = keras.models.load_model(tmp_path / "detector.keras")
    for tap, value in detector(images).items():
        np.testing.assert_array_equal(again(images)[tap], value, err_msg=tap)
    found = boxes.decoded(detector(images)["offsets"], detector(images)["default_boxes"])
    assert found.shape == (2, 850, 4) and np.isfinite(found).all()


def test_answers_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = networks.ssd96_resnet8(classes=1, seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert {mixed.output[tap].dtype for tap in (*ANSWER, "embedding")} == {"float32"}
    assert mixed.output["features"].dtype == "bfloat16" and mixed.output["class_logits"].shape == (None, 850, 2)


@pytest.mark.parametrize(
    "name, changed, message",
    [
        ("ssd300_resnet18", {"image_shape": (32, 32, 3)}, "image_shape must be at least 300 x 300 pixels"),
        ("ssd300_resnet18", {"image_shape": (300, 320, 3)}, "image_shape must be 300 x 300 pixels"),
        ("ssd96_resnet8", {"classes": 0}, "classes must be an integer of at least 1, got 0"),
        ("ssd300_resnet101", {}, r"'ssd300_resnet101': depth must be one of \[18, 34, 50\], got 101"),
        ("ssd96_resnet9", {}, r"'ssd96_resnet9': depth must be 6n \+ 2"),
    ],
)
def test_wrong_arguments_are_refused(name, changed, message):
    size = 300 if "300" in name else 96
    with pytest.raises(ValueError, match=f"^{message}"):
        networks.build(name, **{"classes": 2, "image_shape": (size, size, 3)} | changed)


def test_detectors_are_networks_by_name_and_told_from_classifiers():
    assert "ssd96_resnet8" in dir(networks) and set(networks.DETECTORS).isdisjoint(networks.NETWORKS)
    networks.require_name("ssd96_resnet8")
    told = [networks.is_detector(name) for name in ("ssd96_resnet8", "ssd300_resnet18", "resnet8", "keras_resnet50")]
    assert told == [True, True, False, False]
    with pytest.raises(ValueError, match=r"^unknown network 'ssd97_resnet8'; nearest: 'ssd96_resnet"):
        networks.is_detector("ssd97_resnet8")
    for family in networks.DETECTORS.values():
        assert all(family.numbers(example) is not None for example in family.examples)
