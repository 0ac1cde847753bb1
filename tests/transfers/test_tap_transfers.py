"""The transfers of feature maps and of relations: taps, helpers and weights, and five steps against float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.methods import Distillation
from tfdistill.transfers import AT, CC, CWD, PKD, RKD, SP, TRANSFERS, VID, FitNet, MapDistance, TapTransfer

# Which taps and with which weight, as the papers or RepDistiller have it.
DEFAULTS = {
    "fitnet": ("middle", 100.0),
    "at": ("stages", 1000.0),
    "nst": ("stages", 50.0),
    "vid": ("stages", 1.0),
    "pkd": ("features", 6.0),
    "cwd": ("features", 10.0),
    "sp": ("features", 3000.0),
    "cc": ("embedding", 0.02),
    "rkd": ("embedding", 1.0),
    "pkt": ("embedding", 30000.0),
}
ON_TAPS = [name for name, made in TRANSFERS.items() if issubclass(made, TapTransfer)]


@pytest.fixture(scope="module")
def pair(tiny_network):
    return tiny_network("learner", seed=1, channels=8), tiny_network("source", seed=2, channels=6)


def test_the_defaults_are_the_papers():
    assert DEFAULTS.keys() == set(ON_TAPS)
    for name, (taps, weight) in DEFAULTS.items():
        made = TRANSFERS[name]()
        assert (made.taps, made.weight) == (taps, weight), name
    rkd = RKD()
    assert (rkd.distance_weight, rkd.angle_weight, CC().units, CWD().temperature) == (25.0, 50.0, 128, 1.0)


@pytest.mark.parametrize("name", ON_TAPS)
def test_the_term_is_the_sum_of_its_loss_over_the_pairs_of_taps(name, pair, lesson_of, call, drawn):
    """Each pair has helpers of its own, with weights of their own."""
    taps = "stage1,stage2" if TRANSFERS[name].by_position else "stage2,embedding:logits"
    transfer = TRANSFERS[name](taps=taps, weight=3.0)
    lesson, (own, source) = lesson_of(transfer, *pair), [drawn(one, k) for k, one in enumerate(pair)]
    assert lesson.weights == {name: 3.0}
    found = lesson.terms({}, own, source, call)
    assert list(found) == [name] and found[name].shape == (6,) and found[name].dtype == tf.float32
    helpers, total = list(lesson.helpers), 0.0
    assert len({helper.name for helper in helpers}) == len(helpers)
    for one in transfer.taps.split(","):
        sides = [taps[tap] for taps, tap in zip((own, source), (one.split(":") * 2)[:2], strict=True)]
        for place in range(len(lesson.helpers) // 2):
            sides[place] = call(helpers.pop(0), sides[place])
        total += transfer.loss(*sides)
    np.testing.assert_allclose(found[name], total, rtol=1e-5)


def test_what_is_built_is_for_the_learner_alone_or_for_both(pair, lesson_of):
    prefix = "learner_from_source"
    built = {
        name: {helper.name: helper.output for helper in lesson_of(TRANSFERS[name](), *pair).helpers} for name in ON_TAPS
    }
    assert {name: list(helpers) for name, helpers in built.items() if helpers} == {
        "fitnet": [f"{prefix}_fitnet_stage1_regressor"],
        "vid": [f"{prefix}_vid_stage1_regressor", f"{prefix}_vid_stage2_regressor"],
        "pkd": [f"{prefix}_pkd_features_projection"],
        "cwd": [f"{prefix}_cwd_features_projection"],
        "cc": [f"{prefix}_cc_embedding_of_learner", f"{prefix}_cc_embedding_of_source"],
    }
    assert built["fitnet"][f"{prefix}_fitnet_stage1_regressor"].shape == (None, 8, 8, 6)
    assert built["vid"][f"{prefix}_vid_stage2_regressor"]["mean"].shape == (None, 4, 4, 6)
    assert built["pkd"][f"{prefix}_pkd_features_projection"].shape == (None, 4, 4, 6)
    assert not any(lesson_of(TRANSFERS[name](), *pair[:1] * 2).helpers for name in ("pkd", "cwd")), "as many channels"
    assert built["cc"][f"{prefix}_cc_embedding_of_source"].shape == (None, 128)


def test_a_fitnet_whose_regressor_changes_nothing_is_the_squared_error(pair, lesson_of, call, drawn):
    learner, _ = pair
    lesson = lesson_of(FitNet(), learner, learner)
    (regressor,) = lesson.helpers
    kernel, gamma, beta = regressor.trainable_variables
    kernel.assign(np.eye(8)[None, None])
    own, source = (drawn(learner, seed) for seed in (1, 2))
    own = {tap: tf.abs(value) for tap, value in own.items()}  # the regressor ends in ReLU
    mean, variance = tf.nn.moments(own["stage1"], (0, 1, 2))
    gamma.assign(tf.sqrt(variance + 1e-5))
    beta.assign(mean)
    expected = losses.distance(own["stage1"], source["stage1"], order=2)
    np.testing.assert_allclose(lesson.terms({}, own, source, call)["fitnet"], expected, rtol=1e-5)


def test_vid_is_what_repdistillers_code_gives(lesson_of, call):
    draw = np.random.default_rng(65)
    kernels = [0.1 * draw.normal(size=(64, 64, 1, 1)).transpose(2, 3, 1, 0) for _ in range(3)]
    maps = tf.keras.Input((8, 8, 64))
    network = tf.keras.Model(maps, {"stage1": maps, "logits": tf.keras.layers.Flatten()(maps)}, name="network")
    lesson = lesson_of(VID(), network, network)
    for kernel, variable in zip(kernels, lesson.helpers[0].trainable_variables[:3], strict=True):
        variable.assign(kernel)
    own, source = ({"stage1": tf.constant(np.random.default_rng(seed).normal(size=(4, 8, 8, 64)))} for seed in (60, 61))
    np.testing.assert_allclose(np.mean(lesson.terms({}, own, source, call)["vid"]), 0.9100846646019629, rtol=1e-5)


def test_cc_is_nothing_for_equal_embeddings_though_its_layers_differ_at_first(pair, lesson_of, call, drawn):
    learner, _ = pair
    lesson, taps = lesson_of(CC(units=4), learner, learner), drawn(learner, 1)
    assert (lesson.terms({}, taps, taps, call)["cc"].numpy() > 0).all()
    own, source = lesson.helpers
    source.set_weights(own.get_weights())
    np.testing.assert_array_equal(lesson.terms({}, taps, taps, call)["cc"], 0)


def test_a_part_of_rkd_without_weight_is_left_out(pair, lesson_of, call, drawn):
    sides = [drawn(one, k) for k, one in enumerate(pair)]
    embeddings = [one["embedding"] for one in sides]
    for transfer, loss in (
        (RKD(angle_weight=0.0), 25.0 * losses.distance_potential(*embeddings)),
        (RKD(distance_weight=0.0, angle_weight=2.0), 2.0 * losses.angle_potential(*embeddings)),
    ):
        np.testing.assert_array_equal(lesson_of(transfer, *pair).terms({}, *sides, call)["rkd"], loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RKD(distance_weight=0.0, angle_weight=0.0), "angle_weight: is 0 and so is distance_weight: "),
        (lambda: AT(taps=" "), "taps: must be names of taps with commas between them, not ' '"),
        (lambda: AT(taps=("stage1", "stage2")), "taps: must be names of taps with commas between them, not "),
        (lambda: SP(weight=-1.0), "weight: must be a number in 0..1,000,000, not -1.0"),
        (lambda: CWD(temperature=0.0), "temperature: must be a number in 0.001..1,000, not 0.0"),
        (lambda: CC(units=0), "units: must be a whole number in 1..65,536, not 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ON_TAPS)
def test_networks_that_do_not_have_a_tap_are_refused_in_one_line(name, tiny, lesson_of):
    """As a network from a file, of which only the logits were found."""
    learner = tiny.network("learner")
    bare = tf.keras.Model(learner.input, {"logits": learner.output["logits"]}, name="bare")
    with pytest.raises(ValueError, match=r"^networks: bare has no (stages; it has|tap '\w+'; it has) logits") as error:
        lesson_of(TRANSFERS[name](), bare, learner)
    assert "\n" not in str(error.value)


# Five steps in float64, of formulas in their authors' own form; maps [batch, height, width, channels] of one size.


def unit(values, axis):
    return values / tf.norm(values, axis=axis, keepdims=True)


def flat(values):
    return tf.reshape(values, (len(values), -1))


def at(s, t):
    s, t = (unit(flat(tf.reduce_mean(one**2, -1)), 1) for one in (s, t))
    return tf.reduce_mean((s - t) ** 2)


def nst(s, t):
    s, t = (unit(tf.reshape(one, (len(one), -1, one.shape[-1])), 1) for one in (s, t))

    def kernel(a, b):
        return tf.reduce_mean(tf.einsum("bpc,bpd->bcd", a, b) ** 2)

    return kernel(s, s) + kernel(t, t) - 2 * kernel(s, t)


def sp(s, t):
    s, t = (unit(flat(one) @ tf.transpose(flat(one)), 1) for one in (s, t))
    return tf.reduce_sum((s - t) ** 2) / len(s) ** 2


def pkt(s, t):
    likeness = [(unit(flat(one), 1) @ tf.transpose(unit(flat(one), 1)) + 1) / 2 for one in (s, t)]
    s, t = (one / tf.reduce_sum(one, 1, keepdims=True) for one in likeness)
    return tf.reduce_mean(t * tf.math.log((t + 1e-7) / (s + 1e-7)))


def huber(values):
    size = tf.abs(values)
    return tf.reduce_mean(tf.where(size < 1, size**2 / 2, size - 0.5))


def rkd(s, t):
    away = [flat(one)[None] - flat(one)[:, None] for one in (s, t)]
    # The diagonal is kept off the root, and off the quotient, of which neither has a slope there.
    eye = tf.eye(len(s), dtype=tf.float64)
    lengths = [tf.sqrt(tf.reduce_sum(one**2, 2) + eye) - eye for one in away]
    s_length, t_length = (one / (tf.reduce_sum(one) / (len(s) * (len(s) - 1))) for one in lengths)
    directions = [one / (length + eye)[..., None] for one, length in zip(away, lengths, strict=True)]
    s_angle, t_angle = (tf.einsum("ijd,ikd->ijk", one, one) for one in directions)
    return 25 * huber(s_length - t_length) + 50 * huber(s_angle - t_angle)


def normalized(values):
    mean, variance = tf.nn.moments(values, (0, 1, 2))
    return (values - mean) / (tf.sqrt(variance) + 1e-6)


def pkd(s, t):
    return tf.reduce_mean((normalized(s) - normalized(t)) ** 2) / 2


def cwd(s, t):
    channels = (tf.transpose(tf.reshape(one, (len(one), -1, one.shape[-1])), (0, 2, 1)) for one in (s, t))
    s, t = (tf.nn.softmax(one / 2) for one in channels)
    return 4 * tf.reduce_sum(t * tf.math.log(t / s)) / (t.shape[0] * t.shape[1])


WITHOUT_HELPERS = {"at": at, "nst": nst, "sp": sp, "pkt": pkt, "rkd": rkd}
WEIGHTS = {"at": 30.0, "nst": 2.0, "sp": 20.0, "pkt": 200.0, "rkd": 0.05}


def teacher_of(tiny):
    teacher = tiny.network("teacher", channels=6, pooling=2, seed=2)
    features = teacher(tiny.batch()["images"], training=False)["features"]
    return teacher, tf.cast(features, tf.float64)


def test_five_steps_of_the_transfers_without_helpers(tiny, five_steps):
    student = tiny.network("student", seed=1)
    teacher, taught = teacher_of(tiny)
    transfers = [TRANSFERS[name](taps="features", weight=WEIGHTS[name]) for name in WITHOUT_HELPERS]

    def terms(features, copies):
        pooled = tiny.mean_pool(features, 2)
        # Positions have to match; relations take each map at its own size.
        return {
            name: formula(pooled if TRANSFERS[name].by_position else features, taught)
            for name, formula in WITHOUT_HELPERS.items()
        }

    five_steps(Distillation(student, teacher, transfers), WEIGHTS, [], terms)


def test_five_steps_of_the_transfers_with_helpers(tiny, five_steps):
    student = tiny.network("student", seed=1)
    teacher, taught = teacher_of(tiny)
    transfers = [FitNet(taps="features", weight=0.5), VID(taps="features"), CC(units=4, taps="features", weight=0.1)]
    transfers += [PKD(weight=0.5), CWD(weight=0.5, temperature=2.0)]
    transfers += [MapDistance(distance=distance, weight=0.6, name=distance) for distance in ("l1", "l2")]
    names = [f"student_from_teacher_{one}" for one in ("fitnet_features_regressor", "vid_features_regressor")]
    names += [f"student_from_teacher_cc_features_of_{one}" for one in ("learner", "source")]
    names += [f"student_from_teacher_{one}_features_projection" for one in ("pkd", "cwd")]
    names += [f"student_from_teacher_{one}_transfer" for one in ("l1", "l2")]

    def rectified(layer, maps):
        """1×1 convolution, BatchNorm and ReLU."""
        return tf.nn.relu(tiny.batch_norm(layer, "transfer_norm", maps @ layer["conv/kernel"][0, 0]))

    def terms(features, copies):
        pooled = tiny.mean_pool(features, 2)
        regressor, gaussian, own, source, *projections, absolute, square = (copies[name] for name in names)
        mean = pooled
        for position in (1, 2, 3):
            mean = mean @ gaussian[f"conv{position}/kernel"][0, 0]
            mean = tf.nn.relu(mean) if position < 3 else mean
        variance = tf.math.log1p(tf.exp(gaussian["variances/raw"])) + 1e-5
        embedded = [
            flat(one) @ layer["linear/kernel"] + layer["linear/bias"]
            for one, layer in ((features, own), (taught, source))
        ]
        errors = tf.abs(embedded[0] - embedded[1])
        return {
            "fitnet": tf.reduce_mean((rectified(regressor, pooled) - taught) ** 2),
            "vid": tf.reduce_mean((mean - taught) ** 2 / variance + tf.math.log(variance)) / 2,
            "cc": tf.reduce_mean(tf.reduce_sum(errors[1:] * errors[:-1], 1)),
            "l1": tf.reduce_mean(tf.abs(rectified(absolute, pooled) - taught)),
            "l2": tf.reduce_mean((rectified(square, pooled) - taught) ** 2),
            **{
                name: formula(pooled @ projection["conv/kernel"][0, 0], taught)
                for name, formula, projection in zip(("pkd", "cwd"), (pkd, cwd), projections, strict=True)
            },
        }

    five_steps(Distillation(student, teacher, transfers), {one.name: one.weight for one in transfers}, names, terms)
