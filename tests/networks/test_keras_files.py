"""Networks in .keras files: logits for probabilities, taps found or named, a classifier that may start anew."""

import keras
import numpy as np
import pytest

from tfdistill.networks.keras_files import learner_of_file, load_file, network_of_file
from tfdistill.networks.specification import name_of_file

L = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
SHAPE = {"image_shape": (8, 8, 3)}


def model(*ends, shape=(8, 8, 3)):
    """A small classifier of plain Keras that ends with these layers."""
    images = keras.Input(shape, name="pixels")
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="conv")(images)
    x = L.GlobalAveragePooling2D(name="pool")(L.Conv2D(5, 3, name="last_map")(x))
    for layer in ends:
        x = layer(x)
    return keras.Model(images, x, name="own")


@pytest.fixture
def saved(tmp_path):
    def save(found, name="mine"):
        found.save(tmp_path / f"{name}.keras")
        return tmp_path / f"{name}.keras"

    return save


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([L.Dense(3, activation="softmax", name="head")], "the softmax of layer 'head' is taken off"),
        ([L.Dense(3, activation="sigmoid", name="head")], "the sigmoid of layer 'head' is taken off"),
        ([L.Dense(3, name="head"), L.Softmax(name="end")], "the softmax of layer 'end' is taken off"),
        (
            [L.Dense(3, name="head"), L.Activation("softmax", name="end"), L.Activation("linear", dtype="float32")],
            "the softmax of layer 'end' is taken off",
        ),
        ([L.Dense(3, name="head")], ""),
    ],
)
def test_a_softmax_or_sigmoid_at_the_end_is_taken_off(saved, ends, told):
    whole = model(*ends)
    embedding = keras.Model(whole.input, whole.get_layer("pool").output)(IMAGES)
    kernel, bias = whole.get_layer("head").get_weights()
    network, said = network_of_file(saved(whole))
    assert said == ([told] if told else [])
    assert list(network.output) == ["stage1", "stage2", "features", "embedding", "logits"]
    np.testing.assert_allclose(network(IMAGES)["logits"], embedding @ kernel + bias, atol=1e-5)


def test_functions_stand_where_layers_do_and_a_softmax_among_them_is_taken_off(saved):
    network, (said,) = network_of_file(saved(model(keras.ops.relu, L.Dense(3, name="head"), keras.ops.softmax)))
    assert said.startswith("the softmax of layer 'softmax") and said.endswith("' is taken off")
    assert list(network.output) == ["stage1", "stage2", "features", "embedding", "logits"]
    assert network.output["logits"]._keras_history.operation.name == "head"


def test_of_several_outputs_the_taps_name_the_answer(saved):
    whole = model(L.Dense(5, name="trunk"))
    ends = [L.Dense(count, "softmax", name=f"of_{count}")(whole.output) for count in (3, 4)]
    path = saved(keras.Model(whole.input, ends, name="two"))
    with pytest.raises(ValueError, match=r"^'two' has 2 outputs, of the layers of_3, of_4; [^\n]* as in logits:of_3$"):
        network_of_file(path)
    network, told = network_of_file(path, taps={"logits": "of_4", "features": "conv"})
    assert told == ["the softmax of layer 'of_4' is taken off"]
    assert network.output["logits"].shape == (None, 4) and network.output["features"].shape == (None, 4, 4, 4)


def test_one_sigmoid_output_becomes_two_logits_of_the_same_probabilities(saved):
    whole = model(L.Dense(1, activation="sigmoid", name="head"))
    network, said = network_of_file(saved(whole))
    assert said == ["the sigmoid of layer 'head' is taken off, and its one output is made two logits"]
    probability = np.asarray(whole(IMAGES))[:, 0]
    found = np.asarray(keras.ops.softmax(network(IMAGES)["logits"]))
    np.testing.assert_allclose(found, np.stack([1 - probability, probability], axis=1), atol=1e-6)


def test_probabilities_that_no_layer_at_the_end_makes_are_refused(saved):
    images = keras.Input((8, 8, 3))
    flat = L.Flatten()(images)
    ends = L.Average(name="mean")([L.Dense(3, activation="softmax")(flat) for _ in range(2)])
    with pytest.raises(ValueError, match=r"^taps\['logits'\] of 'two': layer 'mean' gives probabilities, [^\n]*$"):
        network_of_file(saved(keras.Model(images, ends, name="two")))


def test_taps_that_are_named_go_before_those_that_are_found(saved):
    path = saved(model(L.Dense(3, name="head")))
    network, _ = network_of_file(path, taps={"stage1": "last_map", "middle": "conv"}, name="other")
    whole = keras.saving.load_model(path)
    middle = keras.Model(whole.input, whole.get_layer("conv").output)(IMAGES)
    assert network.name == "other" and list(network.output)[-1] == "logits"
    np.testing.assert_allclose(network(IMAGES)["middle"], middle, atol=1e-6)
    assert network.output["stage1"].shape == network.output["features"].shape
    with pytest.raises(ValueError, match=r"^taps\['stage1'\]: 'own' has no layer 'comv'; nearest: 'conv'$"):
        network_of_file(path, taps={"stage1": "comv"})


def test_a_learner_keeps_its_weights_and_its_classifier_where_the_classes_fit(saved):
    whole = model(L.Dense(3, activation="softmax", name="head"))
    path = saved(whole)
    same = learner_of_file(path, classes=3, **SHAPE, name="mine")
    assert same.starts_from == f"mine: starts from {path}; the softmax of layer 'head' is taken off"
    for one, other in zip(same.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    more, again = (learner_of_file(path, classes=7, **SHAPE, seed=5, name="mine") for _ in range(2))
    assert "without its classifier for 3 classes; the one for 7 classes is new" in more.starts_from
    assert more.output["logits"].shape == (None, 7)
    for one, other in zip(more.get_weights()[:-2], whole.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(more.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_of_any_size_is_built_for_the_images_of_the_data(saved):
    network = learner_of_file(saved(model(L.Dense(3), shape=(None, None, 3))), classes=3, image_shape=(12, 10, 3))
    assert network.inputs[0].shape == (None, 12, 10, 3)
    assert network.output["features"].shape[1:3] == (4, 3)


def test_a_sequential_is_a_network_too(saved):
    path = saved(keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(3, activation="softmax")]))
    assert list(network_of_file(path, name="line")[0].output) == ["embedding", "logits"]


def test_what_no_network_can_be_made_of_is_refused_in_one_line(saved, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    flat = model(L.Dense(3))
    pair = keras.Input((8, 8, 3))
    code = saved(keras.Model(flat.input, L.Lambda(lambda x: x * 2.0)(flat.output)), "code")
    for path, said in {
        tmp_path / "none.keras": "there is no file .*none.keras$",
        tmp_path / "text.keras": "text.keras is no .keras file$",
        code: "code.keras holds code, such as a Lambda layer's, which is not run; .* give trust_code$",
        saved(keras.Sequential([L.Dense(3)]), "unbuilt"): "unbuilt.keras holds a Sequential that is no graph of layers",
        saved(
            keras.Model([pair, flat.input], L.Add()([pair, flat.input]), name="p"), "pair"
        ): "'p' must be functional ",
    }.items():
        with pytest.raises(ValueError, match=rf"^[^\n]*{said}"):
            network_of_file(path)
    np.testing.assert_allclose(load_file(code, trust_code=True)(IMAGES), 2 * np.asarray(flat(IMAGES)), atol=1e-6)
    with pytest.raises(ValueError, match=r"^it reads images of 8×8×3, not 9×9×3$"):
        learner_of_file(saved(flat), classes=3, image_shape=(9, 9, 3))
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    whole_numbers = keras.Model(pixels, L.Dense(3)(L.Flatten()(L.Rescaling(1 / 255)(pixels))))
    with pytest.raises(
        ValueError, match=r"^it reads uint8, and a network that learns is given float32 images; [^\n]*$"
    ):
        learner_of_file(saved(whole_numbers, "pixels"), classes=3, **SHAPE)
    images = keras.Input((8, 8, 3))
    pooled = L.GlobalAveragePooling2D(name="end")(L.Conv2D(3, 1)(images))
    with pytest.raises(ValueError, match=r"^it tells 3 classes apart, not 4, and its last layer 'end' is no Dense"):
        learner_of_file(saved(keras.Model(images, pooled), "pooled"), classes=4, **SHAPE)


@pytest.mark.parametrize(
    ("path", "name"), [("mine.keras", "mine"), ("a/b c+d.keras", "b_c_d"), ("x/resnet_1.5.keras", "resnet_1.5")]
)
def test_a_network_is_called_as_its_file(path, name):
    assert name_of_file(path) == name
