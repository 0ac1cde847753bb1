"""Graphs are made in the first epoch, and never again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import data
from tfdistill.methods import DML
from tfdistill.runs import callbacks


@pytest.fixture
def functions(monkeypatch):
    """Every `tf.function` that is made during the test."""
    made, real = [], tf.function

    def recorded(*arguments, **settings):
        function = real(*arguments, **settings)
        if hasattr(function, "experimental_get_tracing_count"):
            made.append(function)
            return function
        return lambda python_function: made.append(function(python_function)) or made[-1]

    monkeypatch.setattr(tf, "function", recorded)
    return made


def network(name, seed):
    images = keras.Input((8, 8, 3), name="images")
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(images))
    draw = keras.initializers.HeNormal(seed=seed)
    return keras.Model(images, {"logits": keras.layers.Dense(4, kernel_initializer=draw)(x)}, name=name)


def digits(examples):
    draw = np.random.default_rng(examples)
    images = draw.integers(0, 256, (examples, 8, 8, 3), dtype=np.uint8)
    return data.Split.in_memory(images, np.arange(examples) % 4)


@pytest.mark.parametrize("xla", ["off", "on"])
def test_nothing_is_traced_after_the_first_epoch(functions, xla, tmp_path):
    normalization = data.Normalization((0.5,) * 3, (0.2,) * 3)
    # The last batch of an epoch is not whole, nor are the last steps of an execution, nor the last batch scored.
    train = data.training_batches(digits(44), batch_size=8, seed=1, augmentation=None, normalization=normalization)
    scored = data.evaluation_batches(digits(20), batch_size=16, normalization=normalization)
    distiller = DML([network("one", 1), network("two", 2)])
    distiller.compile(xla=xla, steps_per_execution=2)
    record = callbacks.Record(8, lambda rows: None)
    counts = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            counts.append(sum(function.experimental_get_tracing_count() for function in functions))

    watchers = [record, callbacks.Checkpoints(tmp_path, record, 0.0), Count()]
    settings = {"steps_per_epoch": 5, "validation_data": scored, "callbacks": watchers, "verbose": 0, "shuffle": False}
    distiller.fit(train, epochs=2, **settings)
    # As when a run goes on: another call of `fit`, other data of the same kind, and a score besides.
    distiller.evaluate(scored, verbose=0)
    distiller.fit(train.take(9), initial_epoch=2, epochs=3, **settings)
    assert distiller.steps_trained == 15
    assert counts[0] >= 4
    assert counts == [counts[0]] * 3
