"""Boxes and the multibox loss against plain loops in float64, eager and compiled."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import boxes, losses

BOXES, OBJECTS, CLASSES = 40, 5, 3


def iou(one, other):
    """Of two boxes (top, left, bottom, right)."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def corners(centre_form):
    y, x, height, width = centre_form
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def encoded(box, default):
    (top, left, bottom, right), (y, x, height, width) = box, default
    return np.array(
        [
            ((top + bottom) / 2 - y) / height / 0.1,
            ((left + right) / 2 - x) / width / 0.1,
            np.log((bottom - top) / height) / 0.2,
            np.log((right - left) / width) / 0.2,
        ]
    )


def matched(objects, defaults):
    """The object of each default box, or None, for one image: a list of (corners, class)."""
    found = {}
    table = np.array([[iou(corners(default), box) for box, _ in objects] for default in defaults]).reshape(BOXES, -1)
    for place in range(BOXES):
        if len(objects) and table[place].max() >= 0.5:
            found[place] = int(table[place].argmax())
    claims = {}
    for number in range(len(objects)):
        best = int(table[:, number].argmax())
        if best not in claims or table[best, number] > table[best, claims[best]]:
            claims[best] = number
    return found | claims


def loss_and_gradients(objects, offsets, logits, defaults):
    """The two terms of one image, and the gradients of their sum."""
    found = matched(objects, defaults)
    count = max(len(found), 1)
    by_offsets, by_logits, terms = np.zeros_like(offsets), np.zeros_like(logits), np.zeros(2)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    background = -np.log(probabilities[:, 0])
    unmatched = sorted((place for place in range(BOXES) if place not in found), key=lambda place: -background[place])
    counted = {place: 1 + objects[number][1] for place, number in found.items()}
    counted |= dict.fromkeys(unmatched[: 3 * count], 0)
    for place, label in counted.items():
        terms[1] -= np.log(probabilities[place, label]) / count
        by_logits[place] = (probabilities[place] - np.eye(CLASSES + 1)[label]) / count
    for place, number in found.items():
        error = offsets[place] - encoded(objects[number][0], defaults[place])
        terms[0] += np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5).sum() / count
        by_offsets[place] = np.clip(error, -1, 1) / count
    return terms, by_offsets, by_logits


@pytest.fixture(scope="module")
def case():
    """Five images: the second has no object, the third two of one best default box, the last a small one."""
    generator = np.random.default_rng(3)
    defaults = np.concatenate([generator.uniform(0.2, 0.8, [BOXES, 2]), generator.uniform(0.1, 0.4, [BOXES, 2])], 1)
    labels = np.zeros([5, OBJECTS, 6])
    labels[..., 4] = -1
    for image, count in enumerate((2, 0, 2, OBJECTS, 1)):
        for row in range(count):
            near = defaults[7] if image == 2 else defaults[generator.integers(BOXES)]
            box = corners(near * generator.uniform(0.93, 1.07, 4))
            labels[image, row] = [*box, generator.integers(CLASSES), 0]
    labels[4, 0, :4] = corners([0.5, 0.5, 0.03, 0.04])
    offsets = generator.normal(0, 2, [5, BOXES, 4])
    logits = generator.normal(0, 2, [5, BOXES, CLASSES + 1])
    return labels, offsets, logits, defaults


def objects_in(rows):
    return [(row[:4], int(row[4])) for row in rows if row[4] >= 0]


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_the_loss_and_its_gradients_equal_plain_loops(case, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def computed(labels, offsets, logits, defaults):
        with tf.GradientTape() as tape:
            tape.watch((offsets, logits))
            terms = losses.multibox_terms(labels, offsets, logits, defaults)
            total = tf.add_n(terms)
        return terms, tape.gradient(total, (offsets, logits)), losses.multibox_loss(labels, offsets, logits, defaults)

    labels, offsets, logits, defaults = case
    terms, gradients, total = computed(*(tf.constant(one, tf.float32) for one in case))
    expected = [
        loss_and_gradients(objects_in(rows), *of_image, defaults)
        for rows, *of_image in zip(labels, offsets, logits, strict=True)
    ]
    assert len(set(matched(objects_in(labels[2]), defaults).values())) == 1, "two objects, one default box"
    (small, _), *_ = objects_in(labels[4])
    assert max(iou(corners(one), small) for one in defaults) < 0.5, "its best default box is taken all the same"
    np.testing.assert_allclose(np.transpose(terms), [one for one, _, _ in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[0], [one for _, one, _ in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[1], [one for _, _, one in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total, np.sum(terms, axis=0), rtol=1e-6)
    assert total.shape == (5,) and total.dtype == tf.float32


def test_an_image_without_objects_has_its_three_hardest_backgrounds(case):
    labels, offsets, logits, defaults = (one[1:2] if len(one) == 5 else one for one in case)
    of_offsets, of_classes = losses.multibox_terms(labels, offsets, logits, defaults)
    background = np.sort(-np.log(np.exp(logits[0, :, 0]) / np.exp(logits[0]).sum(-1)))
    assert of_offsets[0] == 0
    np.testing.assert_allclose(of_classes[0], background[-3:].sum(), rtol=1e-5)


def test_neither_padding_nor_the_order_of_objects_changes_anything(case):
    labels, *rest = case
    more = np.zeros([5, 9, 6])
    # Padding of any content, one of it a box that fits a default box.
    more[:, 5:, :4] = corners(case[3][0])
    more[..., 4] = -1
    more[:, :5] = labels[:, ::-1]
    np.testing.assert_array_equal(losses.multibox_loss(labels, *rest), losses.multibox_loss(more, *rest))


def test_default_boxes_may_differ_between_images(case):
    labels, offsets, logits, defaults = case
    tiled = np.tile(defaults[None], [5, 1, 1])
    np.testing.assert_array_equal(
        losses.multibox_loss(labels, offsets, logits, defaults), losses.multibox_loss(labels, offsets, logits, tiled)
    )


def test_every_box_comes_back_from_its_offsets():
    generator = np.random.default_rng(5)
    defaults = np.concatenate([generator.uniform(0, 1, [50, 2]), generator.uniform(0.05, 1, [50, 2])], 1)
    size = generator.uniform(0.02, 0.9, [50, 2])
    lower = generator.uniform(0, 1, [50, 2])
    box = tf.constant(np.concatenate([lower, lower + size], 1), tf.float32)
    offsets = boxes.encoded(box, tf.constant(defaults, tf.float32))
    np.testing.assert_allclose(offsets[7], encoded(box[7].numpy().astype(float), defaults[7]), rtol=1e-4)
    np.testing.assert_allclose(boxes.decoded(offsets, tf.constant(defaults, tf.float32)), box, atol=1e-6)
    huge = boxes.decoded(tf.constant([[0.0, 0.0, 1e9, 1e9]]), tf.constant([[0.5, 0.5, 0.1, 0.1]]))
    assert np.isfinite(huge).all()


def test_intersection_over_union_by_hand():
    one = tf.constant([[0.0, 0.0, 0.2, 0.4], [0.5, 0.5, 0.5, 0.5]])
    other = tf.constant([[0.1, 0.0, 0.3, 0.4], [0.0, 0.0, 0.2, 0.4], [0.6, 0.6, 0.5, 0.5]])
    np.testing.assert_allclose(boxes.intersection_over_union(one, other), [[1 / 3, 1, 0], [0, 0, 0]], rtol=1e-6)
    tiny = one[:1] * 1e-3
    np.testing.assert_allclose(boxes.intersection_over_union(tiny, tiny), [[1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"labels": np.zeros([1, 2, 5])}, r"labels and offsets must have rows of 6 and of 4"),
        ({"labels": np.zeros([2, 6])}, r"labels must be \[batch, objects, 6\]"),
        ({"offsets": np.zeros([1, 4])}, r"offsets must be \[batch, boxes, 4\]"),
        ({"class_logits": np.zeros([1, 7, 3])}, "offsets and class_logits must be of the same boxes"),
        ({"default_boxes": np.zeros([7, 4])}, "offsets and default_boxes must be of the same boxes"),
        ({"negatives": 0}, "negatives must be 1 or more"),
    ],
)
def test_what_does_not_belong_together_is_refused(changed, message):
    right = {
        "labels": np.zeros([1, 2, 6]),
        "offsets": np.zeros([1, 8, 4]),
        "class_logits": np.zeros([1, 8, 3]),
        "default_boxes": np.zeros([8, 4]),
    }
    with pytest.raises(ValueError, match=message):
        losses.multibox_loss(**right | changed)
