"""Classes of unequal size: each as often as any other, or each with the same share of the loss."""

import itertools

import numpy as np
import pytest

from tfdistill.data import NORMALIZATIONS, Augmentation, Mixing, Split, class_weights, training_batches

COUNTS = (40, 7, 3)
LABELS = np.repeat(range(3), COUNTS)


def stream(*, labels=LABELS, batch_size=8, **changes):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 1), dtype=np.uint8)
    settings = {"seed": 5, "augmentation": None, "normalization": NORMALIZATIONS["none"], "classes": 4, **changes}
    batches = training_batches(Split.in_memory(images, labels), batch_size=batch_size, **settings)
    return list(batches.as_numpy_iterator())


def test_every_class_is_drawn_as_often_and_its_examples_in_turn():
    batches = stream(balance="sampling", steps=60)
    index = np.concatenate([batch["index"] for batch in batches])
    labels = np.concatenate([batch["labels"] for batch in batches])
    assert (labels == LABELS[index]).all()
    # Ten epochs of six steps, as many as without: the counts of classes differ by at most one.
    assert np.bincount(labels).tolist() == [160, 160, 160]
    for label, count in enumerate(COUNTS):
        drawn = np.bincount(index[labels == label], minlength=len(LABELS))[label == LABELS]
        assert drawn.sum() == 160 and np.ptp(drawn) <= 1, (label, count)
    epochs = index.reshape(10, 48)
    assert all(abs(np.bincount(LABELS[epoch]) - 16).max() <= 1 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10
    # Neither do the classes come in turn within a batch, nor an epoch's draws in the order of the one before.
    assert len({tuple(batch["labels"]) for batch in batches}) == 60
    shared = [np.isin(one[LABELS[one] == 0], other).mean() for one, other in itertools.pairwise(epochs)]
    assert max(shared) < 0.7


@pytest.mark.parametrize("balance", ["sampling", "loss"])
def test_a_batch_is_a_function_of_seed_and_step_also_in_parts(balance):
    settings = {"balance": balance, "augmentation": Augmentation(pad=1, mode="zero", flip=True)}
    whole = stream(**settings, steps=20)
    late = stream(**settings, first_step=13, steps=7)
    for one, other in zip(whole[13:], late, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    parts = [stream(**settings, steps=2, part=part, parts=2) for part in range(2)]
    for step in range(2):
        for name in whole[step]:
            np.testing.assert_array_equal(np.concatenate([part[step][name] for part in parts]), whole[step][name])
    assert any(
        (one["index"] != other["index"]).any()
        for one, other in zip(whole, stream(**settings, seed=6, steps=20), strict=True)
    )


def test_weights_even_out_the_classes_and_keep_the_size_of_the_loss():
    weights = class_weights(LABELS, 4)
    assert weights.dtype == np.float32 and weights[3] == 0
    np.testing.assert_allclose(weights[:3] * COUNTS, [50 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(weights[LABELS].mean(), 1, rtol=1e-6)
    plain, weighted = stream(steps=3), stream(steps=3, balance="loss")
    for one, other in zip(plain, weighted, strict=True):
        assert set(other) - set(one) == {"weight"}
        np.testing.assert_array_equal(one["images"], other["images"])
        np.testing.assert_array_equal(other["weight"], weights[other["labels"]])


def test_a_mixed_label_has_the_mean_of_its_classes_weights():
    (batch,) = stream(steps=1, balance="loss", mixing=Mixing(mixup_alpha=1.0))
    mixed = batch["labels"].max(axis=1) < 0.95
    assert mixed.any()
    np.testing.assert_allclose(batch["weight"], batch["labels"] @ class_weights(LABELS, 4), rtol=1e-5)


def test_one_class_and_a_gap_among_classes():
    labels = np.array([0] * 6 + [2] * 2)
    drawn = np.concatenate(
        [batch["labels"] for batch in stream(labels=labels, batch_size=4, balance="sampling", steps=6)]
    )
    assert np.bincount(drawn).tolist() == [12, 0, 12]
    assert stream(labels=np.zeros(9, int), batch_size=4, balance="sampling", steps=2)[1]["labels"].tolist() == [0] * 4


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r"^balance must be one of none, loss, sampling, got 'weights'$"):
        stream(balance="weights")
