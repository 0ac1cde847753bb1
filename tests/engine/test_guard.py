"""Losses and weights that are no numbers: told in one line, never saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.methods import DML
from tfdistill.optimizers import OptimizerSettings


def network(name, seed):
    """What oneDNN's ReLU hides: NaN before it is 0 behind it."""
    images = keras.Input((4, 4, 1), name="images")
    draw = keras.initializers.HeNormal(seed)
    x = keras.layers.Conv2D(3, 3, use_bias=False, kernel_initializer=draw, name="stem")(images)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    return keras.Model(images, {"logits": keras.layers.Dense(3, kernel_initializer=draw, name="logits")(x)}, name=name)


def batches(count, broken_at=None):
    draw = np.random.default_rng(1)
    images = draw.normal(size=(count, 4, 4, 4, 1)).astype("float32")
    if broken_at is not None:
        images[broken_at] = np.nan
    return tf.data.Dataset.from_tensor_slices((images, draw.integers(0, 3, (count, 4)).astype("int32")))


@pytest.fixture(scope="module")
def distiller():
    made = DML([network("one", 1), network("two", 2)], update="joint")
    made.compile({"networks": OptimizerSettings(learning_rate=0.1)}, xla="off")
    made.fit(batches(1), shuffle=False, verbose=0)
    return made


@pytest.fixture
def sound(distiller):
    """The distiller, whose state is put back afterwards."""
    state = distiller.state()
    before = {name: variable.numpy() for name, variable in state.items()}
    yield distiller
    for name, variable in state.items():
        variable.assign(before[name])
    distiller.guard.begin()


def spoil(variable, value=np.nan):
    array = variable.numpy()
    array.flat[-1] = value
    variable.assign(array)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_are_looked_at_before_the_first_step_and_before_scores(sound, value):
    spoil(sound.networks[1].get_layer("stem").kernel, value)
    step = sound.steps_trained
    for refused in (sound.fit, sound.evaluate):
        line = rf"^network two: variable stem/kernel is not finite at step {step}$"
        with pytest.raises(FloatingPointError, match=line):
            refused(batches(1), verbose=0)
    assert sound.steps_trained == step


def test_nothing_that_is_not_finite_is_saved(sound):
    assert sound.snapshot()
    spoil(sound.networks[0].get_layer("logits").bias)
    line = r"^network one: variable logits/bias is not finite .*: it is not saved$"
    with pytest.raises(FloatingPointError, match=line):
        sound.snapshot()


def test_the_state_of_optimizers_and_helpers_is_looked_at_too(sound):
    momentum = sound.update_optimizers["two"].buffers[0]
    spoil(momentum)
    with pytest.raises(FloatingPointError, match=r"^optimizer two: variable \S+ is not finite"):
        sound.snapshot()
    with pytest.raises(FloatingPointError, match=r"^optimizer two: variable \S+ is not finite"):
        sound.fit(batches(1), verbose=0)


def test_a_weight_that_is_lost_on_the_way_ends_the_epoch(sound):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            spoil(self.model.networks[0].get_layer("stem").kernel)

    with pytest.raises(FloatingPointError, match=r"^network one: variable stem/kernel .* the end of epoch 1$"):
        sound.fit(batches(1), shuffle=False, verbose=0, callbacks=[Spoil()])


def test_a_loss_that_is_lost_names_term_network_step_and_epoch(sound):
    step = sound.steps_trained
    # Looked at after 1, 2, 4, 8 steps: the step that it happened at is named all the same.
    line = rf"^(one|two)/(cross_entropy|mutual) is not finite at step {step + 6}, in epoch 1: the run diverged and was"
    with pytest.raises(FloatingPointError, match=line) as caught:
        sound.fit(batches(20, broken_at=5), shuffle=False, verbose=0)
    assert "\n" not in str(caught.value) and sound.steps_trained == step + 8


def test_a_save_looks_at_the_losses_first(sound):
    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.snapshot()

    step = sound.steps_trained
    with pytest.raises(FloatingPointError, match=rf"is not finite at step {step + 3}, in epoch 1"):
        sound.fit(batches(4, broken_at=2), shuffle=False, verbose=0, callbacks=[Save()])


def test_scores_of_images_that_are_no_numbers_are_warned_of(sound):
    line = rf"^evaluation: \w+/\w+( and \d more)? is not finite at step {sound.steps_trained}, though every weight is"
    with pytest.warns(UserWarning, match=line):
        scores = sound.evaluate(batches(2, broken_at=1), verbose=0, return_dict=True)
    assert not all(np.isfinite(list(scores.values())))
    with pytest.warns(UserWarning, match=r"^evaluation: .* and \d more is not finite"):
        sound.guard.tell_of_scores({"one/accuracy": 0.5, "one/cross_entropy": np.nan, "two/cross_entropy": np.inf})
