"""Networks made from models of one's own: one graph of layers, that every method can split."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.term_checks import check_terms
from tfdistill.export.saved_model import ServingModule, write_saved_model
from tfdistill.methods import METHODS
from tfdistill.networks.adapters import network_from
from tfdistill.networks.graphs import flat_graph
from tfdistill.networks.weights import weights_of

L = keras.layers
ARGUMENTS = {"dcm": {"heads": "C2", "head_kind": "pooled"}, "ffl": {"shared_trunk": True}}
TAPS = {"stage1": "relu1", "stage2": "relu2", "features": "relu2", "embedding": "pool", "logits": "head"}


def stages(maps):
    for stage, strides in ((1, 1), (2, 2)):
        maps = L.Conv2D(4, 3, strides, padding="same", name=f"conv{stage}")(maps)
        maps = L.ReLU(name=f"relu{stage}")(L.BatchNormalization(name=f"norm{stage}")(maps))
    return maps


def classified(images, maps, name):
    return keras.Model(images, L.Dense(3, name="head")(L.GlobalAveragePooling2D(name="pool")(maps)), name=name)


def freely_named(name):
    images = keras.Input((8, 8, 3), name="pixels")
    return classified(images, stages(L.Rescaling(0.5, name="scale")(images)), name)


def with_backbone(name, **called):
    """Preprocessing in a Sequential, and a backbone, inside the model."""
    inside = keras.Input((8, 8, 3))
    backbone = keras.Model(inside, stages(inside), name="backbone")
    scaling = keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(0.5, name="scale")], name="scaling")
    images = keras.Input((8, 8, 3), name="photo")
    return classified(images, backbone(scaling(images), **called), name)


def batch():
    draw = np.random.default_rng(0)
    return {"images": draw.normal(size=(4, 8, 8, 3)).astype("float32"), "labels": np.int32([0, 1, 2, 0])}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_term_of_every_method_moves_such_networks(method):
    networks = [network_from(freely_named("a"), TAPS), network_from(with_backbone("b"), TAPS)]
    arguments = dict(ARGUMENTS.get(method, {}))
    if "teachers" in inspect.signature(METHODS[method]).parameters:
        arguments["teachers"] = network_from(freely_named("teacher"), TAPS)
    distiller = METHODS[method](networks, **arguments)
    check_terms(distiller, [batch()] * 3)


def mobilenet(name):
    model = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=3, classifier_activation=None)
    pool = model.layers[-2].name
    taps = {"stage1": "block_5_add", "stage2": "block_16_project_BN", "features": "out_relu", "embedding": pool}
    return network_from(model, {**taps, "logits": "predictions"}, name=name)


def test_afd_splits_networks_of_keras_applications():
    distiller = METHODS["afd"]([mobilenet("a"), mobilenet("b")])
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    check_terms(distiller, [{**batch(), "images": images}] * 3)


@pytest.mark.parametrize("make", [freely_named, with_backbone])
def test_afd_moves_the_features_of_such_networks_by_adam_and_the_classifier_not(make):
    """An extractor that held the whole network would own the classifier, which no feature depends on."""
    distiller = METHODS["afd"]([network_from(make(name), TAPS) for name in ("a", "b")])
    assert list(distiller.extractors) == ["a", "b"]
    for extractor in distiller.extractors.values():
        owned = {one.path.split("/")[-2] for one in extractor.trainable_variables}
        assert owned == {"conv1", "norm1", "conv2", "norm2"}


def test_nested_models_are_opened_and_compute_what_they_did():
    model = with_backbone("own")
    network = network_from(model, TAPS)
    assert [layer.name for layer in network.layers] == [
        "images",
        "scale",
        *(f"{kind}{stage}" for stage in (1, 2) for kind in ("conv", "norm", "relu")),
        "pool",
        "head",
    ]
    assert {id(one) for one in network.variables} == {id(one) for one in model.variables}
    assert "conv1/kernel" in weights_of(network)
    images = batch()["images"]
    for training in (False, True):
        before = [one.numpy() for one in model.variables]
        np.testing.assert_allclose(
            network(images, training=training)["logits"], model(images, training=training), atol=1e-6
        )
        assert training == any((old != new.numpy()).any() for old, new in zip(before, model.variables, strict=True))


def test_a_backbone_frozen_or_called_in_inference_mode_stays_so():
    model = with_backbone("own", training=False)
    network = network_from(model, TAPS)
    model.get_layer("backbone").trainable = False
    assert [one.path.split("/")[-2] for one in network.trainable_variables] == ["head", "head"]
    images = batch()["images"]
    learning, scoring = network(images, training=True), network(images, training=False)
    np.testing.assert_array_equal(learning["features"], scoring["features"])


def test_it_exports_and_its_checkpoints_load_into_the_model(tmp_path):
    network = network_from(with_backbone("own"), TAPS)
    network.save_weights(tmp_path / "own.weights.h5")
    other = network_from(with_backbone("own"), TAPS)
    other.load_weights(tmp_path / "own.weights.h5")
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    write_saved_model(ServingModule(other, mean=(0,), std=(1,), labels_file=labels), tmp_path / "saved")
    images = batch()["images"] * 255
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(served["logits"], network(images / 255)["logits"], atol=1e-5)
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_allclose(clone(images)["logits"], network(images)["logits"], atol=1e-6)


def test_a_model_that_is_one_graph_from_images_is_taken_as_it_is():
    images = keras.Input((8, 8, 3), name="images")
    model = classified(images, stages(images), "own")
    assert flat_graph(model) is model
    network = network_from(model, TAPS)
    assert network.output["features"] is model.get_layer("relu2").output


def test_inputs_are_cast_as_nested_models_do():
    inside = keras.Input((8, 8, 3), name="inside")
    backbone = keras.Model(inside, stages(inside), name="backbone")
    images = keras.Input((8, 8, 3), dtype="uint8")
    model = classified(images, backbone(images), "own")
    values = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), "uint8")
    np.testing.assert_allclose(network_from(model, TAPS)(values)["logits"], model(values), atol=1e-5)


class OwnCall(keras.Model):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.hidden = L.Conv2D(4, 3, name="hidden")

    def call(self, images):
        return self.hidden(images)


def closed_with(inner):
    images = keras.Input((8, 8, 3))
    return classified(images, inner(images), "own")


def test_a_tap_inside_a_model_that_cannot_be_opened_is_said():
    with pytest.raises(ValueError) as caught:
        network_from(closed_with(OwnCall(name="inner")), {"features": "hidden", "logits": "head"})
    assert str(caught.value) == (
        "taps['features']: layer 'hidden' lies inside model 'inner' of 'own', which cannot be opened: "
        "it has a call() of its own, or layers whose names come twice"
    )


def test_models_whose_layers_have_equal_names_stay_closed():
    images = keras.Input((8, 8, 3))
    maps = images
    for name in ("first", "second"):
        inside = keras.Input(maps.shape[1:])
        maps = keras.Model(inside, L.Conv2D(3, 3, padding="same", name="conv")(inside), name=name)(maps)
    model = classified(images, maps, "own")
    network = network_from(model, {"stage1": "first", "features": "second", "logits": "head"})
    pictures = batch()["images"]
    np.testing.assert_allclose(network(pictures)["logits"], model(pictures), atol=1e-6)
    with pytest.raises(ValueError, match=r"layer 'conv' lies inside model 'first' of 'own'"):
        network_from(model, {"features": "conv", "logits": "head"})
