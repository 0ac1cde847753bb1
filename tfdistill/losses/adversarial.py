"""Losses of adversarial training, each a pure function that returns one value per example.

A discriminator says how likely what it is shown is real: near 1 for real, near 0 for fake.
"""

from __future__ import annotations

import tensorflow as tf

from tfdistill.losses.shapes import as_float32, require_rank, require_same_shape


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Least-squares loss of a discriminator: call the real 1 and the fake 0.

    `loss = (1 - D(real))^2 + D(fake)^2`, without a factor 1/2: 0.5 for a discriminator that says 0.5 to both.

    Args:
        real: [batch], what the discriminator says of real examples, any float type.
        fake: [batch], what it says of as many fake ones.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shapes differ or are not [batch].

    Source: Mao et al., "Least Squares Generative Adversarial Networks", with a = 0, b = 1; Chung et al.,
        "Feature-map-level Online Adversarial Knowledge Distillation", section 3.2, L_D, which has no 1/2.
    """
    real, fake = as_float32(real), as_float32(fake)
    require_rank("real", real, 1, "[batch]")
    require_same_shape("real", real, "fake", fake)
    return tf.square(1.0 - real) + tf.square(fake)


def generator_loss(fake: tf.Tensor) -> tf.Tensor:
    """Least-squares loss of what is to fool a discriminator: have it call the fake 1.

    `loss = (1 - D(fake))^2`: 0.25 where the discriminator says 0.5.

    Args:
        fake: [batch], what the discriminator says of fake examples, any float type.

    Returns:
        float32 [batch].

    Raises:
        ValueError: if the shape is not [batch].

    Source: Mao et al., "Least Squares Generative Adversarial Networks", with c = 1; Chung et al., section 3.2,
        L_G.
    """
    fake = as_float32(fake)
    require_rank("fake", fake, 1, "[batch]")
    return tf.square(1.0 - fake)
