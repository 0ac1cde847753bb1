"""KD against its formula in NumPy float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import Distillation
from tfdistill.transfers import KD, courses


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def expected(source, learner, temperature):
    """Per example, as the paper has it, in float64."""
    p, q = softmax(source / temperature), softmax(learner / temperature)
    return (p * np.log(p / q)).sum(axis=1)


@pytest.fixture(scope="module")
def logits():
    draw = np.random.default_rng(3)
    return draw.normal(0, 4, (6, 5)), draw.normal(0, 4, (6, 5))


def lesson_of(tiny, transfer):
    networks = [tiny.network("student"), tiny.network("teacher", seed=1)]
    (course,) = courses([transfer], [(networks[0], networks[1:])])
    return course.lessons["teacher"]


def value(lesson, source, learner):
    taps = [{"logits": tf.constant(one, tf.float32)} for one in (learner, source)]
    (term,) = lesson.terms({}, *taps, None).values()
    return term.numpy()


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (4.0, 0.9), (20.0, 0.5)])
def test_the_term_is_the_papers_and_its_weight_carries_the_temperature_squared(tiny, logits, temperature, weight):
    lesson = lesson_of(tiny, KD(temperature=temperature, weight=weight))
    np.testing.assert_allclose(value(lesson, *logits), expected(*logits, temperature), rtol=2e-5)
    assert lesson.weights == {"kd": weight * temperature**2}
    assert lesson.helpers == lesson.kept == () and lesson.preparation is None


def test_equal_predictions_have_nothing_to_teach(tiny, logits):
    lesson = lesson_of(tiny, KD())
    np.testing.assert_allclose(value(lesson, logits[0], logits[0] + 7.0), np.zeros(6), atol=1e-6)
    assert np.all(value(lesson, *logits) > 1e-3)


def test_the_gradient_is_that_of_finite_differences(tiny, logits):
    source, learner = logits
    temperature, step = 3.0, 1e-6
    lesson = lesson_of(tiny, KD(temperature=temperature))
    watched = tf.constant(learner, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        term = lesson.terms({}, {"logits": watched}, {"logits": tf.constant(source, tf.float32)}, None)["kd"]
        total = tf.reduce_sum(lesson.weights["kd"] * term)
    found = tape.gradient(total, watched).numpy()
    for place in np.ndindex(learner.shape):
        moved = [learner.copy() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (temperature**2 * expected(source, one, temperature).sum() for one in moved)
        np.testing.assert_allclose(found[place], (high - low) / (2 * step), rtol=1e-3, atol=1e-5)


def test_logits_of_any_size_give_finite_values(tiny):
    extreme = np.array([[1e4, -1e4, 0.0, 3.0]])
    assert np.all(np.isfinite(value(lesson_of(tiny, KD(temperature=0.01)), extreme, -extreme)))


def test_a_weight_may_be_a_function_of_the_epoch(tiny):
    lesson = lesson_of(tiny, KD(temperature=2.0, weight=lambda epoch: 0.5 * epoch))
    assert float(lesson.weights["kd"](tf.constant(3.0))) == 6.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be a number in 0.001..1,000, not 0.0"),
        ({"weight": -1.0}, "weight: must be a number in 0..1,000,000, not -1.0"),
        ({"weight": "much"}, "weight: must be a number in 0..1,000,000, not much"),
        ({"name": ""}, "name: must be a word of letters, digits and _ . -, not ''"),
        ({"name": "a/b"}, "name: must be a word of letters, digits and _ . -, not 'a/b'"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError) as error:
        KD(**arguments)
    assert str(error.value) == message


def test_two_transfers_of_one_name_are_refused(tiny):
    one, other = tiny.network("one"), tiny.network("other")
    with pytest.raises(ValueError, match=r"^transfers: 2 are called 'kd'; name them apart, as in name='other'$"):
        courses([KD(), KD(temperature=1.0)], [(one, [other])])
    for taken in ("loss", "accuracy"):
        distiller = Distillation(one, other, [KD(name=taken)])
        with pytest.raises(
            ValueError, match=rf"^update 'one': a term cannot be called '{taken}', which is logged beside"
        ):
            tiny.train(distiller, 1, tiny.batch())
    apart = courses([KD(), KD(temperature=1.0, name="sharp")], [(one, [other])])
    assert [course.weights for course in apart] == [{"kd": 16.0}, {"sharp": 1.0}]
