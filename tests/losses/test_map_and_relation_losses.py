"""Losses on maps and on relations between examples: formulas in NumPy float64, the authors' values, what they miss."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.losses import geometry

VARIANCE, MARGINS = np.array([0.5, 2.0, 5.0]), np.array([-0.5, -1.0, -0.1])


def norm(values, axis):
    return np.linalg.norm(values, axis=axis, keepdims=True)


def flat(values):
    return values.reshape(len(values), -1)


def attention(learner, source):
    maps = [flat((one**2).mean(-1)) for one in (learner, source)]
    return ((maps[0] / norm(maps[0], 1) - maps[1] / norm(maps[1], 1)) ** 2).mean(1)


def selectivity(learner, source):
    """Channel by channel, as the paper has it."""
    unit = [one.reshape(len(one), -1, one.shape[-1]) for one in (learner, source)]
    s, t = (one / norm(one, 1) for one in unit)
    kernels = [np.einsum("bpc,bpd->bcd", a, b) ** 2 for a, b in ((s, s), (t, t), (s, t))]
    return kernels[0].mean((1, 2)) + kernels[1].mean((1, 2)) - 2 * kernels[2].mean((1, 2))


def likelihood(mean, source):
    return (((mean - source) ** 2 / VARIANCE + np.log(VARIANCE)) / 2).mean((1, 2, 3))


def hierarchical(learner, source):
    """Of 5x5 maps: 5 positions to 4 are overlapping pairs."""
    assert learner.shape[1:3] == (5, 5)
    difference, total = learner - source, 0.0
    parts = {4: [(0, 2), (1, 3), (2, 4), (3, 5)], 2: [(0, 3), (2, 5)], 1: [(0, 5)]}
    for weight, size in ((1.0, None), (0.5, 4), (0.25, 2), (0.125, 1)):
        one = difference
        if size:
            rows = [[difference[:, a:b, c:d].mean((1, 2)) for c, d in parts[size]] for a, b in parts[size]]
            one = np.stack([np.stack(row, 1) for row in rows], 1)
        total += weight * (one**2).mean((1, 2, 3))
    return total / 1.875


def similarity(learner, source):
    rows = [flat(one) @ flat(one).T for one in (learner, source)]
    return ((rows[0] / norm(rows[0], 1) - rows[1] / norm(rows[1], 1)) ** 2).mean(1)


def neighbours(learner, source):
    found = []
    for one in (learner, source):
        unit = flat(one) / norm(flat(one), 1)
        likeness = (unit @ unit.T + 1) / 2
        found.append(likeness / likeness.sum(1, keepdims=True))
    p, q = found
    return (q * np.log((q + 1e-7) / (p + 1e-7))).mean(1)


def congruence(learner, source):
    """Half of each pair to each of the two, in a loop."""
    errors, size = np.abs(flat(learner) - flat(source)), len(learner)
    found = np.zeros(size)
    for b in range(size - 1):
        found[b : b + 2] += (errors[b] * errors[b + 1]).sum() / 2
    return found * size / (size - 1)


def huber(values):
    return np.where(np.abs(values) < 1, values**2 / 2, np.abs(values) - 0.5)


def distances(learner, source):
    found = []
    for one in (learner, source):
        d = norm(flat(one)[:, None] - flat(one)[None], 2)[..., 0]
        found.append(d / d[d > 0].mean())
    return huber(found[0] - found[1]).mean(1)


def angles(learner, source):
    found = []
    for one in (learner, source):
        directions = flat(one)[None] - flat(one)[:, None]
        unit = directions / np.maximum(norm(directions, 2), 1e-12)
        found.append(np.einsum("ijd,ikd->ijk", unit, unit))
    return huber(found[0] - found[1]).mean((1, 2))


def margin(learner, source):
    found = np.zeros(len(learner))
    for b, y, x, c in np.ndindex(learner.shape):
        wanted = max(source[b, y, x, c], MARGINS[c])
        if learner[b, y, x, c] > wanted or wanted > 0:
            found[b] += (learner[b, y, x, c] - wanted) ** 2
    return found


def boundary(learner, source):
    active = source > 0
    wrong = np.where(active, (learner - 1) ** 2 * (learner <= 1), (learner + 1) ** 2 * (learner > -1))
    return wrong.sum((1, 2, 3))


def jacobian(learner, source):
    s, t = (flat(one) / norm(flat(one), 1) for one in (learner, source))
    return 2 - 2 * (s * t).sum(1)


def correlation(learner, source):
    """An example's share, and in the mean over the batch 1 less the mean correlation of a channel."""
    sides = [(one - one.mean((0, 1, 2))) / one.std((0, 1, 2)) for one in (learner, source)]
    found = ((sides[0] - sides[1]) ** 2).mean((1, 2, 3)) / 2
    pairs = [np.corrcoef(learner[..., c].ravel(), source[..., c].ravel())[0, 1] for c in range(learner.shape[-1])]
    assert abs(found.mean() - (1 - np.mean(pairs))) < 1e-9
    return found


def channelwise(learner, source):
    """Channel by channel of an example, at T = 2."""
    found = np.zeros(len(learner))
    for b, c in np.ndindex(len(learner), learner.shape[-1]):
        p, q = (np.exp(one[b, :, :, c] / 2) for one in (learner, source))
        p, q = p / p.sum(), q / q.sum()
        found[b] += 4 * (q * np.log(q / p)).sum() / learner.shape[-1]
    return found


def at_temperature_2(learner, source):
    return losses.channel_divergence(learner, source, 2.0)


def with_margins(learner, source):
    return losses.margin_distance(learner, source, MARGINS)


def variational(mean, source):
    return losses.gaussian_negative_log_likelihood(mean, tf.constant(VARIANCE, tf.float32), source)


SMALL, WIDE, LARGE, FLAT = (6, 2, 2, 3), (6, 2, 2, 5), (6, 5, 5, 3), (6, 7)
# Name, ours, the formula, and the shapes of the learner's and the source's features.
CASES = {
    "attention": (losses.attention_distance, attention, SMALL, WIDE),
    "selectivity_of_positions": (losses.selectivity_distance, selectivity, SMALL, WIDE),
    "selectivity_of_channels": (losses.selectivity_distance, selectivity, LARGE, (6, 5, 5, 2)),
    "likelihood": (variational, likelihood, SMALL, SMALL),
    "boundary": (losses.boundary_distance, boundary, LARGE, LARGE),
    "jacobian": (losses.jacobian_distance, jacobian, LARGE, LARGE),
    "margin": (with_margins, margin, LARGE, LARGE),
    "hierarchical": (losses.hierarchical_distance, hierarchical, LARGE, LARGE),
    "correlation": (losses.correlation_distance, correlation, LARGE, LARGE),
    "channelwise": (at_temperature_2, channelwise, LARGE, LARGE),
    "similarity": (losses.similarity_distance, similarity, SMALL, FLAT),
    "neighbours": (losses.neighbour_divergence, neighbours, FLAT, WIDE),
    "congruence": (losses.congruence_loss, congruence, FLAT, FLAT),
    "distances": (losses.distance_potential, distances, FLAT, (6, 4)),
    "angles": (losses.angle_potential, angles, FLAT, (6, 4)),
}


def features_of(name):
    draw = np.random.default_rng(3)
    return tuple(draw.normal(0.5, 1, shape) for shape in CASES[name][2:])


def valued(loss, learner, source, dtype=tf.float32):
    """What a loss gives, and the gradients of its mean over the batch for both sides."""
    learner, source = tf.constant(learner, dtype), tf.constant(source, dtype)
    with tf.GradientTape() as tape:
        tape.watch((learner, source))
        value = loss(learner, source)
        mean = tf.reduce_mean(value)
    gradients = tape.gradient(mean, (learner, source), unconnected_gradients="zero")
    return value.numpy(), *(tf.cast(one, tf.float32).numpy() for one in gradients)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_its_formula_and_its_gradients_those_of_finite_differences(name):
    ours, formula, *_ = CASES[name]
    features = features_of(name)
    value, *gradients = valued(ours, *features)
    assert value.dtype == np.float32 and value.shape == (6,)
    np.testing.assert_allclose(value, formula(*features), rtol=1e-5, atol=1e-7)
    step = 1e-6
    for side, gradient in enumerate(gradients):
        for place in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [one.copy() for one in features]
                moved[side][place] += sign * step
                ends.append(formula(*moved).mean())
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-3, abs=2e-6), place


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"likelihood", "boundary"}))
def test_there_is_nothing_to_learn_from_equal_features(name):
    learner, _ = features_of(name)
    value, *gradients = valued(CASES[name][0], learner, learner)
    np.testing.assert_allclose(value, 0, atol=3e-7)
    assert all(np.abs(gradient).max() < 1e-5 for gradient in gradients)


@pytest.mark.parametrize("name", CASES)
def test_large_small_and_dead_features_give_finite_values_and_gradients(name):
    learner, source = features_of(name)
    for scale, dtype in ((1e4, tf.float32), (1e4, tf.bfloat16), (1e-6, tf.float32), (0.0, tf.float32)):
        for one in (scale * learner, np.maximum(scale * learner, 0), np.full(learner.shape, scale)):
            value, *gradients = valued(CASES[name][0], one, source, dtype)
            assert value.dtype == np.float32 and np.isfinite(value).all(), (scale, dtype)
            assert all(np.isfinite(gradient).all() for gradient in gradients), (scale, dtype)


def test_what_each_loss_does_not_see():
    seen = {name: features_of(name) for name in CASES}
    turn = np.linalg.qr(np.random.default_rng(8).normal(size=(7, 7)))[0]
    example, channel = np.arange(1.0, 7.0), np.array([0.5, 3.0, 7.0])
    unseen = {
        "attention": [lambda s: s * example[:, None, None, None], np.abs],
        "selectivity_of_positions": [lambda s: s * channel, lambda s: s[..., ::-1], lambda s: np.repeat(s, 2, -1)],
        "selectivity_of_channels": [lambda s: s * channel],
        "jacobian": [lambda s: s * example[:, None, None, None]],
        "correlation": [lambda s: s * channel + 5],
        "channelwise": [lambda s: s + channel, lambda s: s + example[:, None, None, None]],
        "similarity": [lambda s: 1e-3 * s, np.negative, lambda s: s[..., ::-1]],
        "neighbours": [lambda s: s * example[:, None], lambda s: s @ turn],
        "distances": [lambda s: 5 * s @ turn + 3],
        "angles": [lambda s: 5 * s @ turn + 3],
    }
    for name, changes in unseen.items():
        learner, source = seen[name]
        expected = CASES[name][0](tf.constant(learner), tf.constant(source))
        for change in changes:
            found = CASES[name][0](tf.constant(change(learner)), tf.constant(source))
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-7, err_msg=name)
        assert np.abs(CASES[name][0](tf.constant(learner**2), tf.constant(source)) - expected).max() > 1e-4, name


def assert_as_authors(loss, learner, source, value, norm, size):
    """The value of an authors' function, and of its gradient the norm and the sum of absolutes."""
    found, gradient, _ = valued(loss, learner, source)
    np.testing.assert_allclose(found.mean(), value, rtol=1e-5)
    np.testing.assert_allclose([np.linalg.norm(gradient), np.abs(gradient).sum()], [norm, size], rtol=1e-5)


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_the_losses_are_what_the_authors_code_gives():
    maps = drawn(60, 4, 8, 8, 64), drawn(61, 4, 8, 8, 64)
    embeddings = drawn(63, 8, 128), drawn(64, 8, 128)
    at = (0.001024951074494696, 0.00012156258066932709, 0.009946947863769297)
    sp = (0.00018792679734298823, 0.00021384209306428228, 0.021399888420524028)
    nst = (0.03167768104248551, 0.0007117015438317902, 0.07207850656876802)
    hint = (1.9724392505812527, 0.021944305671664305, 2.2369377594751865)
    assert_as_authors(losses.attention_distance, *maps, *at)
    assert_as_authors(losses.similarity_distance, *maps, *sp)
    assert_as_authors(losses.selectivity_distance, *maps, *nst)
    assert_as_authors(lambda s, t: losses.distance(s, t, order=2), *maps, *hint)
    rkd_distance = (0.0020788595334215627, 0.0009354317763277876, 0.02119941192699323)
    rkd_angle = (0.002468219866668984, 0.0009395605640805974, 0.022202315046627213)
    pkt = (0.00078215620089573, 0.0002716141634228892, 0.006750658193333733)
    cc = (166.75774548141612, 10.772880427188761, 295.9907411080777)
    assert_as_authors(losses.distance_potential, *embeddings, *rkd_distance)
    assert_as_authors(losses.angle_potential, *embeddings, *rkd_angle)
    assert_as_authors(losses.neighbour_divergence, *embeddings, *pkt)
    assert_as_authors(losses.congruence_loss, *embeddings, *cc)


def test_a_variance_of_5_met_exactly_costs_half_its_logarithm():
    maps = drawn(0, 2, 2, 2, 3)
    found = losses.gaussian_negative_log_likelihood(maps, np.full(3, 5.0), maps)
    np.testing.assert_allclose(found, 0.8047189562, rtol=1e-6)


def test_of_one_channel_selectivity_is_a_function_of_attention():
    """With d = positions · AT of a map, NST of its square is 2 d − d² / 2."""
    learner, source = (np.abs(drawn(seed, 5, 4, 4, 1)) for seed in (1, 2))
    d = 16 * np.array(losses.attention_distance(learner, source))
    np.testing.assert_allclose(losses.selectivity_distance(learner**2, source**2), 2 * d - d**2 / 2, rtol=1e-4)


def test_attention_of_one_channel_is_a_similarity_of_positions():
    """AT of a map is SP of its squares, with the positions of an image in the place of a batch's examples."""
    learner, source = (drawn(seed, 5, 4, 4, 1) for seed in (1, 2))
    positions = [[np.reshape(one, (16, 1)) ** 2 for one in maps] for maps in (learner, source)]
    found = [np.mean(losses.similarity_distance(*sides)) for sides in zip(*positions, strict=True)]
    np.testing.assert_allclose(losses.attention_distance(learner, source), found, rtol=1e-5)


@pytest.mark.parametrize(("height", "width", "overlapping"), [(8, 12, ()), (6, 6, (4,))])
def test_windows_that_do_not_overlap_are_averaged_to_the_same(height, width, overlapping):
    """Sizes from 4 on may be made of each other; after overlapping windows of 6 to 4, those of 2 are of the 6."""
    learner, source = drawn(1, 2, height, width, 3), drawn(2, 2, height, width, 3)
    difference = learner - source
    expected = (difference**2).mean((1, 2, 3))
    for weight, size in ((0.5, 4), (0.25, 2), (0.125, 1)):
        if size in overlapping:
            pairs = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]]) / 2
            pooled = np.einsum("ih,bhwc,jw->bijc", pairs, difference, pairs)
        else:
            pooled = difference.reshape(2, size, height // size, size, width // size, 3).mean((2, 4))
        expected += weight * (pooled**2).mean((1, 2, 3))
    np.testing.assert_allclose(losses.hierarchical_distance(learner, source), expected / 1.875, rtol=1e-5)


def test_a_map_of_one_position_is_compared_as_it_is():
    learner, source = drawn(1, 3, 1, 1, 4), drawn(2, 3, 1, 1, 4)
    expected = ((learner - source) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(losses.hierarchical_distance(learner, source), expected, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_no_examples_have_no_losses(name):
    features = (tf.zeros((0, *shape[1:])) for shape in CASES[name][2:])
    value, *gradients = valued(CASES[name][0], *features)
    assert value.shape == (0,) and all(one.shape[0] == 0 for one in gradients)


def test_a_batch_of_one_relates_nothing():
    one = tf.constant(drawn(1, 1, 4), tf.float32)
    for loss in (losses.congruence_loss, losses.distance_potential, losses.angle_potential):
        value, *gradients = valued(loss, one, -one)
        assert value.tolist() == [0.0] and not np.any(gradients)


def test_angles_are_the_same_in_blocks_and_compiled(monkeypatch):
    learner, source = features_of("angles")
    expected = valued(losses.angle_potential, learner, source)
    monkeypatch.setattr(geometry, "KEPT", 6 * 7 * 4)  # four of six examples at a time
    for compiled in (False, True):
        graph = tf.function(lambda s, t: valued_in_graph(s, t), jit_compile=compiled)
        found = graph(tf.constant(learner, tf.float32), tf.constant(source, tf.float32))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def valued_in_graph(learner, source):
    with tf.GradientTape() as tape:
        tape.watch((learner, source))
        value = losses.angle_potential(learner, source)
        mean = tf.reduce_mean(value)
    return value, *tape.gradient(mean, (learner, source))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.attention_distance(tf.zeros((2, 3)), tf.zeros((2, 3))), "learner_map must be "),
        (lambda: losses.selectivity_distance(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 2, 2, 3))), "without channels"),
        (lambda: losses.hierarchical_distance(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 4, 4, 2))), "must have the same"),
        (
            lambda: losses.gaussian_negative_log_likelihood(tf.zeros((2, 4, 4, 3)), tf.ones(2), tf.zeros((2, 4, 4, 3))),
            "variance must have a value for each channel of mean",
        ),
        (
            lambda: losses.margin_distance(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 4, 4, 3)), tf.zeros(2)),
            "margins must have a value for each channel",
        ),
        (
            lambda: losses.correlation_distance(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 4, 4, 2))),
            "learner_map and source_map must have the same shape",
        ),
        (
            lambda: losses.channel_divergence(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 4, 4, 3)), 0.0),
            "temperature must be a finite number above 0",
        ),
        (lambda: losses.similarity_distance(tf.zeros((2, 3)), tf.zeros((3, 3))), "the batch of learner_features"),
        (lambda: losses.congruence_loss(tf.zeros((2, 3)), tf.zeros((2, 4))), "learner_features and source_features"),
        (lambda: losses.angle_potential(tf.zeros(2), tf.zeros(2)), "learner_features must be"),
    ],
)
def test_mismatch_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
