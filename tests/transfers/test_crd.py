"""CRD: its loss, its memories against the authors' numbers, its draws, five steps, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import losses
from tfdistill.engine.term_checks import check_terms
from tfdistill.helpers.memory_bank import MemoryBank
from tfdistill.methods import Distillation
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.optimizers import OptimizerSettings
from tfdistill.transfers import CRD
from tfdistill.transfers.crd import contrast

UNITS, NEGATIVES, EXAMPLES = 8, 6, 20


def bank_of(classes, negatives=NEGATIVES):
    return MemoryBank(
        np.asarray(classes),
        UNITS,
        negatives=negatives,
        temperature=0.07,
        momentum=0.5,
        seed=3,
        seeds=LayerSeeds(5),
        name="bank",
    )


def formula(positives, negatives, counts, noise):
    """Of logarithms of odds against noise."""
    own, others = (noise * np.exp(one) for one in (positives, negatives))
    return -np.log(own / (own + noise + 1e-7)) - (counts * np.log(noise / (others + noise + 1e-7))).sum(1)


def test_the_loss_and_its_slope_are_the_formulas():
    draw, noise = np.random.default_rng(1), 3e-4
    sides = [draw.uniform(-5, 5, 4), draw.uniform(-5, 5, (4, 7))]
    counts = draw.integers(0, 4, (4, 7))
    given = [tf.constant(one, tf.float32) for one in sides]
    drawn = tf.constant(counts, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = losses.noise_contrastive_loss(*given, drawn, noise)
    np.testing.assert_allclose(value, formula(*sides, counts, noise), rtol=1e-5)
    for place, slope in enumerate(tape.gradient(value, given)):
        for at in np.ndindex(sides[place].shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [one.copy() for one in sides]
                moved[place][at] += step
                ends.append(formula(*moved, counts, noise).sum())
            np.testing.assert_allclose(slope[at], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-5)
    for wrong, message in (
        ((given[0], given[0], drawn), r"^negatives must be \[batch, K\]"),
        ((given[0], given[1], drawn[:, 1:]), "^negatives and counts must have the same shape"),
    ):
        with pytest.raises(ValueError, match=message):
            losses.noise_contrastive_loss(*wrong, noise)


def test_counts_are_how_often_each_row_was_drawn():
    drawn = tf.constant([[1, 1, 4], [0, 5, 1]], tf.int32)
    bank = bank_of(np.arange(5), negatives=3)
    expected = [[0, 2, 0, 0, 1, 0], [1, 1, 0, 0, 0, 1]]
    assert bank.counts(drawn).numpy().tolist() == expected
    unknown = tf.function(bank.counts, input_signature=[tf.TensorSpec([None, 3], tf.int32)])
    assert unknown(drawn).numpy().tolist() == expected


def test_two_steps_are_those_of_the_authors_code(monkeypatch):
    """A transcription of RepDistiller's crd/memory.py and crd/criterion.py, run in float64 with PyTorch."""
    bank, draw = bank_of(np.arange(EXAMPLES)), np.random.default_rng(80)
    for side in bank.banks.values():
        side.assign(np.concatenate([draw.uniform(-0.6, 0.6, (EXAMPLES, UNITS)), np.zeros((1, UNITS))]))
    features = [np.random.default_rng(81 + k).normal(size=(2, 4, UNITS)) for k in range(2)]
    negatives = np.random.default_rng(83).integers(0, EXAMPLES, (2, 4, NEGATIVES))
    expected = [
        (16.597744460369327, 3.764224228011407, 2.4857438133094387),
        (14.299485938268166, 2.353585787671124, 2.742468498374871),
    ]
    for step, (index, (loss, *slopes)) in enumerate(zip([[3, 7, 0, 19], [7, 1, 3, 2]], expected, strict=True)):
        monkeypatch.setattr(bank, "drawn", lambda rows, index, step=step: tf.constant(negatives[step], tf.int32))
        given = [tf.constant(one[step], tf.float32) for one in features]
        with tf.GradientTape() as tape:
            tape.watch(given)
            sides = [tf.math.l2_normalize(one, axis=1) for one in given]
            value = tf.reduce_mean(contrast(bank, *sides, tf.constant(index, tf.int64)))
        np.testing.assert_allclose(value, loss, rtol=1e-5)
        np.testing.assert_allclose([np.linalg.norm(one) for one in tape.gradient(value, given)], slopes, rtol=1e-5)
        np.testing.assert_allclose(bank.normalizers, [6167.300341893414, 16188.862465066195], rtol=1e-5)
    sums = [np.abs(side.numpy()[:-1]).sum() for side in bank.banks.values()]
    np.testing.assert_allclose(sums, [47.89258212740608, 46.56015325091459], rtol=1e-5)
    assert float(bank.draws) == 2


def with_embedding(network):
    embedding = keras.layers.GlobalAveragePooling2D()(network.output["features"])
    return keras.Model(network.input, {**network.output, "embedding": embedding}, name=network.name)


def remembered(memory, place, embedding, share):
    """What a memory has of an example after a step: `share` of what it had, and the length 1."""
    moved = share * memory[place] + (1 - share) * embedding
    return moved / np.linalg.norm(moved)


def test_five_steps(tiny, five_steps):
    """Both linear layers, both memories and both normalizers too; place 3 is of no training example."""
    share, heat, weight = 0.3, 0.4, 0.7
    classes, index = np.array([0, 1, 2, -1, 1, 0, 2, 2, 0]), np.array([4, 0, 7, 2, 5, 8])
    student = with_embedding(tiny.network("student", seed=1))
    teacher = with_embedding(tiny.network("teacher", channels=6, seed=2))
    settings = {"negatives": NEGATIVES, "units": UNITS, "momentum": share, "temperature": heat, "weight": weight}
    distiller = Distillation(student, teacher, [CRD(examples=classes, **settings)])
    batch = {**tiny.batch(), "index": tf.constant(index, tf.int64)}
    taught = tf.cast(teacher(batch["images"], training=False)["embedding"], tf.float64)
    bank = distiller.helpers["student_from_teacher_crd_bank"]
    places, count = np.flatnonzero(classes >= 0), int((classes >= 0).sum())
    memories = {side: np.zeros((len(classes), UNITS)) for side in bank.banks}
    for side, memory in memories.items():
        memory[places] = bank.banks[side].numpy()[:-1]
    negatives = []  # the draws of the five steps, which the transcription takes as they are
    for draw in range(5):
        bank.draws.assign(draw)
        negatives.append(places[bank.drawn(bank.rows(batch["index"])[0], batch["index"])])
    bank.draws.assign(0)
    names = [f"student_from_teacher_crd_embedding_of_{side}" for side in ("learner", "source")]
    normalizers, noise, steps = {}, NEGATIVES / count, iter(negatives)

    def terms(features, copies):
        drawn, total, embedded = next(steps), 0.0, {}
        for side, name, taps in zip(memories, names, (tf.reduce_mean(features, (1, 2)), taught), strict=True):
            embedding = taps @ copies[name]["linear/kernel"] + copies[name]["linear/bias"]
            embedded[side] = embedding / tf.norm(embedding, axis=1, keepdims=True)
        for side, other in (("learner", "source"), ("source", "learner")):
            compared = memories[other][np.concatenate([index[:, None], drawn], axis=1)]
            likely = tf.exp(tf.einsum("bu,bku->bk", embedded[side], compared) / heat)
            likely /= normalizers.setdefault(side, float(tf.reduce_mean(likely)) * count)
            own = tf.math.log(likely[:, 0] / (likely[:, 0] + noise + 1e-7))
            others = tf.reduce_sum(tf.math.log(noise / (likely[:, 1:] + noise + 1e-7)), axis=1)
            total -= tf.reduce_mean(own + others)
        for side, memory in memories.items():
            for place, embedding in zip(index, embedded[side].numpy(), strict=True):
                memory[place] = remembered(memory, place, embedding, share)
        return {"crd": total}

    five_steps(distiller, {"crd": weight}, names, terms, batch)
    for side, memory in memories.items():
        np.testing.assert_allclose(bank.banks[side].numpy()[:-1], memory[places], atol=1e-4, err_msg=side)
    np.testing.assert_allclose(bank.normalizers, list(normalizers.values()), rtol=1e-4)


def test_negatives_are_of_other_classes_each_as_likely_and_drawn_anew_every_time():
    classes = np.array([0, 1, -1, 1, 2, 0, 2, 2, -1, 5])
    bank = bank_of(classes, negatives=4_000)
    of_row, index = classes[classes >= 0], tf.constant([0, 3, 9], tf.int64)
    rows, known = bank.rows(index)
    assert rows.numpy().tolist() == [0, 2, 7] and known.numpy().all() and bank.examples == 8
    first = bank.drawn(rows, index).numpy()
    for row, negatives in zip(rows.numpy(), first, strict=True):
        others = np.flatnonzero(of_row != of_row[row])
        counts = np.bincount(negatives, minlength=8)
        assert set(np.flatnonzero(counts)) == set(others)
        assert np.abs(counts[others] / 4_000 - 1 / len(others)).max() < 0.03
    assert np.array_equal(first, bank.drawn(rows, index))
    bank.draws.assign(1.0)
    assert (first != bank.drawn(rows, index).numpy()).mean() > 0.5


def test_of_an_example_that_comes_twice_the_last_one_is_remembered_and_none_that_is_not_known():
    bank = bank_of([0, 1, 0])
    before = [side.numpy() for side in bank.banks.values()]
    embeddings = tf.linalg.normalize(tf.constant(np.random.default_rng(2).normal(size=(4, UNITS)), tf.float32), axis=1)
    labelled = tf.constant([1.0, 1.0, 1.0, 0.0])
    value = contrast(bank, embeddings[0], embeddings[0], tf.constant([2, 2, 9, 1], tf.int64), labelled)
    assert np.isnan(value).tolist() == [False, False, True, False]
    for side, old in zip(bank.banks.values(), before, strict=True):
        moved = (old[2] + embeddings[0][1].numpy()) / 2
        np.testing.assert_allclose(side[2], moved / np.linalg.norm(moved), rtol=1e-5)
        assert np.array_equal(side.numpy()[:2], old[:2])


def made(tiny_network, **arguments):
    one, other = tiny_network("one", seed=1, channels=8), tiny_network("other", seed=20, channels=6)
    return Distillation(one, other, [CRD(negatives=5, units=4, **arguments)])


def batch():
    draw = np.random.default_rng(5)
    images = draw.standard_normal((8, 8, 8, 3)).astype("float32")
    return {"images": images, "labels": np.arange(8, dtype="int32") % 4, "index": np.arange(8)}


def test_what_it_cannot_do_is_said_in_one_line(tiny_network):
    for given, message in (
        ({}, "examples: crd remembers every training example; say the class of each"),
        ({"examples": [1, 1, -1]}, "examples: negatives are examples of other classes, and all of these are of one"),
        ({"examples": [1.0, 2.0]}, "examples: must be the classes of the training examples, integers [N]"),
    ):
        with pytest.raises(ValueError) as error:
            made(tiny_network, **given)
        assert str(error.value) == message
    without = {name: value for name, value in batch().items() if name != "index"}
    with pytest.raises(ValueError, match=r"^data: crd remembers every example by its place; batches must be dicts"):
        check_terms(made(tiny_network, examples=[0, 1]), [without])


def test_two_replicas_under_xla_remember_what_each_has_seen(tiny_network, two_replicas):
    with two_replicas.scope():
        distiller = made(tiny_network, examples=np.arange(8) % 4)
        distiller.compile({"networks": OptimizerSettings(learning_rate=0.1)}, xla="on")
        distiller.prepare(steps_per_epoch=1, epochs=1)
    before = distiller.snapshot()
    logs = distiller.fit(tf.data.Dataset.from_tensors(batch()), verbose=0, shuffle=False).history
    after = distiller.snapshot()
    assert np.isfinite(logs["one/crd"][0])
    banks = [name for name in after if name.endswith(("/learner", "/source"))]
    assert len(banks) == 2 * 3  # the mean, and each replica's
    for name in banks:
        if name.startswith("replicas/"):
            moved = np.flatnonzero((before[name] != after[name]).any(1))
            assert moved.tolist() == ([0, 1, 2, 3] if "/0000/helpers" in name else [4, 5, 6, 7])
