"""Losses on feature factors against values worked by hand and by NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.helpers.factors import attention
from tfdistill.losses import (
    EXPLORATION_METRICS,
    INHERITANCE_METRICS,
    cosine_similarity,
    distance,
    euclidean_distance,
    linear_cka,
    normalized_distance,
    partial_l2_distance,
    reconstruction,
)

SHAPE = (6, 2, 3, 4)
ELEMENTS = 24
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


def factors(seed=0, shape=SHAPE):
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape), generator.normal(size=shape)


def unit(factor):
    flat = np.asarray(factor, np.float64).reshape(len(factor), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def value_and_gradient(metric):
    """Differentiate with respect to the learner alone."""

    def function(learner, source):
        with tf.GradientTape() as tape:
            tape.watch(learner)
            value = metric(learner, tf.stop_gradient(source))
        return value, tape.gradient(value, learner)

    return function


def numpy_partial_l2(learner, source):
    s, t = unit(learner), unit(source)
    return (np.where((s > t) | (t > 0), 1.0, 0.0) * (s - t) ** 2).mean(axis=1)


def numpy_cka(a, b):
    """The feature form, X^T Y, which shares nothing with the Gram form."""
    x, y = (np.asarray(f, np.float64).reshape(len(f), -1) for f in (a, b))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cka = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return np.full(len(x), cka)


REFERENCES = {
    ("inherit", "l1"): lambda s, t: np.abs(unit(s) - unit(t)).mean(axis=1),
    ("inherit", "l2"): lambda s, t: np.sqrt(((unit(s) - unit(t)) ** 2).mean(axis=1)),
    ("inherit", "cosine"): lambda s, t: 1 - (unit(s) * unit(t)).sum(axis=1),
    ("inherit", "partial_l2"): numpy_partial_l2,
    ("inherit", "l1_cka"): lambda s, t: np.abs(unit(s) - unit(t)).mean(axis=1),
    ("explore", "l1"): lambda s, t: -np.abs(unit(s) - unit(t)).mean(axis=1),
    ("explore", "l2"): lambda s, t: -np.sqrt(((unit(s) - unit(t)) ** 2).mean(axis=1)),
    ("explore", "cosine"): lambda s, t: np.abs((unit(s) * unit(t)).sum(axis=1)),
    ("explore", "partial_l2"): lambda s, t: -numpy_partial_l2(s, t),
    ("explore", "l1_cka"): numpy_cka,
}
METRICS = {"inherit": INHERITANCE_METRICS, "explore": EXPLORATION_METRICS}
EVERY_METRIC = sorted(REFERENCES)


def test_both_tables_name_the_same_metrics():
    names = ["cosine", "l1", "l1_cka", "l2", "partial_l2"]
    assert sorted(INHERITANCE_METRICS) == sorted(EXPLORATION_METRICS) == names


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("part, name", EVERY_METRIC)
def test_metric_equals_numpy(part, name, mode):
    learner, source = factors()
    function = MODES[mode](METRICS[part][name])
    value = function(tf.constant(learner, tf.float32), tf.constant(source, tf.float32))
    assert value.dtype == tf.float32 and value.shape == (6,)
    np.testing.assert_allclose(value, REFERENCES[part, name](learner, source), rtol=2e-5)


@pytest.mark.parametrize("part, name", EVERY_METRIC)
def test_metric_works_bfloat16_in_float32(part, name):
    learner, source = (tf.cast(factor, tf.bfloat16) for factor in factors())
    value = METRICS[part][name](learner, source)
    assert value.dtype == tf.float32
    rounded = [np.asarray(tf.cast(factor, tf.float64)) for factor in (learner, source)]
    np.testing.assert_allclose(value, REFERENCES[part, name](*rounded), rtol=5e-5)


@pytest.mark.parametrize("part, name", EVERY_METRIC)
def test_metric_ignores_scale_and_has_a_gradient(part, name):
    learner, source = (tf.constant(factor, tf.float32) for factor in factors())
    with tf.GradientTape() as tape:
        tape.watch([learner, source])
        value = METRICS[part][name](learner, source)
    for gradient in tape.gradient(value, [learner, source]):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-4
    np.testing.assert_allclose(METRICS[part][name](300.0 * learner, 1e-3 * source), value, rtol=1e-4)


@pytest.mark.parametrize("part, name", EVERY_METRIC)
@pytest.mark.parametrize("case", ["equal", "zero"])
@pytest.mark.parametrize("mode", ["eager", "xla"])
def test_metric_gradient_is_finite_where_it_has_corners(part, name, case, mode):
    learner = tf.constant(factors()[0], tf.float32) * (0.0 if case == "zero" else 1.0)
    source = tf.constant(factors()[0], tf.float32)
    value, gradient = MODES[mode](value_and_gradient(METRICS[part][name]))(learner, source)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_distance_golden_values():
    x, y = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])
    np.testing.assert_allclose(normalized_distance(x, y), [0.2], rtol=1e-6)
    np.testing.assert_allclose(normalized_distance(x, 7 * y, order=2), [0.2], rtol=1e-6)
    orthogonal = np.zeros((2, 5)), np.zeros((2, 5))
    orthogonal[0][:, 1] = 2.0
    orthogonal[1][:, 3] = 0.1
    np.testing.assert_allclose(normalized_distance(*orthogonal, order=2), [np.sqrt(2 / 5)] * 2, rtol=1e-6)
    np.testing.assert_allclose(normalized_distance(*orthogonal, order=1), [2 / 5] * 2, rtol=1e-6)


def test_the_authors_codes_golden_values():
    """IE-KD's factor losses, and RepDistiller's FT, which is the distance of two attention maps."""
    a, b = (np.random.default_rng(seed).normal(size=(4, 8, 8, 32)) for seed in (50, 51))
    golden = {
        (normalized_distance, 1): 0.02498239248497157,
        (normalized_distance, 2): 0.03133412502283174,  # a root for each example; theirs of the batch: 0.0313345
        (reconstruction, 1): 1.1283327152965552,
    }
    for (loss, order), value in golden.items():
        np.testing.assert_allclose(np.mean(loss(a, b, order)), value, rtol=1e-5)
    np.testing.assert_allclose(np.mean(INHERITANCE_METRICS["cosine"](a, b)), 1.0054184539457676, rtol=1e-5)
    np.testing.assert_allclose(np.mean(EXPLORATION_METRICS["cosine"](a, b)), 0.007205206528923708, rtol=1e-5)
    np.testing.assert_allclose(EXPLORATION_METRICS["l1_cka"](a, b), [0.9981313374403953] * 4, rtol=1e-5)
    student, teacher = (attention(np.random.default_rng(seed).normal(size=(4, 8, 8, 64))) for seed in (60, 61))
    np.testing.assert_allclose(np.mean(normalized_distance(student, teacher)), 0.025505170572586302, rtol=1e-5)


def test_the_euclidean_distance_has_no_bound_and_no_slope_between_equals():
    a, b = factors(seed=5)
    expected = np.linalg.norm((a - b).reshape(6, -1), axis=1)
    np.testing.assert_allclose(euclidean_distance(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(euclidean_distance(100 * a, 100 * b), 100 * expected, rtol=1e-5)
    for part in value_and_gradient(euclidean_distance)(tf.constant(a), tf.constant(a)):
        np.testing.assert_array_equal(part, np.zeros(part.shape))


def test_distance_bounds_and_identity():
    a, b = factors(seed=3)
    for order in (1, 2):
        assert np.max(normalized_distance(a, b, order)) <= 2 / np.sqrt(ELEMENTS)
        np.testing.assert_allclose(normalized_distance(a, b, order), normalized_distance(b, a, order), rtol=1e-6)
        np.testing.assert_array_equal(normalized_distance(a, a, order), np.zeros(6))
    signs = np.where(a > 0, 1.0, -1.0)
    np.testing.assert_allclose(normalized_distance(signs, -signs, 1), [2 / np.sqrt(ELEMENTS)] * 6, rtol=1e-6)


def test_second_order_root_is_taken_per_example():
    a, b = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(normalized_distance(a, b, order=2), [0.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("mode", sorted(MODES))
def test_gradient_of_equal_factors_is_zero(order, mode):
    # Powers of two: XLA normalises the two sides in different order, and others would differ in the last bit.
    # XLA's root gives nan where TensorFlow's own kernel forgives.
    a = 2.0 * tf.one_hot([0, 1, 5], ELEMENTS)
    function = MODES[mode](value_and_gradient(lambda a, b: normalized_distance(a, b, order)))
    for part in function(a, a + 0.0):
        np.testing.assert_array_equal(part, np.zeros(part.shape))


def test_exploration_is_minus_inheritance_for_distances():
    learner, source = factors()
    for name in ("l1", "l2", "partial_l2"):
        explore, inherit = EXPLORATION_METRICS[name], INHERITANCE_METRICS[name]
        np.testing.assert_array_equal(explore(learner, source), -np.asarray(inherit(learner, source)))


def test_cosine_by_hand():
    a = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    b = np.array([[-2.0, 0.0], [3.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(cosine_similarity(a, b), [-1.0, np.sqrt(0.5), 0.0], rtol=1e-6)
    np.testing.assert_allclose(INHERITANCE_METRICS["cosine"](a, b), [2.0, 1 - np.sqrt(0.5), 1.0], rtol=1e-6)
    np.testing.assert_allclose(EXPLORATION_METRICS["cosine"](a, b), [1.0, np.sqrt(0.5), 0.0], rtol=1e-6)


def test_partial_l2_masks_by_hand():
    # Unit vectors. The learner is below a negative source (forgiven), above one, and equal twice.
    source = np.array([[-0.5, -0.5, 0.5, 0.5]])
    learner = np.array([[-0.7, -0.1, 0.5, 0.5]])
    np.testing.assert_allclose(np.linalg.norm(learner), 1.0)
    np.testing.assert_allclose(partial_l2_distance(learner, source), [0.4**2 / 4], rtol=1e-5)
    # Swapped, the first element lies above a negative source, the second below one.
    np.testing.assert_allclose(partial_l2_distance(source, learner), [0.2**2 / 4], rtol=1e-5)
    np.testing.assert_allclose(partial_l2_distance(-source, source), [4 * 1.0 / 4], rtol=1e-6)


def test_cka_of_itself_rotated_and_shifted_is_one():
    a, _ = factors(shape=(6, 5))
    rotation, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))
    np.testing.assert_allclose(linear_cka(a, a), np.ones(6), rtol=1e-6)
    np.testing.assert_allclose(linear_cka(a, 3.0 * a @ rotation + 2.0), np.ones(6), rtol=1e-5)


def test_cka_allows_factors_of_different_length_and_single_examples():
    a, b = factors(shape=(6, 5))[0], factors(seed=1)[1]
    np.testing.assert_allclose(linear_cka(a, b), numpy_cka(a, b), rtol=1e-5)
    np.testing.assert_array_equal(linear_cka(a[:1], b[:1]), [0.0])
    np.testing.assert_allclose(linear_cka(a * 1e-8, b), numpy_cka(a, b), rtol=1e-4)


@pytest.mark.parametrize("loss", [distance, reconstruction])
def test_means_of_differences_by_hand(loss):
    inputs = np.zeros((2, 1, 2, 2))
    outputs = np.array([[[[1.0, -1.0], [0.0, 2.0]]], [[[0.0, 0.0], [0.0, 4.0]]]])
    for mode in MODES.values():
        absolute = mode(lambda a, b: loss(a, b))(inputs, outputs)
        squared = mode(lambda a, b: loss(a, b, order=2))(inputs, outputs)
        np.testing.assert_allclose(absolute, [1.0, 1.0])
        np.testing.assert_allclose(squared, [1.5, 4.0])
        assert absolute.dtype == squared.dtype == tf.float32
    assert loss(tf.zeros([2, 3], tf.bfloat16), tf.ones([2, 3], tf.bfloat16)).dtype == tf.float32


def test_unknown_dimensions_are_accepted_inside_a_graph():
    signature = [tf.TensorSpec([None, None, None, 4]), tf.TensorSpec([None, None, None, 4])]
    a, b = (factor.astype(np.float32) for factor in factors())
    for part, name in EVERY_METRIC:
        value = tf.function(METRICS[part][name], input_signature=signature)(a, b)
        np.testing.assert_allclose(value, REFERENCES[part, name](a, b), rtol=2e-5)


PAIRWISE = {
    "normalized_distance": normalized_distance,
    "cosine_similarity": cosine_similarity,
    "partial_l2_distance": partial_l2_distance,
    "distance": distance,
    "reconstruction": reconstruction,
}


@pytest.mark.parametrize("wrap", ["eager", "graph"])
@pytest.mark.parametrize("name", sorted(PAIRWISE))
@pytest.mark.parametrize("shapes", [([2, 3], [2, 4]), ([1, 3], [2, 3]), ([2, 3, 1], [2, 3])])
def test_shape_mismatch_raises_one_line(name, shapes, wrap):
    call = MODES[wrap](lambda: PAIRWISE[name](tf.zeros(shapes[0]), tf.zeros(shapes[1])))
    with pytest.raises(ValueError, match="must have the same shape") as error:
        call()
    if wrap == "eager":
        assert "\n" not in str(error.value)


def test_other_bad_arguments_raise():
    with pytest.raises(ValueError, match="the batch of a and the batch of b"):
        linear_cka(tf.zeros([2, 3]), tf.zeros([3, 3]))
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        normalized_distance(tf.zeros([2]), tf.zeros([2]))
    with pytest.raises(ValueError, match="order must be 1"):
        normalized_distance(tf.zeros([2, 3]), tf.zeros([2, 3]), order=3)
    with pytest.raises(ValueError, match="order must be 1"):
        reconstruction(tf.zeros([2, 3]), tf.zeros([2, 3]), order=0)
    with pytest.raises(ValueError, match="order must be 1"):
        distance(tf.zeros([2, 3]), tf.zeros([2, 3]), order=0)
