"""Detection as a task: what is scored equals plain average precision, on one device and on two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill import boxes, networks
from tfdistill.bounds import ArgumentError
from tfdistill.data.sets import load_digit_scenes
from tfdistill.tasks import AveragePrecision, Detection, Task, detect
from tfdistill.tasks.average_precision_meter import BITS, MeanAveragePrecision
from tfdistill.tasks.detection import counted

CLASSES, MOST = 3, 12
RULES = {"mean_average_precision": "11-point", "area_average_precision": "area"}


def rounded(scores):
    """Scores as the meter has them: 11 bits behind the leading one."""
    bits = np.asarray(scores, np.float32).view(np.int32) >> (23 - BITS) << (23 - BITS)
    return bits.view(np.float32)


@pytest.fixture(scope="module")
def found_and_labels():
    """Detections of 20 images, the surest first, which are moved objects or chance; no two scores are alike."""
    generator, images = np.random.default_rng(4), 20
    labels = np.zeros([images, 4, 6], np.float32)
    labels[..., 4] = generator.integers(-1, CLASSES - 1, labels.shape[:2])
    labels[..., 5] = generator.uniform(size=labels.shape[:2]) < 0.2
    lower = generator.uniform(0, 0.6, [*labels.shape[:2], 2])
    labels[..., :4] = np.concatenate([lower, lower + generator.uniform(0.1, 0.4, lower.shape)], -1)
    scores = np.linspace(0.99, 0.05, images * MOST)[generator.permutation(images * MOST)].reshape(images, MOST)
    found = {
        "boxes": np.tile(labels[..., :4], [1, 3, 1]) + generator.normal(0, 0.02, [images, MOST, 4]),
        "scores": rounded(-np.sort(-scores)),
        "classes": np.where(generator.uniform(size=[images, MOST]) < 0.7, np.tile(labels[..., 4], [1, 3]), 1),
    }
    found["classes"][:, -2:] = -1
    return {name: value.astype("int32" if name == "classes" else "float32") for name, value in found.items()}, labels


@pytest.fixture(scope="module")
def plain(found_and_labels):
    found, labels = found_and_labels
    scores = AveragePrecision(CLASSES)
    for box, score, label, rows in zip(*found.values(), labels, strict=True):
        scores.add(box, score, label, rows[:, :4], rows[:, 4].astype(int), rows[:, 5])
    return scores


@pytest.mark.parametrize("rule", RULES.values())
def test_the_meter_is_average_precision(found_and_labels, plain, rule):
    found, labels = found_and_labels
    meter = MeanAveragePrecision(CLASSES, rule, "meter")
    rows = counted(labels, found)
    for first in range(0, 20, 8):
        meter.update_state(rows[first : first + 8])
    # What weighs nothing is left out, whatever it is.
    meter.update_state(rows, sample_weight=np.zeros(20))
    np.testing.assert_allclose(meter.by_class(), plain.average_precision(rule)[0], atol=1e-6)
    assert np.isnan(meter.by_class()[CLASSES - 1]), "a class without objects, but with detections"
    assert float(meter.result()) == pytest.approx(plain.mean(rule), abs=1e-6)
    assert 0.2 < plain.mean(rule) < 0.9
    meter.reset_state()
    assert np.isnan(meter.result())


def test_detections_by_hand():
    """Two boxes nearly alike, of which the surer stays for each class, and one apart, with one class that is likely."""
    default = np.array([[0.3, 0.3, 0.2, 0.2], [0.31, 0.3, 0.2, 0.2], [0.9, 0.9, 0.4, 0.4]], np.float32)
    logits = np.log(np.array([[[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.98, 0.0101, 0.0099]]], np.float32))
    found = boxes.detections(tf.zeros([1, 3, 4]), logits, default, most=5)
    assert found["count"].numpy().tolist() == [3]
    np.testing.assert_allclose(found["scores"][0], [0.8, 0.1, 0.0101, 0, 0], atol=1e-6)
    assert found["classes"].numpy().tolist() == [[0, 1, 0, -1, -1]]
    for candidates, count in ((3, 3), (2, 2)):
        fewer = boxes.detections(tf.zeros([1, 3, 4]), logits, default, most=5, candidates=candidates)
        assert fewer["count"].numpy().tolist() == [count], "the box apart is the third of its class"
    # Cut at the image.
    np.testing.assert_allclose(found["boxes"][0, ::2], [[0.2, 0.2, 0.4, 0.4], [0.7, 0.7, 1, 1], [0] * 4], atol=1e-6)


def test_a_detector_trains_and_every_image_is_scored_once_over_replicas(two_replicas):
    """Seven images in batches of four: the last ones are shared out unevenly."""
    scenes = load_digit_scenes(train=8, test=7, seed=1)
    images = [split.images.astype("float32") / 255 for split in (scenes.train, scenes.test)]
    with two_replicas.scope():
        detector = networks.ssd96_resnet8(classes=10, image_shape=(96, 96, 1), seed=1)
        distiller = tfdistill.Supervised([detector], task=Detection())
        distiller.compile(optimizer="sgd")
    before = detector.get_layer("map2_offsets").kernel.numpy()
    distiller.fit(images[0], scenes.train.labels, batch_size=4, epochs=1, verbose=0)
    assert (detector.get_layer("map2_offsets").kernel.numpy() != before).any()
    for number in range(1, 5):  # so that scores differ
        kernel = detector.get_layer(f"map{number}_classes").kernel
        kernel.assign(kernel.numpy() * 20)

    # Objects where the detector sees some, of which a third has moved away.
    taps = detector(images[1])
    labels = Detection().as_predicted({"labels": tf.zeros([7, 6, 6])}, taps)["labels"].numpy()
    labels[:, ::3, :2] /= 3
    scores = distiller.evaluate(images[1], labels, batch_size=4, verbose=0, return_dict=True)
    rows = counted(labels, detect(taps))
    assert set(scores) == {"loss", *(f"ssd96_resnet8/{name}" for name in Detection.metric_names)}
    for metric, rule in RULES.items():
        at_once = MeanAveragePrecision(10, rule, metric)
        at_once.update_state(rows)
        assert 0.05 < float(at_once.result()) < 0.95
        assert scores[f"ssd96_resnet8/{metric}"] == pytest.approx(float(at_once.result()), abs=1e-5)
    multibox = Detection().metrics({"labels": labels}, taps)["multibox"]
    assert scores["loss"] == scores["ssd96_resnet8/multibox"] == pytest.approx(float(np.mean(multibox)), rel=1e-4)


def test_detection_is_a_task():
    task = Detection()
    members = {name for name in vars(Task) if not name.startswith("_")}
    assert members <= {name for name in dir(task) if not name.startswith("_")}
    scores = {*task.metric_names, *task.closer(2).scores()}
    assert task.headline in task.rising and set(task.rising) <= scores == set(task.titles)
    assert (task.shown("mean_average_precision", 0.71612), task.shown("multibox", 0.25)) == ("71.61%", "0.2500")


def test_what_is_no_detector_is_refused(tiny_network):
    with pytest.raises(ArgumentError, match=r"^networks: plain is no detector: it gives no offsets and no class_log"):
        tfdistill.Supervised([tiny_network("plain", seed=1)], task=Detection())
    detectors = [networks.ssd96_resnet8(classes=count, name=f"of{count}") for count in (2, 3)]
    with pytest.raises(ArgumentError, match=r"^networks: of2 tells 2 classes apart, of3 3; peers need the same"):
        tfdistill.Supervised(detectors, task=Detection())
    with pytest.raises(ArgumentError, match=r"^networks: of2 must return a dict of taps with 'logits', not stem"):
        tfdistill.Supervised(detectors[:1])
    with pytest.raises(ValueError, match=r"^labels: must be the objects of images, \[batch, objects, 6\]"):
        Detection().readied({"labels": tf.zeros([3])}, 2)
    assert not isinstance(Detection().meter("multibox", 2, "loss"), MeanAveragePrecision)
    assert keras.metrics.Mean is type(Detection().meter("multibox", 2, "loss"))


@pytest.mark.parametrize(
    "row, message",
    [
        (
            [0, 0, 1, 1, 5, 0],
            "labels: object 1 of example 2 is of class 5, the 5 classes are 0 to 4, and -1 is padding",
        ),
        ([0, 0, 1, 1, 0.5, 0], "labels: object 1 of example 2 is of class 0.5, "),
        ([0, 0, 1, np.nan, 2, 0], "labels: object 1 of example 2 has corners that are no numbers"),
        ([0.5, 0, 0.2, 1, 2, 0], "labels: object 1 of example 2 has no area: rows are top, left, bottom, right"),
    ],
)
def test_the_first_row_that_is_no_object_is_named(row, message):
    labels = np.tile(np.array([[0, 0, 1, 1, 4, 0], [0, 0, 0, np.nan, -1, 0]], "float32"), [3, 1, 1])
    Detection().require_labels(labels, 5, "example")
    labels[2, 1] = row
    with pytest.raises(ValueError) as error:
        Detection().require_labels(labels, 5, "example")
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"numbers \[examples, objects, 6\], not int64 \[3\]"):
        Detection().require_labels(np.zeros(3, "int64"), 5, "example")


def detectors():
    return [
        networks.build(f"ssd96_resnet{depth}", classes=10, image_shape=(96, 96, 1), seed=depth) for depth in (8, 14)
    ]


def fitted(distiller):
    """What two scenes give, without a graph."""
    scenes = load_digit_scenes(train=2, test=1, seed=2)
    distiller.compile(optimizer="sgd", run_eagerly=True)
    images = scenes.train.images.astype("float32") / 255
    return distiller.fit(images, scenes.train.labels, batch_size=2, verbose=0).history


def test_an_object_of_no_class_in_a_data_set_is_one_line():
    scenes = load_digit_scenes(train=4, test=1, seed=2)
    labels = scenes.train.labels.copy()
    labels[3, 0, 4] = 10
    data = tf.data.Dataset.from_tensor_slices((scenes.train.images.astype("float32"), labels)).batch(2)
    distiller = tfdistill.Supervised(detectors()[:1], task=Detection())
    distiller.compile(optimizer="sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"^labels: 10 at .*example 1.* is no class, the 10 classes are 0 to 9"):
        distiller.fit(data, verbose=0)


def test_detectors_learn_from_a_teachers_and_each_others_last_map():
    """Attention transfer between backbones, whose default boxes and heads it does not read."""
    student, teacher = detectors()
    found = fitted(tfdistill.Distillation(student, teacher, [tfdistill.AT()], task=Detection()))
    assert found["ssd96_resnet8/at"][0] > 0 and found["ssd96_resnet8/multibox"][0] > 0
    found = fitted(tfdistill.Mutual(detectors(), [tfdistill.AT()], task=Detection()))
    assert all(found[f"ssd96_resnet{depth}/at"][0] > 0 for depth in (8, 14))


def test_what_reads_logits_is_refused_for_detectors_in_one_line():
    distilling = tfdistill.Distillation(*detectors(), [tfdistill.KD()], task=Detection())
    for distiller in (distilling, tfdistill.KDCL(detectors(), task=Detection())):
        message = r"^networks: a term reads 'logits', which ssd96_resnet\d+ does not give; it has stem"
        with pytest.raises(ArgumentError, match=message):
            fitted(distiller)
    with pytest.raises(ValueError, match=r"ssd96_resnet8 has no tap 'logits'; it has stem"):
        tfdistill.FFL(detectors(), task=Detection())
    with pytest.raises(ValueError, match="there are no auxiliary heads for 'ssd96_resnet8'"):
        tfdistill.DCM(detectors(), task=Detection())
