"""The losses that compare logits, each against its formula in NumPy float64 and finite differences of it."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.data.transforms.labels import smooth_labels

LEARNER = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]])
SOURCE = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, -1.0]])
# The inputs of the values that the authors' own functions gave in float64.
AUTHORS_LEARNER, AUTHORS_SOURCE = (2 * np.random.default_rng(seed).normal(size=(8, 100)) for seed in (90, 91))
LABELS = np.random.default_rng(92).integers(0, 100, size=8)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=-1)


def kl(source, learner, temperature):
    return divergence(softmax(source / temperature), softmax(learner / temperature))


def dkd(source, learner, labels, temperature):
    """Target and non-target part, example by example, with the labelled class taken out of the array."""
    parts = []
    for row in zip(source, learner, labels, strict=True):
        (p, q), c = (softmax(one / temperature) for one in row[:2]), row[2]
        rests = (softmax(np.delete(one, c) / temperature) for one in row[:2])
        parts.append((divergence(np.array([p[c], 1 - p[c]]), np.array([q[c], 1 - q[c]])), divergence(*rests)))
    return np.array(parts).T


def pearson(a, b, axis):
    a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
    return (a * b).sum(axis) / (np.sqrt((a * a).sum(axis) * (b * b).sum(axis)) + 1e-8)


def virtual_teacher(logits, labels, confidence, temperature, learner_temperature):
    classes = logits.shape[1]
    u = np.full(logits.shape, (1 - confidence) / (classes - 1))
    u[np.arange(len(labels)), labels] = confidence
    return divergence(softmax(u / temperature), softmax(logits / learner_temperature))


def standardized(logits):
    return (logits - logits.mean(1, keepdims=True)) / (logits.std(1, ddof=1, keepdims=True) + 1e-7)


def smooth_l1(source, learner):
    size = np.abs(learner - source)
    return np.where(size < 1, size**2 / 2, size - 0.5).mean(1)


CLASSES_OF_FIVE = np.array([1, 4, 0, 0, 2, 3])
# Name, ours and the formula, both of (source, learner); six examples of five classes are the labels' own.
CASES = {
    "kl": (lambda t, s: losses.kl_divergence(t, s, 4.0), lambda t, s: kl(t, s, 4.0)),
    "mse": (losses.squared_error, lambda t, s: ((s - t) ** 2).mean(1)),
    "mse_sum": (lambda t, s: losses.squared_error(t, s, "sum"), lambda t, s: ((s - t) ** 2).sum(1)),
    "smooth_l1": (losses.smooth_l1, smooth_l1),
    "high_temperature": (losses.high_temperature_limit, lambda t, s: (s - t).var(1) / 2),
    "low_temperature": (
        losses.low_temperature_limit,
        lambda t, s: s.max(1) - s[np.arange(len(s)), t.argmax(1)],
    ),
    "dkd_target": (
        lambda t, s: losses.decoupled_divergences(CLASSES_OF_FIVE, t, s, 4.0)[0],
        lambda t, s: dkd(t, s, CLASSES_OF_FIVE, 4.0)[0],
    ),
    "dkd_non_target": (
        lambda t, s: losses.decoupled_divergences(CLASSES_OF_FIVE, t, s, 4.0)[1],
        lambda t, s: dkd(t, s, CLASSES_OF_FIVE, 4.0)[1],
    ),
    "inter_class": (
        lambda t, s: losses.inter_class_distance(t, s, 4.0),
        lambda t, s: 1 - pearson(softmax(t / 4), softmax(s / 4), 1),
    ),
    "intra_class": (
        lambda t, s: losses.intra_class_distance(t, s, 4.0),
        lambda t, s: np.full(len(s), 1 - pearson(softmax(t / 4), softmax(s / 4), 0).mean()),
    ),
    "virtual_teacher": (
        lambda t, s: losses.virtual_teacher_divergence(CLASSES_OF_FIVE, s, confidence=0.99, temperature=20.0),
        lambda t, s: virtual_teacher(s, CLASSES_OF_FIVE, 0.99, 20.0, 1.0),
    ),
    "standardized_kl": (
        lambda t, s: losses.kl_divergence(losses.standardized(t), losses.standardized(s), 2.0),
        lambda t, s: kl(standardized(t), standardized(s), 2.0),
    ),
}


@pytest.fixture(scope="module")
def logits():
    draw = np.random.default_rng(3)
    return draw.normal(0, 3, (6, 5)), draw.normal(0, 3, (6, 5))


def valued(function, source, learner, dtype=tf.float32):
    """What a loss gives, and the gradient of its mean over the batch for the learner's logits."""
    source, learner = tf.constant(source, dtype), tf.constant(learner, dtype)
    with tf.GradientTape() as tape:
        tape.watch(learner)
        value = function(source, learner)
        mean = tf.reduce_mean(value)
    return value.numpy(), tf.cast(tape.gradient(mean, learner), tf.float32).numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_its_formula_and_its_gradient_that_of_finite_differences(name, logits):
    ours, formula = CASES[name]
    source, learner = logits
    value, gradient = valued(ours, source, learner)
    assert value.dtype == np.float32 and value.shape == (6,)
    np.testing.assert_allclose(value, formula(source, learner), rtol=2e-5, atol=1e-7)
    step = 1e-6
    for place in np.ndindex(learner.shape):
        high, low = learner.copy(), learner.copy()
        high[place] += step
        low[place] -= step
        slope = (formula(source, high).mean() - formula(source, low).mean()) / (2 * step)
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_large_logits_give_finite_values_and_gradients(name):
    draw = np.random.default_rng(1).normal(0, 1, (6, 5))
    extremes = [1e4 * np.sign(draw), np.full((6, 5), -1e4), np.eye(6, 5) * 1e4, np.zeros((6, 5)), draw]
    compiled = tf.function(lambda t, s: CASES[name][0](t, s), jit_compile=True)
    for dtype, function in ((tf.float32, CASES[name][0]), (tf.bfloat16, compiled)):
        for source in extremes:
            for learner in extremes:
                value, gradient = valued(function, source, learner, dtype)
                assert value.dtype == np.float32
                assert np.isfinite(value).all() and np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_logits_are_worked_in_float32(name, logits):
    rounded = [tf.cast(tf.cast(one, tf.bfloat16), tf.float64).numpy() for one in logits]
    value, _ = valued(CASES[name][0], *logits, tf.bfloat16)
    np.testing.assert_allclose(value, CASES[name][1](*rounded), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"virtual_teacher"}))
def test_equal_logits_have_nothing_to_teach(name, logits):
    value, gradient = valued(CASES[name][0], logits[0], logits[0])
    np.testing.assert_allclose(value, 0, atol=2e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_golden_values_of_the_limits():
    value, gradient = valued(losses.high_temperature_limit, SOURCE, LEARNER)
    np.testing.assert_allclose(value, [1.0, 0.75], rtol=1e-6)
    np.testing.assert_allclose(2 * gradient, [[-2 / 3, 1 / 3, 1 / 3], [0, -0.5, 0.5]], atol=1e-7)
    # The source's second example has two largest logits, which share.
    value, gradient = valued(losses.low_temperature_limit, SOURCE, LEARNER)
    np.testing.assert_allclose(value, [2.0, 0.75], rtol=1e-6)
    np.testing.assert_allclose(2 * gradient, [[-1, 0, 1], [0.5, -0.5, 0]], atol=1e-7)
    _, on_the_way = valued(lambda t, s: 0.01 * losses.kl_divergence(t, s, 0.01), SOURCE, LEARNER)
    np.testing.assert_allclose(on_the_way, gradient, atol=1e-7)


def test_golden_values_of_the_squared_error():
    value, gradient = valued(losses.squared_error, SOURCE, LEARNER)
    assert np.mean(value) == 2.375
    np.testing.assert_allclose(gradient[0], [-1 / 3, 2 / 3, 2 / 3], rtol=1e-6)
    assert np.mean(losses.squared_error(SOURCE, LEARNER, "sum")) == 7.125


def test_golden_values_of_label_smoothing():
    for smoothing, expected in ((0.0, 0.4076059645), (0.1, 0.5576059645)):
        smoothed = losses.cross_entropy(smooth_labels(tf.constant([2]), 3, smoothing), LEARNER[:1])
        np.testing.assert_allclose(smoothed, [expected], rtol=1e-6)


# Value, and of the gradient of the mean the l2 norm and the sum of absolute values.
AUTHORS = {
    "kl_alpha1.0_T1": (1.0, 1.0, 3.382532769111923, 0.14701185402404957, 1.633069046429016),
    "kl_alpha1.0_T20": (1.0, 20.0, 3.8251415404114906, 0.09818595335417751, 2.2035247469079406),
    "kl_alpha0.1_T5": (0.1, 5.0, 6.4535533228874655, 0.3356114368105988, 1.9539132615109316),
    "kl_alpha0.9_T4": (0.9, 4.0, 4.147748147274264, 0.1065282550171013, 2.130797844174544),
    "repdistiller_T4": (1.0, 4.0, 3.859467203085943, 0.10396824639474085, 2.1802437594610375),
}


@pytest.mark.parametrize("name", AUTHORS)
def test_distillation_is_what_the_authors_code_gives(name):
    alpha, temperature, *expected = AUTHORS[name]

    def ours(source, learner):
        soft = temperature**2 * losses.kl_divergence(source, learner, temperature)
        return alpha * soft + (1 - alpha) * losses.cross_entropy(LABELS, learner)

    assert_as_authors(valued(ours, AUTHORS_SOURCE, AUTHORS_LEARNER), *expected)


def assert_as_authors(found, value, norm, size):
    values, gradient = found
    np.testing.assert_allclose(
        [values.mean(), np.linalg.norm(gradient), np.abs(gradient).sum()], [value, norm, size], rtol=1e-4
    )


def test_logit_matching_is_what_the_authors_code_gives():
    for loss, value, norm, size in (
        (losses.squared_error, 7.674267818276185, 0.19588603597852738, 4.417692534188867),
        (losses.smooth_l1, 1.7595475627688542, 0.03168248506211389, 0.8508106482100077),
        (losses.high_temperature_limit, 3.811544489381212, 0.09761588612235733, 2.199081322294832),
    ):
        assert_as_authors(valued(loss, AUTHORS_SOURCE, AUTHORS_LEARNER), value, norm, size)
    _, gradient = valued(losses.high_temperature_limit, AUTHORS_SOURCE, AUTHORS_LEARNER)
    first = [0.004610506914839451, -0.0026255927760806086, 0.003388227602012942]
    np.testing.assert_allclose(gradient[0, :3], first, rtol=1e-5)
    _, gradient = valued(losses.low_temperature_limit, AUTHORS_SOURCE, AUTHORS_LEARNER)
    plus, minus = [74, 58, 21, 6, 8, 41, 24, 78], [17, 29, 43, 43, 82, 60, 4, 51]
    expected = np.eye(100)[plus] - np.eye(100)[minus]
    np.testing.assert_array_equal(8 * gradient, expected)


def test_divergences_come_to_their_limits(logits):
    source, learner = logits
    for temperature in (1000.0, 500.0):
        formula = temperature**2 * kl(source, learner, temperature)
        np.testing.assert_allclose(losses.high_temperature_limit(source, learner), formula, rtol=5 / temperature)
        _, gradient = valued(lambda t, s, T=temperature: T**2 * losses.kl_divergence(t, s, T), source, learner)
        _, limit = valued(losses.high_temperature_limit, source, learner)
        np.testing.assert_allclose(gradient, limit, atol=2 / temperature)
    # Logits that are not nearly equal: at T = 0.01 a difference of 0.005 is half a unit.
    source, learner = (one.argsort(axis=1).astype(float) for one in logits)
    _, gradient = valued(lambda t, s: 0.01 * losses.kl_divergence(t, s, 0.01), source, learner)
    value, limit = valued(losses.low_temperature_limit, source, learner)
    np.testing.assert_allclose(gradient, limit, atol=1e-5)
    np.testing.assert_allclose(0.01 * losses.kl_divergence(source, learner, 0.01), value, atol=0.01 * np.log(5))
    golden = 1000.0**2 * kl(SOURCE, LEARNER, 1000.0).mean()
    np.testing.assert_allclose(golden, 0.8749581589, rtol=1e-8)
    np.testing.assert_allclose(np.mean(losses.high_temperature_limit(SOURCE, LEARNER)), golden, rtol=1e-4)


def test_identities(logits):
    source, learner = logits
    error, limit = losses.squared_error(source, learner), losses.high_temperature_limit(source, learner)
    np.testing.assert_allclose(error, 2 * limit + (learner - source).mean(1) ** 2, rtol=1e-5)
    target, non_target = losses.decoupled_divergences(CLASSES_OF_FIVE, source, learner, 4.0)
    sure = softmax(source / 4)[np.arange(6), CLASSES_OF_FIVE]
    np.testing.assert_allclose(target + (1 - sure) * non_target, kl(source, learner, 4.0), rtol=1e-5)
    # A virtual teacher that is sure, and cold, is the label itself.
    cold = losses.virtual_teacher_divergence(CLASSES_OF_FIVE, learner, confidence=1.0, temperature=0.01)
    np.testing.assert_allclose(cold, losses.cross_entropy(CLASSES_OF_FIVE, learner), rtol=1e-5)


def test_what_each_loss_does_not_see(logits):
    source, learner = logits
    shifted = learner + np.arange(6)[:, None]
    for name in ("high_temperature", "low_temperature", "dkd_target", "dkd_non_target", "inter_class", "intra_class"):
        ours = CASES[name][0]
        np.testing.assert_allclose(ours(source, shifted), ours(source, learner), rtol=1e-4, atol=1e-6)
    for name in ("mse", "smooth_l1"):
        assert np.abs(CASES[name][0](source, shifted) - CASES[name][0](source, learner))[1:].min() > 0.01
    scaled = losses.standardized(3.0 * learner + 5.0)
    np.testing.assert_allclose(scaled, losses.standardized(learner), atol=2e-6)
    np.testing.assert_allclose(np.std(scaled, axis=1, ddof=1), 1, rtol=1e-5)


def test_soft_labels(logits):
    """The largest class is the labelled one; a virtual teacher of a mixture is the mixture of virtual teachers."""
    hard, mixed = np.eye(5)[CLASSES_OF_FIVE], 0.7 * np.eye(5)[CLASSES_OF_FIVE] + 0.3 * np.eye(5)[CLASSES_OF_FIVE[::-1]]
    expected = losses.decoupled_divergences(CLASSES_OF_FIVE, *logits)
    for labels in (hard, mixed):
        np.testing.assert_allclose(losses.decoupled_divergences(labels, *logits), expected, rtol=1e-6)
    numbers = [0.99 * one + 0.0025 * (1 - one) for one in (hard, hard[::-1])]
    target = softmax((0.7 * numbers[0] + 0.3 * numbers[1]) / 20)
    found = losses.virtual_teacher_divergence(mixed, logits[1], confidence=0.99, temperature=20.0)
    np.testing.assert_allclose(found, divergence(target, softmax(logits[1])), rtol=1e-5)


def test_a_virtual_teacher_may_soften_the_learner_too(logits):
    found = losses.virtual_teacher_divergence(
        CLASSES_OF_FIVE, logits[1], confidence=0.9, temperature=20.0, learner_temperature=20.0
    )
    expected = virtual_teacher(logits[1], CLASSES_OF_FIVE, 0.9, 20.0, 20.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.squared_error(tf.zeros((2, 3)), tf.zeros((2, 4))), "source_logits and learner_logits"),
        (lambda: losses.squared_error(tf.zeros((2, 3)), tf.zeros((2, 3)), "max"), "reduction must be mean or sum"),
        (lambda: losses.smooth_l1(tf.zeros(3), tf.zeros(3)), "source_logits must be"),
        (lambda: losses.standardized(tf.zeros((2, 1))), "2 classes or more"),
        (
            lambda: losses.virtual_teacher_divergence([0, 0], tf.zeros((2, 1)), confidence=0.9, temperature=1.0),
            "of one class has no other to share with",
        ),
        (lambda: losses.inter_class_distance(SOURCE, LEARNER, 0.0), "temperature must be"),
        (lambda: losses.decoupled_divergences([0.0, 1.0], SOURCE, LEARNER), "must be integers, got float32"),
        (lambda: losses.decoupled_divergences([0, 1], SOURCE, LEARNER, -1.0), "temperature must be"),
        (
            lambda: losses.virtual_teacher_divergence(
                [0, 1], LEARNER, confidence=0.9, temperature=1.0, learner_temperature=0.0
            ),
            "learner_temperature must be",
        ),
    ],
)
def test_mismatch_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
