"""Deterministic operations: what they refuse, nothing of ours does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as framework_config

from tfdistill import data
from tfdistill.devices import runtime
from tfdistill.methods import DML
from tfdistill.networks.layers import Dropout


@pytest.fixture
def deterministic():
    runtime.set_determinism(2**40 + 5)
    try:
        yield
    finally:
        framework_config.disable_op_determinism()


def test_they_are_on_and_what_draws_without_a_seed_has_the_runs(deterministic):
    assert framework_config.is_op_determinism_enabled()

    def drawn(seed):
        runtime.set_determinism(seed)
        return keras.random.normal((4,)).numpy(), tf.random.normal((4,)).numpy(), np.random.normal(size=4)

    for one, same, other in zip(drawn(5), drawn(5), drawn(6), strict=True):
        np.testing.assert_array_equal(one, same)
        assert np.abs(one - other).max() > 0


def test_input_of_every_kind_steps_and_scores_run_with_them(deterministic, tiny_network):
    draw = np.random.default_rng(3)
    split = data.Split.in_memory(draw.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8), np.arange(32) % 4)
    normalization = data.Normalization((0.5,) * 3, (0.2,) * 3)
    batches = data.training_batches(
        split,
        batch_size=8,
        seed=1,
        augmentation=data.Augmentation(1, "reflect", True),
        normalization=normalization,
        randaugment=data.RandAugment(2, 9),
        cutout=data.Cutout(4),
        mixing=data.Mixing(1.0, 1.0, 1.0),
        classes=4,
        steps=2,
    )

    tiny = tiny_network("tiny", seed=1)
    drawing = Dropout(0.5, seed=4)(tiny.output["embedding"])
    logits = keras.layers.Dense(4)(drawing)
    peers = [keras.Model(tiny.input, {"logits": logits}, name="drawing"), tiny_network("plain", seed=3)]
    distiller = DML(peers)
    distiller.compile(xla="off")
    logs = distiller.fit(batches, verbose=0, shuffle=False).history
    scores = distiller.evaluate(
        data.evaluation_batches(split, batch_size=12, normalization=normalization), verbose=0, return_dict=True
    )
    assert len(logs) > 4 and np.all(np.isfinite([*map(np.mean, logs.values()), *scores.values()]))
