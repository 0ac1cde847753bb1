"""Adversarial losses against values worked by hand and by NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.losses import discriminator_loss, generator_loss

REAL, FAKE = np.random.default_rng(0).uniform(size=(2, 5))
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


@pytest.mark.parametrize(
    ("real", "fake", "of_discriminator", "of_generator"),
    [(0.5, 0.5, 0.5, 0.25), (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 2.0, 0.0), (0.75, 0.25, 0.125, 0.5625)],
)
def test_golden_values(real, fake, of_discriminator, of_generator):
    real, fake = tf.fill([3], real), tf.fill([3], fake)
    np.testing.assert_array_equal(discriminator_loss(real, fake), np.full(3, of_discriminator))
    np.testing.assert_array_equal(generator_loss(fake), np.full(3, of_generator))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_one_float32_value_per_example_as_numpy_has_it(mode, dtype):
    real, fake = tf.cast(REAL, dtype), tf.cast(FAKE, dtype)
    judged, fooled = MODES[mode](lambda a, b: (discriminator_loss(a, b), generator_loss(b)))(real, fake)
    assert judged.dtype == fooled.dtype == tf.float32
    # What bfloat16 has made of the numbers is what the losses are of; they themselves lose nothing.
    real, fake = (tf.cast(one, tf.float64).numpy() for one in (real, fake))
    np.testing.assert_allclose(judged, (1 - real) ** 2 + fake**2, rtol=1e-6)
    np.testing.assert_allclose(fooled, (1 - fake) ** 2, rtol=1e-6)


def test_the_two_pull_on_the_fake_in_opposite_directions():
    real, fake = tf.constant(REAL, tf.float32), tf.constant(FAKE, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        judged, fooled = discriminator_loss(real, fake), generator_loss(fake)
    np.testing.assert_allclose(tape.gradient(judged, real), -2 * (1 - REAL), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(judged, fake), 2 * FAKE, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(fooled, fake), -2 * (1 - FAKE), rtol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"^real and fake must have the same shape, got \(4,\) and \(3,\)$"):
        discriminator_loss(tf.zeros(4), tf.zeros(3))
    with pytest.raises(ValueError, match=r"^real must be \[batch\], got shape \(4, 1\)$"):
        discriminator_loss(tf.zeros((4, 1)), tf.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"^fake must be \[batch\], got shape \(4, 1\)$"):
        generator_loss(tf.zeros((4, 1)))
