import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks.adapters import network_from


def _model(input_name="pixels", activation=None, **dense):
    images = keras.Input((8, 8, 3), name=input_name)
    x = keras.layers.Conv2D(4, 3, name="first_conv")(images)
    x = keras.layers.Conv2D(5, 3, name="second_conv")(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, keras.layers.Dense(3, activation=activation, name="head", **dense)(pooled), name="own")


TAPS = {"stage1": "first_conv", "features": "second_conv", "embedding": "pool", "logits": "head"}
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("input_name", ["pixels", "images"])
def test_names_the_taps_and_shares_the_weights(input_name):
    model = _model(input_name)
    network = network_from(model, TAPS)
    taps = network(IMAGES)
    assert list(taps) == list(TAPS)
    assert [one.name for one in network.inputs] == ["images"]
    assert network.name == "own"
    assert [id(v) for v in network.trainable_variables] == [id(v) for v in model.trainable_variables]
    np.testing.assert_array_equal(taps["logits"], model(IMAGES))
    model.get_layer("head").bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(network(IMAGES)["logits"], model(IMAGES))


def test_accepts_a_sequential_and_a_name():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, name="head")])
    network = network_from(model, {"logits": "head"}, name="peer")
    assert network.name == "peer"
    np.testing.assert_array_equal(network(IMAGES)["logits"], model(IMAGES))


def test_saves_and_loads(tmp_path):
    network = network_from(_model(), TAPS)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(IMAGES)["features"], network(IMAGES)["features"])


def test_logits_of_lower_precision_come_out_as_float32():
    network = network_from(_model(dtype="mixed_bfloat16"), TAPS)
    assert network(IMAGES)["logits"].dtype == "float32"
    assert network.output["logits"].dtype == "float32"


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ({"logits": "haed"}, "taps['logits']: 'own' has no layer 'haed'; nearest: 'head'"),
        ({"features": "second_conv"}, "taps must name the layer of \"logits\", got ['features']"),
        ({**TAPS, "features": "pool"}, "taps['features'] must have rank 4, layer 'pool' gives (None, 5)"),
        (
            {**TAPS, "embedding": "first_conv"},
            "taps['embedding'] must have rank 2, layer 'first_conv' gives (None, 6, 6, 4)",
        ),
    ],
)
def test_refuses_bad_taps(taps, message):
    with pytest.raises(ValueError) as error:
        network_from(_model(), taps)
    assert str(error.value) == message


class OwnLayer(keras.layers.Layer):
    def call(self, values):
        return keras.ops.softmax(values)


ACTIVATION = "build it with activation=None"
BEFORE = "take what it reads as logits, the output of 'head'"
L = keras.layers


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([L.Dense(3, activation="softmax", name="last")], f"applies a softmax; {ACTIVATION}"),
        ([L.Dense(3, activation=tf.nn.softmax, name="last")], f"applies a softmax; {ACTIVATION}"),
        ([L.Dense(3, activation=keras.ops.softmax, name="last")], f"applies a softmax; {ACTIVATION}"),
        ([L.Dense(3, activation=lambda z: tf.nn.softmax(z), name="last")], f"applies a softmax; {ACTIVATION}"),
        ([L.Dense(3, activation="sigmoid", name="last")], f"applies a sigmoid; {ACTIVATION}"),
        (
            [L.Dense(3, "softmax", kernel_initializer="zeros", name="last"), L.Activation("linear", dtype="float32")],
            f"applies a softmax; {ACTIVATION}",
        ),
        ([L.Dense(3, name="head"), L.Softmax(dtype="float32", name="last")], f"applies a softmax; {BEFORE}"),
        ([L.Dense(3, name="head"), L.Activation("softmax", name="last")], f"applies a softmax; {BEFORE}"),
        ([L.Dense(3, name="head"), L.Lambda(tf.nn.softmax, name="last")], f"applies a softmax; {BEFORE}"),
        ([L.Dense(3, name="head"), L.Lambda(tf.nn.sigmoid, name="last")], f"applies a sigmoid; {BEFORE}"),
        ([L.Dense(3, name="head"), OwnLayer(name="last"), L.Reshape((3,))], f"applies a softmax; {BEFORE}"),
    ],
)
def test_probabilities_are_no_logits_whatever_computes_them(ends, message):
    images = keras.Input((4, 4, 2))
    outputs = keras.layers.Flatten()(images)
    for layer in ends:
        outputs = layer(outputs)
    with pytest.raises(ValueError) as caught:
        network_from(keras.Model(images, outputs, name="own"), {"logits": ends[-1].name})
    assert str(caught.value) == f"taps['logits'] of 'own': layer 'last' {message}"


class OwnClassifier(keras.Model):
    def __init__(self):
        super().__init__(name="last")
        self.norm = keras.layers.BatchNormalization()
        self.dense = keras.layers.Dense(3, "softmax")
        self.trainable = False

    def call(self, values):
        return self.dense(self.norm(values))


def test_probabilities_of_a_frozen_model_with_a_call_of_its_own_are_no_logits():
    outputs = OwnClassifier()(keras.layers.Flatten()(images := keras.Input((4, 4, 2))))
    with pytest.raises(ValueError, match=r"layer 'last' applies a softmax; take what it reads"):
        network_from(keras.Model(images, outputs), {"logits": "last"})


def test_a_mean_of_probabilities_is_seen_on_random_images():
    flat = keras.layers.Flatten()(images := keras.Input((4, 4, 2)))
    parts = [keras.layers.Dense(3, activation="softmax")(flat) for _ in range(2)]
    mean = keras.layers.Average(name="mean")(parts)
    model = keras.Model(images, keras.layers.Activation("linear", name="last")(mean))
    with pytest.raises(ValueError, match=r"layer 'mean' gives probabilities, rows that sum to 1; give logits$"):
        network_from(model, {"logits": "last"})


@pytest.mark.parametrize(
    "ends",
    [
        [L.Dense(2, kernel_initializer="zeros", bias_initializer="ones")],
        [L.Dense(2, activation="relu")],
        [L.Dense(2, activation="tanh")],
        [L.Dense(2), L.Activation("log_softmax")],
        [L.Dense(2), L.Rescaling(0.001)],
        [L.Dense(8, activation="softmax"), L.Dense(2)],
        [L.Dense(2, dtype="mixed_bfloat16")],
    ],
)
def test_logits_of_all_kinds_pass(ends):
    outputs = keras.layers.Flatten()(images := keras.Input((4, 4, 2)))
    for layer in ends:
        outputs = layer(outputs)
    network_from(keras.Model(images, outputs), {"logits": ends[-1].name})


def test_refuses_a_layer_that_is_called_twice():
    images = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(twice(twice(images)))
    with pytest.raises(ValueError, match=r"^taps\['stage1'\]: layer 'twice' must be called once and give one tensor$"):
        network_from(keras.Model(images, pooled), {"stage1": "twice", "logits": "pool"})


class _Subclassed(keras.Model):
    def call(self, images):
        return images


def test_refuses_models_that_are_not_functional_on_images():
    vector = keras.Input((4,))
    flat = keras.Model(vector, keras.layers.Dense(3, name="head")(vector))
    for model in (_Subclassed(), flat):
        with pytest.raises(ValueError, match="must be functional with one input"):
            network_from(model, {"logits": "head"})
    with pytest.raises(ValueError, match=r"^model must be a functional keras\.Model, got 'model.keras'$"):
        network_from("model.keras")
