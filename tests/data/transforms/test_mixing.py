"""Cut-out, cut-mix and mixup against what their papers say of areas, labels and shares."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.transforms.mixing import Cutout, Mixing, beta_draws, cut_mix, cut_out, mix, mix_up

BATCH, HEIGHT, WIDTH = 64, 12, 9
SEED = [5, 7]


def flat_images() -> np.ndarray:
    """Image i has the value i everywhere."""
    return np.broadcast_to(np.arange(BATCH, dtype=np.float32)[:, None, None, None], (BATCH, HEIGHT, WIDTH, 3)).copy()


def one_hot() -> np.ndarray:
    return np.eye(BATCH, dtype=np.float32)


def partner_of(own: np.ndarray) -> np.ndarray:
    return np.roll(own, -1, axis=0)


def is_rectangle(mask: np.ndarray) -> bool:
    rows, columns = mask.any(1), mask.any(0)
    joined = all((np.diff(np.flatnonzero(one)) == 1).all() for one in (rows, columns))
    return joined and np.array_equal(mask, rows[:, None] & columns[None, :])


def test_cut_mix_pastes_one_rectangle_and_its_share_of_the_label():
    images, labels = (value.numpy() for value in cut_mix(flat_images(), one_hot(), SEED, 1.0))
    own, partner = flat_images(), partner_of(flat_images())
    pasted = images == partner
    assert (pasted | (images == own)).all() and (pasted == pasted[..., :1]).all()
    assert all(is_rectangle(mask[..., 0]) for mask in pasted)
    share = pasted[..., 0].mean((1, 2))
    expected = (1 - share)[:, None] * one_hot() + share[:, None] * partner_of(one_hot())
    np.testing.assert_allclose(labels, expected, atol=1e-6)
    assert len(np.unique(share)) > BATCH / 3 and share.min() < 0.1 and share.max() > 0.6


def test_cut_mixs_rectangle_has_the_aspect_ratio_and_area_that_was_drawn():
    # So large an alpha draws one half: sides of 0.707 of the image's, here 8 and 6, unless a border cuts them off.
    images, _ = cut_mix(flat_images(), one_hot(), SEED, 1e6)
    pasted = (images.numpy() == partner_of(flat_images()))[..., 0]
    sides = np.array([(mask.any(1).sum(), mask.any(0).sum()) for mask in pasted])
    assert sides.max(0).tolist() == [8, 6] and (sides.min(0) < [8, 6]).all()


def test_mixup_is_convex_in_images_and_labels_alike():
    rng = np.random.default_rng(0)
    own = rng.normal(size=(BATCH, HEIGHT, WIDTH, 3)).astype(np.float32)
    images, labels = (value.numpy() for value in mix_up(own, one_hot(), SEED, 1.0))
    kept = labels[np.arange(BATCH), np.arange(BATCH)]
    assert ((kept >= 0) & (kept <= 1)).all() and len(np.unique(kept)) > BATCH / 2
    weights = kept[:, None, None, None]
    np.testing.assert_allclose(images, weights * own + (1 - weights) * partner_of(own), atol=1e-5)
    np.testing.assert_allclose(
        labels, kept[:, None] * one_hot() + (1 - kept)[:, None] * partner_of(one_hot()), atol=1e-6
    )


@pytest.mark.parametrize("mixing", [Mixing(cutmix_alpha=1.0), Mixing(mixup_alpha=0.2), Mixing(1.0, 1.0)])
def test_labels_stay_distributions_and_a_seed_decides_all(mixing):
    smooth = np.full((BATCH, 10), 0.01, np.float32)
    smooth[np.arange(BATCH), np.arange(BATCH) % 10] = 0.91
    images, labels = mix(flat_images(), smooth, SEED, mixing)
    np.testing.assert_allclose(labels.numpy().sum(1), 1, atol=1e-6)
    assert images.shape == flat_images().shape and images.dtype == labels.dtype == tf.float32
    again, other = mix(flat_images(), smooth, SEED, mixing), mix(flat_images(), smooth, [5, 8], mixing)
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert not np.array_equal(images, other[0]) and not np.array_equal(labels, other[1])


def test_with_both_a_batch_is_either_cut_or_blended():
    both, images, labels = Mixing(1.0, 1.0), flat_images(), one_hot()

    @tf.function
    def mixed(seed):
        return (
            mix(images, labels, seed, both)[0],
            cut_mix(images, labels, seed, 1.0)[0],
            mix_up(images, labels, seed, 1.0)[0],
        )

    found = []
    for step in range(40):
        chosen, cut, blended = mixed(tf.constant([1, step]))
        found.append([np.array_equal(chosen, cut), np.array_equal(chosen, blended)])
    assert (np.sum(found, axis=1) == 1).all()
    assert 8 < np.sum(found, axis=0)[0] < 32


@pytest.mark.parametrize("function", [cut_mix, mix_up])
def test_probability_says_how_many_are_mixed(function):
    shares = []
    for probability in (0.0, 0.5, 1.0):
        labels = function(flat_images(), one_hot(), SEED, 1.0, probability)[1].numpy()
        shares.append(np.mean(labels.max(1) < 1))
    assert shares[0] == 0 and 0.3 < shares[1] < 0.7 and shares[2] > 0.8


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_draws_are_from_the_beta_distribution(alpha):
    count = 20_000
    draws = beta_draws(SEED, count, alpha).numpy().astype(np.float64)
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(draws.mean() - 0.5) < 5 * math.sqrt(variance / count)
    assert draws.var() == pytest.approx(variance, rel=0.05)
    if alpha == 1.0:
        counts, _ = np.histogram(draws, 20, (0, 1))
        # Chi-squared with 19 degrees of freedom exceeds 50.8 with probability 0.0001.
        assert ((counts - count / 20) ** 2 / (count / 20)).sum() < 50.8


def test_a_tiny_alpha_draws_ends_and_never_nan():
    draws = beta_draws(SEED, 1000, 1e-3).numpy()
    assert np.isin(np.round(draws, 3), (0, 1)).mean() > 0.98
    assert abs(draws.mean() - 0.5) < 0.1


def test_cut_out_blanks_a_square_about_any_pixel():
    images = flat_images() + 1
    cut = cut_out(images, SEED, 5).numpy()
    blank = (cut == 0)[..., 0]
    assert ((cut == 0) == blank[..., None]).all()
    np.testing.assert_array_equal(cut[~blank], images[~blank])
    sides = np.array([(mask.any(1).sum(), mask.any(0).sum()) for mask in blank])
    assert all(is_rectangle(mask) for mask in blank)
    # A centre on the border leaves 3 of 5 rows or columns, on the other border as many.
    assert sides.max() == 5 and sides.min() == 3


def test_cut_outs_centre_is_uniform_over_the_pixels():
    cut = cut_out(np.ones((3200, 4, 4, 1), np.float32), SEED, 1).numpy()
    counts = (cut[..., 0] == 0).sum(0).ravel()
    assert counts.sum() == 3200
    # Chi-squared with 15 degrees of freedom exceeds 44.3 with probability 0.0001.
    assert ((counts - 200) ** 2 / 200).sum() < 44.3


def test_cut_out_takes_half_of_the_shorter_side_unless_told():
    blank = (cut_out(np.ones((200, 12, 8, 1), np.float32), SEED).numpy() == 0)[..., 0]
    assert blank.any(2).sum(1).max() == blank.any(1).sum(1).max() == 4


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Cutout(-1), "size"),
        (lambda: Mixing(), "mixing"),
        (lambda: Mixing(cutmix_alpha=0.0), "cutmix_alpha"),
        (lambda: Mixing(mixup_alpha=math.inf), "mixup_alpha"),
        (lambda: Mixing(mixup_alpha=math.nan), "mixup_alpha"),
        (lambda: Mixing(1.0, probability=1.5), "probability"),
    ],
)
def test_settings_out_of_range_are_named_in_one_line(make, name):
    with pytest.raises(ValueError, match=f"^{name}") as caught:
        make()
    assert "\n" not in str(caught.value)
