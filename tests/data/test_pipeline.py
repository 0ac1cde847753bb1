"""Batches are functions of (seed, step), epochs are permutations, evaluation counts every example once."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data import (
    NORMALIZATIONS,
    Augmentation,
    Normalization,
    Split,
    evaluation_batches,
    load,
    training_batches,
)
from tfdistill.data.transforms.usual import pad_crop_flip

AUGMENTATION = Augmentation(pad=2, mode="reflect", flip=True)
NONE = NORMALIZATIONS["none"]


def split_of(examples: int) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (examples, 8, 8, 3), dtype=np.uint8)
    return Split.in_memory(images, np.arange(examples) % 7)


def batches(split: Split, **changes) -> tf.data.Dataset:
    settings = {"batch_size": 16, "seed": 5, "augmentation": AUGMENTATION, "normalization": NONE}
    return training_batches(split, **{**settings, **changes})


def arrays(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_equal(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_static_shapes_and_types():
    spec = batches(split_of(50)).element_spec
    assert spec == {
        "images": tf.TensorSpec([16, 8, 8, 3], tf.float32),
        "labels": tf.TensorSpec([16], tf.int32),
        "index": tf.TensorSpec([16], tf.int64),
    }


def test_starting_late_equals_skipping():
    split = split_of(50)
    whole = arrays(batches(split), 12)
    for first_step in (1, 3, 7):
        assert_equal(arrays(batches(split, first_step=first_step), 5), whole[first_step : first_step + 5])
    assert_equal(arrays(batches(split, first_step=2, steps=4), 100), whole[2:6])


def test_cardinality():
    assert batches(split_of(50)).cardinality() == tf.data.INFINITE_CARDINALITY
    assert batches(split_of(50), first_step=9, steps=4).cardinality() == 4


def test_an_epoch_takes_no_example_twice_and_epochs_differ():
    split = split_of(50)
    order = np.array([batch["index"] for batch in arrays(batches(split), 12)]).reshape(4, 48)
    assert all(len(set(epoch)) == 48 for epoch in order.tolist())
    assert len({tuple(epoch) for epoch in order.tolist()}) == 4


def test_epochs_are_uncorrelated():
    # With the shuffle's default of 4 rounds, successive epochs of 50,000 examples correlate with r = 0.75.
    size = 50_000
    split = Split.in_memory(np.zeros((size, 1, 1, 1), np.uint8), np.zeros(size, np.int32))
    stream = batches(split, batch_size=size, augmentation=None)
    first, second, third = (batch["index"] for batch in arrays(stream, 3))
    other_seed = arrays(batches(split, batch_size=size, augmentation=None, seed=6), 1)[0]["index"]
    for left, right in [(first, second), (second, third), (first, other_seed), (first[1:], first[:-1])]:
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / np.sqrt(size)


@pytest.mark.parametrize("seed", [6, 5 + 2**32])
def test_another_seed_gives_another_order_and_other_crops(seed):
    split = split_of(48)
    ours, theirs = arrays(batches(split), 3), arrays(batches(split, seed=seed), 3)
    assert np.concatenate([b["index"] for b in ours]).tolist() != np.concatenate([b["index"] for b in theirs]).tolist()
    single = split.take(np.zeros(16, int))
    assert not np.array_equal(
        arrays(batches(single), 1)[0]["images"], arrays(batches(single, seed=seed), 1)[0]["images"]
    )


def test_a_batch_holds_the_augmented_normalised_images_of_its_index():
    split = split_of(50)
    normalization = NORMALIZATIONS["c100"]
    for step, batch in enumerate(arrays(batches(split, normalization=normalization), 4)):
        np.testing.assert_array_equal(batch["labels"], split.labels[batch["index"]])
        crops = pad_crop_flip(split.images[batch["index"]], [5, step], 2, "reflect", True).numpy()
        expected = (crops / 255 - normalization.mean) / np.array(normalization.std)
        np.testing.assert_allclose(batch["images"], expected, atol=1e-6, rtol=1e-6)


def test_without_augmentation_images_are_untouched():
    split = split_of(50)
    batch = arrays(batches(split, augmentation=None), 1)[0]
    np.testing.assert_allclose(batch["images"], split.images[batch["index"]] / 255, atol=1e-6)


def test_index_is_that_of_the_original_split():
    split = split_of(50)
    part = split.take(np.arange(20, 44))
    for batch in arrays(batches(part, augmentation=None), 3):
        assert set(batch["index"]) <= set(range(20, 44))
        np.testing.assert_allclose(batch["images"], split.images[batch["index"]] / 255, atol=1e-6)


@pytest.mark.parametrize(("examples", "batch_size"), [(50, 16), (48, 16), (5, 16), (1, 1)])
def test_evaluation_counts_every_example_once(examples, batch_size):
    split = split_of(examples)
    dataset = evaluation_batches(split, batch_size=batch_size, normalization=NONE)
    found = list(dataset.as_numpy_iterator())
    assert dataset.cardinality() == len(found) == -(-examples // batch_size)
    assert {batch["images"].shape for batch in found} == {(batch_size, 8, 8, 3)}
    weight = np.concatenate([batch["weight"] for batch in found])
    index = np.concatenate([batch["index"] for batch in found])
    assert weight.dtype == np.float32
    assert weight.tolist() == [1.0] * examples + [0.0] * (len(weight) - examples)
    assert index[weight == 1].tolist() == list(range(examples))
    images = np.concatenate([batch["images"] for batch in found])[weight == 1]
    np.testing.assert_allclose(images, split.images / 255, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([batch["labels"] for batch in found])[weight == 1], split.labels)


def test_the_graph_holds_no_images():
    split = Split.in_memory(np.zeros((2000, 32, 32, 3), np.uint8), np.zeros(2000, np.int32))
    for dataset in (batches(split), evaluation_batches(split, batch_size=16, normalization=NONE)):
        mapped = dataset._input_dataset._input_dataset
        definition = mapped._map_func.function.graph.as_graph_def()
        assert definition.ByteSize() < 200_000 < split.images.nbytes


def test_digits_end_to_end():
    digits = load("digits")
    stream = batches(
        digits.train, batch_size=1437, augmentation=digits.augmentation, normalization=digits.normalization
    )
    batch = arrays(stream, 1)[0]
    assert sorted(batch["index"]) == list(range(1437))
    still = evaluation_batches(digits.train, batch_size=1437, normalization=digits.normalization)
    pixels = arrays(still, 1)[0]["images"]
    assert (pixels.mean(), pixels.std()) == pytest.approx((0, 1), abs=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: batches(s, batch_size=51), "batch_size must be at most the 50 training examples, got 51"),
        (lambda s: batches(s, batch_size=0), "batch_size must be 1 or more, got 0"),
        (lambda s: batches(s, seed=-1), "seed must be in"),
        (lambda s: batches(s, seed=2**63), "seed must be in"),
        (lambda s: batches(s, first_step=-1), "first_step must be 0 or more"),
        (lambda s: batches(s, steps=0), "steps 1 or more"),
        (
            lambda s: batches(s, normalization=Normalization((0.1, 0.2), (1, 1))),
            "for 2 channels",
        ),
        (
            lambda s: batches(s, augmentation=Augmentation(8, "reflect", True)),
            "pad must be below the image's 8x8",
        ),
        (
            lambda s: evaluation_batches(s, batch_size=0, normalization=NONE),
            "batch_size must be 1 or more, got 0",
        ),
        (
            lambda s: evaluation_batches(s.take(np.array([], int)), batch_size=2, normalization=NONE),
            "split has no examples",
        ),
    ],
)
def test_arguments_out_of_range_are_named_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(split_of(50))
    assert "\n" not in str(caught.value)


TWO_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfdistill import data
digits = data.load("digits")
settings = {"normalization": digits.normalization}
test = data.evaluation_batches(digits.test, batch_size=100, **settings)
settings["augmentation"] = digits.augmentation
train = data.training_batches(digits.train, batch_size=64, seed=3, steps=4, **settings)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for dataset, half, count in ((train, 32, 4), (test, 50, 4)):
    distributed = strategy.experimental_distribute_dataset(dataset)
    seen = 0
    for whole, parts in zip(dataset, distributed, strict=True):
        seen += 1
        for key in whole:
            replicas = strategy.experimental_local_results(parts[key])
            assert [len(part) for part in replicas] == [half, half], key
            assert all(part.shape[0] == half for part in replicas)
            joined = np.concatenate([part.numpy() for part in replicas])
            np.testing.assert_array_equal(joined, whole[key].numpy())
    assert seen == count
    assert distributed.element_spec["images"]._value_specs[0].shape[0] == half
print("halves are the whole")
"""


def test_two_replicas_share_each_global_batch():
    done = subprocess.run([sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, check=False)
    assert "halves are the whole" in done.stdout, done.stderr[-3000:]
