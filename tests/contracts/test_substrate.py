"""What TensorFlow and Keras really do where tfdistill relies on it: an upgrade that changes it shows here."""

import re
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"


@pytest.mark.parametrize("package", ["tensorflow", "keras", "numpy"])
def test_versions_are_the_locked_ones(package):
    """The other contracts, and every published number, were measured with the locked versions."""
    (locked,) = re.findall(rf"^{package}==(\S+)$", LOCK.read_text(), re.MULTILINE)
    running = metadata.version(package)
    if running != locked:
        pytest.skip(f"{package} {running} runs here, requirements.lock has {locked}")
    assert running == locked


def one_step(optimizer, gradient=0.0):
    variable = keras.Variable([2.0])
    optimizer.build([variable])
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([gradient]), variable)])
    return float(variable.numpy()[0])


def test_weight_decay_of_keras_is_decoupled():
    """Why `optimizers.py` has a decay of its own: Keras' never enters the momentum, and is ten times weaker.

    Should Keras couple it one day, ours can go.
    """
    kept = one_step(keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5))
    assert kept == pytest.approx(2.0 * 0.95**2)
    coupled_first = 2.0 - 0.1 * 0.5 * 2.0
    coupled = coupled_first - 0.1 * (0.5 * coupled_first + 0.9 * 0.5 * 2.0)
    assert abs(kept - coupled) > 0.05


def test_momentum_of_keras_holds_the_learning_rate():
    """Why `optimizers.SGD` keeps its own buffer: after a drop of the rate, Keras goes on at the old one."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])
    # The second step's rate is 0: PyTorch would stand still, Keras adds 0.9 times the first step.
    assert one_step(keras.optimizers.SGD(schedule, momentum=0.9), gradient=1.0) == pytest.approx(2.0 - 1.0 - 0.9)


def test_optimizers_give_slots_the_names_of_layers():
    """`Distiller.state` keeps only the last word of a slot's name; it needs the rest to be the layer's path."""
    dense = keras.layers.Dense(1, name="some_layer")
    dense.build((None, 2))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([dense.kernel])
    assert [variable.name for variable in optimizer.variables] == [
        "iteration",
        "learning_rate",
        "some_layer_kernel_momentum",
    ]


def test_building_an_optimizer_twice_keeps_the_first_variables():
    """Why the engine refuses one optimizer for two updates: the second's variables would be unknown to it."""
    first, second = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build([first])
    with pytest.raises((KeyError, ValueError)):
        optimizer.build([second])
        optimizer.apply_gradients([(tf.constant([1.0]), second)])


def ops_of(layer, images):
    function = tf.function(lambda x: layer(x, training=True), autograph=False)
    return {operation.type for operation in function.get_concrete_function(images).graph.get_operations()}


def test_batch_normalization_of_keras_is_not_fused_and_has_other_constants():
    """Why `networks.layers.BatchNormalization` exists: speed, PyTorch's constants, the unbiased running variance."""
    layer = keras.layers.BatchNormalization()
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 2, 2, 1)).astype("float32"))
    assert not [name for name in ops_of(layer, images) if "FusedBatchNorm" in name]
    assert (layer.momentum, layer.epsilon) == (0.99, 1e-3)
    quick = keras.layers.BatchNormalization(momentum=0.0)
    quick(images, training=True)
    np.testing.assert_allclose(quick.moving_variance.numpy(), [images.numpy().var()], rtol=1e-5)


def test_same_padding_with_a_stride_is_not_symmetric():
    """Why strided convolutions pad by hand: TensorFlow pads an even size at the end only, PyTorch on both sides."""
    images = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    kernel = tf.scatter_nd([[1, 1, 0, 0]], [1.0], (3, 3, 1, 1))
    same = tf.nn.conv2d(images, kernel, 2, "SAME")
    np.testing.assert_array_equal(tf.reshape(same, -1), [5, 7, 13, 15])
    padded = tf.nn.conv2d(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), kernel, 2, "VALID")
    np.testing.assert_array_equal(tf.reshape(padded, -1), [0, 2, 8, 10])


def test_kl_divergence_of_keras_clips():
    """Why the losses start from `log_softmax`: Keras' takes no probability below 1e-7, and has no gradient there."""
    certain = tf.constant([[1.0, 0.0]])
    almost = tf.nn.softmax(tf.constant([[0.0, 50.0]]))
    assert float(keras.losses.KLDivergence()(certain, almost)) == pytest.approx(-np.log(1e-7), rel=1e-3)
    assert -float(tf.nn.log_softmax([[0.0, 50.0]])[0, 0]) == pytest.approx(50.0)


def test_fit_reports_the_metrics_where_the_logs_have_their_names():
    """Why the engine's trackers are called otherwise than its logs: `fit` would read the trackers of all replicas."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.tracker = keras.metrics.Mean(name="loss")
            self.built = True

        def train_step(self, data):
            self.tracker.update_state(3.0)
            return {"loss": tf.constant(7.0)}

    model = Model()
    model.compile(optimizer=None)
    assert model.fit(np.zeros((2, 1)), verbose=0).history["loss"] == [3.0]


def test_an_unwatching_tape_gives_gradients_for_what_it_watches_only():
    """An update's tape watches what the update owns: it records no more, and answers for nothing else."""
    own, other = keras.Variable(2.0), keras.Variable(3.0)
    with tf.GradientTape(watch_accessed_variables=False) as outer, tf.GradientTape(persistent=True) as plain:
        outer.watch([own.value])
        product = own * other
    assert float(plain.gradient(product, other.value)) == 2.0
    gradients = outer.gradient(product, [own.value, other.value])
    assert float(gradients[0]) == 3.0 and gradients[1] is None


def test_tapes_side_by_side_watch_variables_changed_inside():
    """A BatchNorm assigns its statistics while every tape of a round is open; gradients must not mind."""
    own, statistic = keras.Variable(2.0), keras.Variable(1.0, trainable=False)
    with (
        tf.GradientTape(watch_accessed_variables=False) as first,
        tf.GradientTape(watch_accessed_variables=False) as second,
    ):
        first.watch([own.value])
        second.watch([own.value])
        square = own * own
        statistic.assign(statistic + square)
        triple = square * own
    assert float(first.gradient(square, [own.value])[0]) == 4.0
    assert float(second.gradient(triple, [own.value])[0]) == 12.0


@pytest.mark.parametrize("xla", [False, True])
def test_philox_integers_are_the_same_with_and_without_xla(xla):
    """Dropout masks and augmentation draw integers by Philox: floats of the same bits differ under XLA."""

    def draw():
        return tf.random.stateless_uniform((5,), (1, 2), None, None, dtype=tf.int32, alg="philox")

    expected = [1_105_988_140, 1_738_052_849, -335_576_002, 370_444_179, 10_670_227]
    found = tf.function(draw, jit_compile=xla)().numpy()
    np.testing.assert_array_equal(found, expected)


def test_a_loop_without_autograph_leaves_errors_as_they_are():
    """Why the training loop is a `tf.while_loop`: AutoGraph turns one line into a page, and a KeyError into another."""

    def fail(step):
        raise ValueError("one line")

    @tf.function(autograph=False)
    def loop():
        return tf.while_loop(lambda step: step < 2, fail, [tf.constant(0)])

    with pytest.raises(ValueError, match=r"^one line$"):
        loop()


def test_clone_and_set_weights_makes_an_equal_and_separate_network():
    """Functional networks with dicts of taps can be copied: comparisons of methods start from equal weights."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, {"logits": keras.layers.Dense(2, name="logits")(inputs)}, name="network")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    x = tf.ones((1, 2))
    np.testing.assert_array_equal(copy(x)["logits"], model(x)["logits"])
    copy.trainable_variables[0].assign_add(tf.ones((2, 2)))
    assert np.abs(copy(x)["logits"] - model(x)["logits"]).min() > 1
