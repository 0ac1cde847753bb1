"""Average precision against cases worked by hand, and against pycocotools and mean-average-precision on random ones."""

import contextlib
import io

import numpy as np
import pytest

from tfdistill.bounds import ArgumentError
from tfdistill.tasks.average_precision import COCO_THRESHOLDS, AveragePrecision

# Three objects apart from each other, and a box that overlaps none.
OBJECTS = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0], [40.0, 40.0, 50.0, 50.0]])
NOTHING = np.array([70.0, 70.0, 80.0, 80.0])
ZEROS = np.zeros(3, int)


def worked_by_hand() -> AveragePrecision:
    """Three objects, five detections, which are right, wrong, right, wrong, wrong in the order of their scores."""
    scores = AveragePrecision(classes=1)
    boxes = np.array([NOTHING, OBJECTS[0], OBJECTS[1], NOTHING, OBJECTS[0]])
    scores.add(boxes, [0.8, 0.9, 0.7, 0.6, 0.5], np.zeros(5, int), OBJECTS, ZEROS)
    return scores


def test_the_case_worked_by_hand():
    scores = worked_by_hand()
    assert scores.mean("11-point") == pytest.approx((4 * 1 + 3 * 2 / 3) / 11, abs=1e-12)
    assert scores.mean("area") == pytest.approx(1 / 3 + 1 / 3 * 2 / 3, abs=1e-12)
    # 0, 0.01, ..., 0.33 are below 1/3, those to 0.66 below 2/3.
    assert scores.mean("101-point") == pytest.approx((34 * 1 + 33 * 2 / 3) / 101, abs=1e-12)


@pytest.mark.parametrize("make", [lambda: AveragePrecision(3), lambda: AveragePrecision.coco(3)], ids=["voc", "coco"])
@pytest.mark.parametrize("rule", ["11-point", "area", "101-point"])
def test_perfect_detections_score_one_and_a_class_without_objects_is_left_out(make, rule):
    scores = make()
    for label in (0, 2, 2):
        scores.add(OBJECTS, [0.3, 0.9, 0.9], ZEROS + label, OBJECTS, ZEROS + label)
    # A class without objects has detections, and still no score.
    scores.add(OBJECTS[:1], [0.99], [1], np.zeros((0, 4)), [])
    found = scores.average_precision(rule)
    np.testing.assert_allclose(found[:, [0, 2]], 1.0, atol=1e-12)
    assert np.isnan(found[:, 1]).all() and scores.mean(rule) == pytest.approx(1.0, abs=1e-12)
    assert scores.images == 4 and scores.objects.tolist() == [3, 0, 6]


@pytest.mark.parametrize("matching", ["voc", "coco"])
def test_a_second_detection_of_an_object_is_wrong(matching):
    scores = AveragePrecision(1, matching=matching)
    boxes = OBJECTS[[0, 0, 1]]
    scores.add(boxes, [0.9, 0.8, 0.7], ZEROS, OBJECTS[:2], [0, 0])
    assert scores.mean("area") == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_difficult_objects_neither_count_nor_harm():
    plain, with_difficult = AveragePrecision(2), AveragePrecision(2)
    plain.add(OBJECTS[[0, 2]], [0.9, 0.5], [0, 0], OBJECTS[:1], [0])
    # Two more detections, both of a difficult object; a class whose only object is difficult has no score.
    with_difficult.add(
        OBJECTS[[0, 1, 1, 2]], [0.9, 0.8, 0.7, 0.5], [0] * 4, OBJECTS, [0, 0, 1], difficult=[False, True, True]
    )
    for rule in ("11-point", "area"):
        np.testing.assert_array_equal(plain.average_precision(rule), with_difficult.average_precision(rule))
    assert np.isnan(with_difficult.average_precision()[0, 1])


def test_the_two_rules_of_matching_differ_where_an_object_is_taken():
    """The second detection overlaps the first object most, which is taken, and the second object enough."""
    objects = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 2.0, 10.0, 12.0]])
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.5, 10.0, 10.5]])
    scored = {}
    for matching in ("voc", "coco"):
        scored[matching] = AveragePrecision(1, matching=matching)
        scored[matching].add(boxes, [0.9, 0.8], [0, 0], objects, [0, 0])
    assert (scored["voc"].mean("area"), scored["coco"].mean("area")) == (0.5, 1.0)


def test_a_recall_of_tenths_is_reached_exactly():
    """3 of 10 objects are a recall of 0.3, though 3 · 0.1 is more than 0.3."""
    objects = np.array([[20.0 * k, 0.0, 20.0 * k + 10, 10.0] for k in range(10)])
    scores = AveragePrecision(1)
    scores.add(objects[:3], [0.9, 0.8, 0.7], ZEROS, objects, np.zeros(10, int))
    assert scores.mean("11-point") == pytest.approx(4 / 11, abs=1e-12)


def test_images_may_come_padded_and_one_by_one():
    whole, padded = AveragePrecision(2), AveragePrecision(2)
    none, rows = np.full((2, 4), np.nan), np.array([0, 1, 0])
    for scores, boxes, labels in (
        (whole, OBJECTS, rows),
        (padded, np.vstack([OBJECTS, none]), np.append(rows, [-1, -1])),
    ):
        scores.add(boxes, np.append([0.9, 0.8, 0.7], np.full(len(labels) - 3, np.nan)), labels, boxes, labels)
        scores.add(np.zeros((0, 4)), [], [], np.zeros((0, 4)), [])
    np.testing.assert_array_equal(whole.average_precision("area"), padded.average_precision("area"))
    assert AveragePrecision(2).add([], [], [], [], []) is None and np.isnan(AveragePrecision(2).mean())


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"labels": [0, 1, 0]}, "labels: must be classes from 0 to 0, or -1 for padding, not 1"),
        ({"true_labels": [0, 0]}, r"true_boxes: must be \[count, 4\] beside true_labels \[count\]"),
        ({"scores": [0.9, np.nan, 0.1]}, "scores: must be finite"),
        ({"scores": [0.9]}, "scores: must be one for each label"),
        ({"boxes": np.full([3, 4], np.inf)}, "boxes: must be finite"),
        ({"difficult": [True]}, "difficult: must be one for each label"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_not_added(wrong, message):
    right = {"boxes": OBJECTS, "scores": [0.9, 0.8, 0.7], "labels": ZEROS, "true_boxes": OBJECTS, "true_labels": ZEROS}
    scores = AveragePrecision(1)
    with pytest.raises(ArgumentError, match=f"^{message}"):
        scores.add(**right | wrong)
    assert scores.images == 0 and scores.objects[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"classes": 0}, "classes: must be 1 or more"),
        ({"thresholds": ()}, "thresholds: must be numbers"),
        ({"thresholds": (0.0, 0.5)}, "thresholds: must be numbers"),
        ({"matching": "pascal"}, "matching"),
        ({"most": 0}, "most: must be 1 or more"),
    ],
)
def test_arguments_have_bounds(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        AveragePrecision(**{"classes": 1} | arguments)


def random_images(generator: np.random.Generator, classes: int) -> list[dict[str, np.ndarray]]:
    """Objects, and detections that are moved objects or chance; (left, top, right, bottom), no two scores alike."""
    images = []
    for _ in range(generator.integers(1, 6)):
        count = generator.integers(0, 7)
        corners = generator.uniform(0, 60, [count, 2])
        true_boxes = np.concatenate([corners, corners + generator.uniform(4, 40, [count, 2])], axis=1)
        moved = np.repeat(true_boxes, generator.integers(0, 4, count), axis=0)
        moved = moved + generator.normal(0, 3, moved.shape)
        corners = generator.uniform(0, 60, [generator.integers(0, 5), 2])
        chance = np.concatenate([corners, corners + generator.uniform(4, 40, corners.shape)], axis=1)
        boxes = np.concatenate([moved, chance])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        images.append(
            {
                "boxes": boxes,
                "scores": generator.permutation(len(boxes)) / 100 + generator.uniform(0, 0.01, len(boxes)),
                "labels": generator.integers(0, classes, len(boxes)),
                "true_boxes": true_boxes,
                "true_labels": generator.integers(0, classes, count),
                "difficult": generator.uniform(size=count) < 0.2,
            }
        )
    return images


def test_coco_scores_equal_pycocotools_on_200_random_cases():
    pytest.importorskip("pycocotools", reason="needs the test extra: pip install 'tfdistill[test]'")
    generator, compared = np.random.default_rng(1), 0
    for case in range(200):
        classes = int(generator.integers(1, 4))
        images = random_images(generator, classes)
        ours = AveragePrecision.coco(classes)
        if case == 0:  # more detections of one class than count
            images[0] |= {
                "boxes": np.repeat(np.array([[0.0, 0.0, 9.0, 9.0]]), 130, axis=0) + np.arange(130)[:, None] / 5,
                "scores": np.linspace(0.9, 0.1, 130),
                "labels": np.zeros(130, int),
                "true_boxes": np.array([[22.0, 22.0, 31.0, 31.0], [0.0, 0.0, 9.0, 9.0]]),
                "true_labels": np.zeros(2, int),
                "difficult": np.zeros(2, bool),
            }
        for image in images:
            ours.add(**image)
        found = ours.average_precision("101-point")
        theirs = by_pycocotools(images, classes)
        np.testing.assert_allclose(found, theirs, atol=1e-6, equal_nan=True)
        compared += np.isfinite(theirs).sum()
        if np.isfinite(theirs).any():
            assert ours.mean("101-point") == pytest.approx(np.nanmean(theirs), abs=1e-6)
    assert compared > 2_000


def by_pycocotools(images: list[dict[str, np.ndarray]], classes: int) -> np.ndarray:
    """`[thresholds, classes]`; the row of 0.5 is its AP50."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def widths(box: np.ndarray) -> list[float]:
        return [*box[:2], *(box[2:] - box[:2])]

    truth, detections = COCO(), []
    objects = [
        {
            "image_id": index,
            "category_id": int(label),
            "bbox": widths(box),
            "area": float(np.prod(box[2:] - box[:2])),
            "iscrowd": int(crowd),
        }
        for index, image in enumerate(images)
        for box, label, crowd in zip(image["true_boxes"], image["true_labels"], image["difficult"], strict=True)
    ]
    truth.dataset = {
        "images": [{"id": index} for index in range(len(images))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": [{**one, "id": number} for number, one in enumerate(objects, 1)],
    }
    detections = [
        {"image_id": index, "category_id": int(label), "bbox": widths(box), "score": float(score)}
        for index, image in enumerate(images)
        for box, label, score in zip(image["boxes"], image["labels"], image["scores"], strict=True)
    ]
    if not detections:
        counted = {one["category_id"] for one in objects if not one["iscrowd"]}
        return np.array([[0.0 if label in counted else np.nan for label in range(classes)]] * len(COCO_THRESHOLDS))
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # all areas, 100 detections
    return np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1))


@pytest.mark.parametrize("rule", ["11-point", "area"])
def test_voc_scores_equal_those_of_mean_average_precision(rule):
    reason = "needs the test extra: pip install 'tfdistill[test]'"
    library = pytest.importorskip("mean_average_precision", reason=reason)
    generator = np.random.default_rng(2)
    for _ in range(10):
        images = random_images(generator, 2)
        ours, theirs = AveragePrecision(2), library.MeanAveragePrecision2d(2)
        for image in images:
            # Theirs counts difficult objects; a box of theirs is wider than its corners are apart, by one.
            ours.add(**image | {"difficult": None})
            whole = np.array([0.0, 0.0, 1.0, 1.0])
            labels, scores = image["labels"][:, None], image["scores"][:, None]
            none = np.zeros([len(image["true_boxes"]), 2])
            theirs.add(
                np.hstack([image["boxes"] - whole, labels, scores]),
                np.hstack([image["true_boxes"] - whole, image["true_labels"][:, None], none]),
            )
        points = None if rule == "area" else np.arange(11) / 10
        told = theirs.value(iou_thresholds=0.5, recall_thresholds=points, mpolicy="greedy")[0.5]
        there = np.flatnonzero(ours.objects)
        np.testing.assert_allclose(
            ours.average_precision(rule)[0, there], [told[label]["ap"] for label in there], atol=1e-6
        )
