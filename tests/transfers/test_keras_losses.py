"""Keras' losses of distillation as transfers, and ours as theirs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import Distillation, Mutual, Supervised, add_transfers
from tfdistill.transfers import DIST, DKD, KD, MSE, KDLimit, KerasLoss, LogitTransfer, MapDistance, TransferLoss

DIVERGENCE = keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence())


@pytest.fixture(scope="module")
def logits():
    draw = np.random.default_rng(2)
    return [tf.constant(draw.normal(0, 2, (6, 3)), tf.float32) for _ in range(2)]


def terms_of(distiller, **logits):
    return distiller.phase.rounds[0].losses({}, {name: {"logits": one} for name, one in logits.items()})["student"]


def test_their_divergence_is_kd_where_it_takes_a_softmax(tiny, logits):
    student, teacher = tiny.network("student", seed=1), tiny.network("teacher", seed=2)
    ours = Distillation(student, teacher, [KD(temperature=4.0)], label_weight=0.0)
    theirs = Distillation(student, teacher, [DIVERGENCE], label_weight=0.0)
    found, expected = (terms_of(one, student=logits[0], teacher=logits[1]) for one in (theirs, ours))
    assert found["logits_distillation"].shape == (6,)
    np.testing.assert_allclose(found["logits_distillation"], 16 * np.mean(expected["kd"]), rtol=1e-5)
    np.testing.assert_allclose(
        TransferLoss(KD(temperature=4.0)).compute_loss(logits[1], logits[0]),
        DIVERGENCE.compute_loss(logits[1], logits[0]),
        rtol=1e-5,
    )
    trained = []
    for given in (KD(temperature=4.0, weight=0.5), KerasLoss(DIVERGENCE, weight=0.5)):
        student = tiny.network("student", seed=1)
        tiny.train(Distillation(student, teacher, [given]), 3, tiny.batch())
        trained.append(tiny.weights_of(student))
    for name, value in trained[0].items():
        np.testing.assert_allclose(value, trained[1][name], atol=1e-5, err_msg=name)


def test_their_divergence_is_refused_where_it_takes_logits_for_probabilities(logits):
    wrong = keras.distillation.LogitsDistillation(temperature=1.0)
    shifted = float(wrong.compute_loss(logits[1], logits[1] - tf.reduce_min(logits[1]) + 1.0))
    assert abs(shifted) > 0.1, "Keras has mended it: the refusal is void, and docs/python.md says so no more"
    # Given probabilities times T it gives their divergence: it takes no softmax, and nothing is multiplied by T².
    p, q = (tf.nn.softmax(one) for one in logits)
    given = keras.distillation.LogitsDistillation(temperature=2.0).compute_loss(2.0 * p, 2.0 * q)
    np.testing.assert_allclose(given, np.mean(np.sum(p * np.log(p / q), axis=1)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"^loss: .*'kl_divergence'\) takes logits for probabilities .*KLDivergence"):
        KerasLoss(wrong)
    assert KerasLoss(keras.distillation.LogitsDistillation(loss="mse")).name == "logits_distillation"


def test_layers_that_they_name_are_taps(tiny):
    student, teacher = (tiny.network(name, seed=k) for k, name in enumerate(("student", "teacher")))
    layer = next(one.name for one in student.layers if one.output is student.output["features"])
    draw = np.random.default_rng(0).normal(size=(2, 6, 4, 4, 4)).astype("float32")
    taps = {name: {"features": tf.constant(one)} for name, one in zip(("student", "teacher"), draw, strict=True)}
    for own in (layer, "features"):
        loss = keras.distillation.FeatureDistillation("mse", teacher_layer_name="features", student_layer_name=own)
        distiller = Distillation(student, teacher, [loss], label_weight=0.0)
        (term,) = distiller.phase.rounds[0].losses({}, taps)["student"].values()
        np.testing.assert_allclose(term, np.full(6, np.mean((draw[0] - draw[1]) ** 2)), rtol=1e-5)
    wider = tiny.network("wider", channels=6)
    for own, source, message in (
        ("conv", teacher, r"^networks: student has no tap of layer 'conv'; it has features, logits; see network_from"),
        ("features", wider, r"^networks: feature_distillation compares features of student, .* must be of one shape$"),
    ):
        loss = keras.distillation.FeatureDistillation("mse", teacher_layer_name="features", student_layer_name=own)
        with pytest.raises(ValueError, match=message):
            Distillation(student, source, [loss])


class Sums(keras.distillation.DistillationLoss):
    """A loss of somebody's own."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return tf.reduce_mean(tf.square(tf.reduce_sum(student_outputs - teacher_outputs, axis=-1)))


def test_every_list_of_transfers_takes_them_and_one_of_ones_own(tiny):
    peers = [tiny.network(name, seed=k) for k, name in enumerate(("one", "other"))]
    for distiller in (Mutual(peers, [Sums(), KD()]), Supervised(peers)):
        if isinstance(distiller, Supervised):
            add_transfers(distiller, [Sums(), KD()])
        assert [list(one.terms) for one in distiller.phase.updates()] == [["cross_entropy", "sums", "kd"]] * 2
    with pytest.raises(ValueError, match=r"^loss: must be a keras.distillation.DistillationLoss, not 'mse'$"):
        KerasLoss("mse")


def plain(name, width, seed):
    draw = keras.initializers.GlorotUniform(seed=seed)
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(width, "relu", kernel_initializer=draw), keras.layers.Dense(3)],
        name=name,
    )


@pytest.mark.parametrize("transfer", [KD(temperature=2.0, weight=0.5), KDLimit(), MSE(reduction="sum"), DIST()])
def test_ours_train_keras_distiller_and_are_written_with_it(transfer, logits):
    loss = TransferLoss(transfer)
    weight = transfer.whole_weight()
    term = transfer.terms({}, {"logits": logits[0]}, {"logits": logits[1]}, None)[transfer.name]
    expected = weight * np.mean(term)
    np.testing.assert_allclose(loss.compute_loss(logits[1], logits[0]), expected, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert vars(again.transfer).keys() == vars(transfer).keys()
    np.testing.assert_array_equal(again.compute_loss(logits[1], logits[0]), loss.compute_loss(logits[1], logits[0]))
    if isinstance(transfer, KD):
        student, teacher = plain("student", 4, 1), plain("teacher", 8, 2)
        distiller = keras.distillation.Distiller(teacher, student, [loss], student_loss_weight=0.0)
        distiller.compile(
            optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", run_eagerly=True
        )
        inputs = np.random.default_rng(0).normal(size=(32, 5)).astype("float32")
        losses = distiller.fit(inputs, np.zeros(32), epochs=12, batch_size=32, verbose=0).history["distillation_loss"]
        assert losses[-1] < 0.8 * losses[0]


class Mine(LogitTransfer):
    """A transfer that is in no dict."""

    def loss(self, batch, source, learner):
        return tf.reduce_mean(tf.abs(source - learner), axis=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransferLoss(MapDistance()), "transfer: must be one that compares logits, such as KD(), not "),
        (lambda: TransferLoss(DKD()), "transfer: dkd reads the labels, which keras.distillation does not pass on"),
        (
            lambda: TransferLoss(KD(weight=lambda e: e)),
            "transfer: kd reads the epoch, which keras.distillation",
        ),
        (lambda: TransferLoss(Mine("mine", 1.0, False)).get_config(), "transfer: Mine is none of kd, kd_limit, mse, "),
    ],
)
def test_what_keras_cannot_have_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
