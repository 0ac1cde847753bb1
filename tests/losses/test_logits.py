"""Losses on logits against values worked by hand and by NumPy in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import cross_entropy, kl_divergence, top_k_correct

LEARNER = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]])
SOURCE = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, -1.0]])
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def numpy_kl(source, learner, temperature):
    log_p, log_q = log_softmax(source / temperature), log_softmax(learner / temperature)
    return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)


def random_logits(classes=7, batch=5, seed=0):
    return np.random.default_rng(seed).normal(size=(2, batch, classes)) * 3


@pytest.fixture(params=sorted(MODES))
def compiled(request):
    return MODES[request.param]


def test_kl_golden_values(compiled):
    kl = compiled(lambda source, learner: kl_divergence(source, learner))
    forward = kl(tf.constant(SOURCE, tf.float32), tf.constant(LEARNER, tf.float32))
    np.testing.assert_allclose(forward, [0.9957228673, 0.4529043184], rtol=2e-6)
    reverse = kl(tf.constant(LEARNER, tf.float32), tf.constant(SOURCE, tf.float32))
    np.testing.assert_allclose(np.mean(reverse), 0.5993611565, rtol=2e-6)
    assert forward.dtype == tf.float32 and forward.shape == (2,)


@pytest.mark.parametrize(
    "temperature, expected",
    [(1, 0.7243135929), (2, 0.8187839524), (3, 0.8441018830), (4, 0.8546601671), (20, 0.8724877192)],
)
def test_kl_is_not_multiplied_by_temperature_squared(temperature, expected):
    value = np.mean(kl_divergence(SOURCE, LEARNER, temperature))
    np.testing.assert_allclose(temperature**2 * value, expected, rtol=1e-4 if temperature == 20 else 1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kl_equals_numpy(temperature):
    source, learner = random_logits()
    expected = numpy_kl(source, learner, temperature)
    np.testing.assert_allclose(kl_divergence(source, learner, temperature), expected, rtol=2e-5)


@pytest.mark.parametrize(
    "temperature, expected",
    [
        (1.0, [-0.5752103826, 0.1546978979, 0.4205124847]),
        (20.0, [-0.6663890, 0.3248664, 0.3415226]),
    ],
)
def test_kl_gradient_golden_values(temperature, expected):
    learner = tf.constant(LEARNER, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(learner)
        loss = temperature**2 * kl_divergence(SOURCE, learner, temperature)
    np.testing.assert_allclose(tape.gradient(loss, learner)[0], expected, rtol=2e-5)


def test_kl_detaches_neither_side():
    source, learner = tf.constant(SOURCE, tf.float32), tf.constant(LEARNER, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([source, learner])
        loss = kl_divergence(source, learner)
    for gradient in tape.gradient(loss, [source, learner]):
        assert np.abs(gradient).min() > 1e-3


def test_kl_of_equal_predictions_is_zero_and_shift_invariant():
    source, learner = random_logits()
    np.testing.assert_allclose(kl_divergence(source, source + 5.0), np.zeros(5), atol=1e-6)
    np.testing.assert_allclose(kl_divergence(source, learner + 5.0), kl_divergence(source, learner), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_extreme_logits_stay_finite(scale, compiled):
    source = tf.constant([[scale, -scale, 0.0], [0.0, scale, scale]])
    learner = tf.constant([[-scale, scale, 0.0], [0.0, scale, -scale]])

    def both(source, learner):
        with tf.GradientTape() as tape:
            tape.watch(learner)
            loss = kl_divergence(source, learner)
            supervised = cross_entropy(tf.constant([0, 1]), learner)
        return loss, tape.gradient(loss, learner), supervised

    for value in compiled(both)(source, learner):
        assert np.isfinite(value).all()


def test_cross_entropy_golden_values(compiled):
    logits = tf.constant(LEARNER, tf.float32)
    loss = compiled(cross_entropy)(tf.constant([2, 0]), logits)
    np.testing.assert_allclose(loss, [0.4076059645, -log_softmax(LEARNER)[1, 0]], rtol=1e-6)
    soft = compiled(cross_entropy)(tf.nn.softmax(tf.constant(SOURCE, tf.float32)), logits)
    np.testing.assert_allclose(np.mean(soft), 1.5832021600, rtol=1e-6)
    entropy = np.mean(soft) - np.mean(kl_divergence(SOURCE, LEARNER))
    np.testing.assert_allclose(entropy, 0.8588885671, rtol=1e-6)
    smoothed = cross_entropy(tf.constant([[0.05, 0.05, 0.9]]), logits[:1])
    np.testing.assert_allclose(smoothed, [0.5576059645], rtol=1e-6)
    assert loss.dtype == soft.dtype == tf.float32 and loss.shape == soft.shape == (2,)


def test_integer_and_one_hot_labels_agree():
    logits, _ = random_logits()
    labels = np.array([0, 6, 3, 3, 1])
    hard = cross_entropy(labels, logits)
    np.testing.assert_allclose(hard, cross_entropy(np.eye(7)[labels], logits), rtol=1e-6)
    np.testing.assert_allclose(hard, -log_softmax(logits)[np.arange(5), labels], rtol=1e-5)


def test_bfloat16_inputs_are_worked_in_float32():
    source, learner = (tf.cast(logits, tf.bfloat16) for logits in random_logits())
    rounded = [np.asarray(tf.cast(logits, tf.float64)) for logits in (source, learner)]
    loss = kl_divergence(source, learner, 2.0)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, numpy_kl(*rounded, 2.0), rtol=2e-5)
    supervised = cross_entropy(tf.zeros(5, tf.int32), learner)
    assert supervised.dtype == tf.float32
    np.testing.assert_allclose(supervised, -log_softmax(rounded[1])[:, 0], rtol=1e-5)
    assert top_k_correct(tf.zeros(5, tf.int32), learner, 1).dtype == tf.float32


def test_top_k_equals_tensorflows(compiled):
    generator = np.random.default_rng(1)
    # Few distinct values: most rows hold ties.
    logits = tf.constant(generator.integers(0, 4, size=(200, 6)), tf.float32)
    labels = tf.constant(generator.integers(0, 6, size=200), tf.int32)
    for k in (1, 2, 5, 6, 9):
        expected = tf.cast(tf.math.in_top_k(labels, logits, min(k, 6)), tf.float32)
        actual = compiled(lambda labels, logits, k=k: top_k_correct(labels, logits, k))(labels, logits)
        np.testing.assert_array_equal(actual, expected)
        assert 0 < np.mean(expected) < 1 or k >= 6


def test_top_k_by_hand():
    logits = [[1.0, 3.0, 2.0], [1.0, 3.0, 3.0], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(top_k_correct([2, 1, 0], logits, 1), [0, 1, 1])
    np.testing.assert_array_equal(top_k_correct([2, 0, 0], logits, 2), [1, 0, 1])
    np.testing.assert_array_equal(top_k_correct([0, 0, 0], logits, 100), [1, 1, 1])


def test_top_k_never_calls_a_broken_row_or_label_correct():
    logits = [[math.nan, 1.0], [math.inf, 1.0], [math.nan, math.nan], [1.0, 0.0], [1.0, 0.0]]
    np.testing.assert_array_equal(top_k_correct([0, 0, 1, 2, -1], logits, 2), np.zeros(5))


@pytest.mark.parametrize("wrap", ["eager", "graph"])
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kl_divergence(tf.zeros([2, 3]), tf.zeros([2, 4])), "source_logits and learner_logits"),
        (lambda: kl_divergence(tf.zeros([1, 3]), tf.zeros([2, 3])), "source_logits and learner_logits"),
        (lambda: kl_divergence(tf.zeros([2, 3, 4]), tf.zeros([2, 3, 4])), "source_logits must be"),
        (lambda: cross_entropy(tf.zeros([2, 4]), tf.zeros([2, 3])), "labels and logits"),
        (lambda: cross_entropy(tf.zeros([1, 3]), tf.zeros([2, 3])), "labels and logits"),
        (lambda: cross_entropy(tf.zeros([3], tf.int32), tf.zeros([2, 3])), "same batch size, got 3 and 2"),
        (lambda: cross_entropy(tf.zeros([2]), tf.zeros([2, 3])), "must be integers, got float32"),
        (lambda: cross_entropy(tf.zeros([2], tf.int32), tf.zeros([2])), "logits must be"),
        (lambda: top_k_correct(tf.zeros([3], tf.int32), tf.zeros([2, 3]), 1), "same batch size"),
        (lambda: top_k_correct(tf.zeros([2, 3], tf.int32), tf.zeros([2, 3]), 1), "labels must be"),
        (lambda: top_k_correct(tf.zeros([2], tf.int32), tf.zeros([2, 3]), 0), "k must be at least 1, got 0"),
    ],
)
def test_mismatch_raises_one_line(call, message, wrap):
    with pytest.raises(ValueError, match=message) as error:
        MODES[wrap](call)()
    if wrap == "eager":
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, math.nan])
def test_temperature_out_of_range_raises(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        kl_divergence(SOURCE, LEARNER, temperature)
