"""Cut-out, cut-mix and mixup of a normalised batch.

Every draw is stateless, a function of a seed that the pipeline makes of (seed, step). Keras' and keras-cv's layers of
the same names draw from generators that are state outside the batch: tf.data cannot save it, so a run that resumes
would see other images than one that was never stopped. They also take no seed per call.

Each image has its own draws. Its partner in a mixture is the next image of the batch, the last one's the first: a
training batch is in random order already, so that partners are random too, and nobody mixes with itself.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import tensorflow as tf

from tfdistill.data.rows import DrawnFor, Rows, drawn, integers

# Draws below this bound are integers that a float32 holds exactly.
STEPS = 2**24


@dataclass(frozen=True)
class Cutout:
    """A square of each image is blanked, wherever its centre falls.

    Args:
        size: side of the square in pixels, 0 or more; 0 means half of the image's shorter side.

    Raises:
        ValueError: if `size` is negative.
    """

    size: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must be 0 or more pixels, got {self.size}")


@dataclass(frozen=True)
class Mixing:
    """Images of a batch are mixed in pairs, and their labels by the same shares.

    With both alphas given, a draw decides for each batch between cut-mix and mixup, one as likely as the other.

    Args:
        cutmix_alpha: parameter of the Beta distribution of cut-mix's shares, above 0; None for no cut-mix.
        mixup_alpha: the same of mixup; None for no mixup.
        probability: how likely an image is mixed at all, 0..1.

    Raises:
        ValueError: if both alphas are None, one is not positive, or `probability` is out of range.
    """

    cutmix_alpha: float | None = None
    mixup_alpha: float | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.cutmix_alpha is None and self.mixup_alpha is None:
            raise ValueError("mixing needs cutmix_alpha, mixup_alpha or both")
        for name, alpha in (("cutmix_alpha", self.cutmix_alpha), ("mixup_alpha", self.mixup_alpha)):
            if alpha is not None and not 0 < alpha < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, got {alpha}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in 0..1, got {self.probability}")


def cut_out(images: tf.Tensor, seed: tf.Tensor, size: int = 0, rows: DrawnFor | None = None) -> tf.Tensor:
    """Sets a square of every image to zero, which after normalisation is the data set's mean colour.

    The square's centre is uniform over all pixels; what lies outside the image is lost, so less than the whole square
    may be blank, as in the paper.

    Args:
        images: normalised float [B, H, W, C], H and W static.
        seed: integers [2].
        size: side of the square in pixels, 0 or more; 0 means half of the shorter side of the images.
        rows: which rows of a batch the images are; None for all of one.

    Returns:
        [B, H, W, C] in the dtype of `images`.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017), section
        3; half the side is their choice for CIFAR-10 (16 of 32 pixels), they take 8 for CIFAR-100.
    """
    height, width = images.shape[1], images.shape[2]
    side = tf.fill([tf.shape(images)[0]], size or min(height, width) // 2)
    return tf.where(_boxes(seed, side, side, height, width, rows), tf.zeros([], images.dtype), images)


def mix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, mixing: Mixing, rows: Rows | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut-mix, mixup, or for each batch one of them, as `mixing` says; arguments and result are those of `cut_mix`."""
    chosen = [
        functools.partial(function, images, labels, seed, alpha, mixing.probability, rows)
        for function, alpha in ((cut_mix, mixing.cutmix_alpha), (mix_up, mixing.mixup_alpha))
        if alpha is not None
    ]
    if len(chosen) == 1:
        return chosen[0]()
    return tf.cond(_draws(seed, 0, [], 2) == 0, *chosen)


def cut_mix(
    images: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor,
    alpha: float,
    probability: float = 1.0,
    rows: Rows | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces a rectangle of every image by that of its partner: `y = (1 - a) y_own + a y_partner`.

    The rectangle has the image's aspect ratio and, before it is cut off at the borders, the share `1 - l` of its area,
    `l ~ Beta(alpha, alpha)`. `a` is the share of the pixels that were really replaced.

    Args:
        images: float [B, H, W, C], H and W static.
        labels: distributions over the classes, float32 [B, K].
        seed: integers [2].
        alpha: parameter of the Beta distribution, above 0; 1 makes shares uniform.
        probability: how likely an image is mixed at all, 0..1.
        rows: which rows of a batch the images are; None for all of one. The last of some rows has no partner among
            them: leave it out of the result.

    Returns:
        (images, labels) in the shapes and dtypes given.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (ICCV
        2019), section 3.1, Eqs. 1-2, alpha 1 as there; the share is corrected as in the pseudo-code of their appendix.
        Their code draws once per batch; their equations are those of one pair.
    """
    height, width = images.shape[1], images.shape[2]
    kept = _kept_shares(seed, images, alpha, probability, rows)
    side = tf.sqrt(1 - kept)
    heights, widths = (tf.cast(side * size, tf.int32) for size in (height, width))
    boxes = _boxes(seed, heights, widths, height, width, rows)
    replaced = tf.reduce_sum(tf.cast(boxes, tf.int32), axis=[1, 2]) / (height * width)
    replaced = tf.cast(replaced, tf.float32)
    return tf.where(boxes, _partners(images), images), (1 - replaced) * labels + replaced * _partners(labels)


def mix_up(
    images: tf.Tensor,
    labels: tf.Tensor,
    seed: tf.Tensor,
    alpha: float,
    probability: float = 1.0,
    rows: Rows | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes every image with its partner: `x = l x_own + (1 - l) x_partner`, labels alike, `l ~ Beta(alpha, alpha)`.

    Args:
        images: float [B, H, W, C].
        labels: distributions over the classes, float32 [B, K].
        seed: integers [2].
        alpha: parameter of the Beta distribution, above 0; 1 makes shares uniform, less draws them to 0 and 1.
        probability: how likely an image is mixed at all, 0..1.
        rows: which rows of a batch the images are; None for all of one. The last of some rows has no partner among
            them: leave it out of the result.

    Returns:
        (images, labels) in the shapes and dtypes given.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018), section 2: alpha 1 for CIFAR, 0.1 to
        0.4 for ImageNet. Their code draws once per batch; their equations are those of one pair.
    """
    kept = _kept_shares(seed, images, alpha, probability, rows)
    own = tf.cast(kept, images.dtype)[:, None, None, None]
    mixed_labels = kept[:, None] * labels + (1 - kept[:, None]) * _partners(labels)
    return own * images + (1 - own) * _partners(images), mixed_labels


def beta_draws(seed: tf.Tensor, count: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draws from `Beta(alpha, alpha)`, finite for every alpha.

    Args:
        seed: integers [2].
        count: how many.
        alpha: above 0.

    Returns:
        float32 [count], in 0..1.
    """
    # Beta is G1 / (G1 + G2) of two Gamma draws, which are both 0 in float32 for a small alpha. Their logarithms are
    # not: log Gamma(alpha) is log Gamma(alpha + 1) + log(U) / alpha.
    gammas = tf.random.stateless_gamma([2, count], _stream(seed, 1), alpha + 1)
    uniform = (tf.cast(_draws(seed, 2, [2, count], STEPS), tf.float32) + 0.5) / STEPS
    logarithms = tf.math.log(gammas) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logarithms[0] - logarithms[1])


def _kept_shares(seed: tf.Tensor, images: tf.Tensor, alpha: float, probability: float, rows: Rows | None) -> tf.Tensor:
    """The share of itself that every image keeps, float32 [B]; 1 where it is not mixed."""

    def draw(count: tf.Tensor) -> tf.Tensor:
        mixed = _draws(seed, 3, [count], STEPS) < round(probability * STEPS)
        return tf.where(mixed, beta_draws(seed, count, alpha), 1.0)

    return drawn(draw, images, rows)


def _boxes(
    seed: tf.Tensor, heights: tf.Tensor, widths: tf.Tensor, height: int, width: int, rows: DrawnFor | None
) -> tf.Tensor:
    """Which pixels lie in a box of the given size about a random pixel of each image, bool [B, height, width, 1]."""
    inside = []
    for stream, sizes, extent in ((4, heights, height), (5, widths, width)):
        centres = integers(_stream(seed, stream), [], extent, sizes, rows)
        first = centres - sizes // 2
        places = tf.range(extent)
        inside.append((places >= first[:, None]) & (places < (first + sizes)[:, None]))
    return (inside[0][:, :, None] & inside[1][:, None, :])[..., None]


def _partners(values: tf.Tensor) -> tf.Tensor:
    return tf.roll(values, shift=-1, axis=0)


def _draws(seed: tf.Tensor, stream: int, shape: list, bound: int) -> tf.Tensor:
    """Integers in 0..bound-1; different streams of a seed are independent."""
    return tf.random.stateless_uniform(shape, _stream(seed, stream), maxval=bound, dtype=tf.int32, alg="philox")


def _stream(seed: tf.Tensor, stream: int) -> tf.Tensor:
    return tf.random.fold_in(seed, tf.constant(stream, tf.int64), alg="philox")
