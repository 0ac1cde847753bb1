"""Architectures of `keras.applications` as networks; no test reaches for the network."""

import inspect
import re

import keras
import numpy as np
import pytest

from tfdistill.networks import Specification, keras_application, require_name
from tfdistill.networks.keras_applications import (
    APPLICATIONS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    imagenet_weights,
)
from tfdistill.networks.keras_backbones import name_variables
from tfdistill.networks.layers import Dropout
from tfdistill.networks.weights import assign_weights, weights_of

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
# The same for Keras' models without the layers that prepare images.
NORMALIZED = {
    "tf": lambda pixels: pixels / 127.5 - 1,
    "torch": lambda pixels: (pixels / 255 - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD),
}
PREPROCESS = {
    "keras_resnet50": keras.applications.resnet.preprocess_input,
    "keras_mobilenet_v2": keras.applications.mobilenet_v2.preprocess_input,
}


def stand_in_for_download(monkeypatch, architecture, image_shape=(224, 224, 3)):
    """The application as Keras builds it with weights="imagenet", its weights drawn at random; returns those built."""
    builder, built = APPLICATIONS[architecture].builder, []
    build = getattr(keras.applications, builder)

    def with_random_weights(*, weights, **settings):
        if weights == "imagenet":
            settings["input_shape"] = image_shape
        model = build(weights=None, **settings)
        if weights == "imagenet":
            generator = np.random.default_rng(0)
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    channels = layer.gamma.shape
                    layer.moving_mean.assign(generator.normal(0, 0.1, channels))
                    layer.moving_variance.assign(generator.uniform(0.5, 1.5, channels))
            built.append(model)
        return model

    monkeypatch.setattr(keras.applications, builder, with_random_weights)
    return built


@pytest.mark.parametrize(("architecture", "stages"), [("keras_resnet50", 4), ("keras_mobilenet_v2", 5)])
def test_keras_weights_give_keras_predictions_for_images_as_the_run_normalizes_them(architecture, stages, monkeypatch):
    built = stand_in_for_download(monkeypatch, architecture)
    shape = (224, 224, 3)
    network = keras_application(architecture, classes=1000, image_shape=shape, mean=MEAN, std=STD, seed=0, name="peer")
    assert assign_weights(network, imagenet_weights(architecture, classes=1000), source="Keras") == []

    # Slopes that differ between the channels: averages of noise would hide a wrong order or scale.
    slope = np.linspace(0, 255, shape[0], dtype="float32")
    channels = np.broadcast_arrays(slope[:, None], slope[None, ::-1] / 2, np.float32(30))
    pixels = np.stack(channels, -1)[None]
    taps = network((pixels / 255 - np.float32(MEAN)) / np.float32(STD))
    (trained,) = built
    stem = trained.get_layer(APPLICATIONS[architecture].taps["stem"]).output
    stem, probabilities = keras.Model(trained.inputs, [stem, trained.output])(PREPROCESS[architecture](pixels.copy()))
    np.testing.assert_allclose(taps["stem"], stem, rtol=1e-3, atol=1e-3 * np.std(stem))
    np.testing.assert_allclose(keras.ops.log_softmax(taps["logits"]), np.log(probabilities), rtol=1e-3, atol=1e-2)

    assert network.name == "peer" and [one.name for one in network.inputs] == ["images"]
    names = [f"stage{stage}" for stage in range(1, stages + 1)]
    before = [f"{name}_preactivation" for name in names]
    assert list(taps) == ["stem", *names, *before, "features", "embedding", "logits"]
    for name in names:
        read = taps[f"{name}_preactivation"]
        np.testing.assert_array_equal(np.maximum(read, 0) if "resnet" in architecture else read, taps[name])
    np.testing.assert_allclose(taps["embedding"], np.mean(taps["features"], (1, 2)), rtol=1e-4, atol=1e-5)


def test_the_catalogue_is_all_of_keras_applications():
    """Statically: to build every one takes minutes."""
    builders = {name for name in dir(keras.applications) if name[0].isupper()}
    assert builders == {one.builder for one in APPLICATIONS.values()} and len(builders) == len(APPLICATIONS)
    words = re.compile("[^a-z0-9]")
    for name, one in APPLICATIONS.items():
        assert words.sub("", name) == f"keras{one.builder.lower()}"
        arguments = inspect.signature(getattr(keras.applications, one.builder)).parameters
        assert set(one.settings) <= set(arguments)
        assert ("include_preprocessing" in arguments) == ("include_preprocessing" in one.settings)
        assert (one.pixels == "caffe") == bool(one.first_conv)
        assert require_name(name) is None
        assert Specification.parse(f"{name.removeprefix('keras_')}:imagenet").architecture == name


@pytest.mark.parametrize("architecture", ["keras_mobilenet_v3_small", "keras_efficientnet_b0"])
def test_applications_without_a_table_of_taps(architecture, monkeypatch):
    built = stand_in_for_download(monkeypatch, architecture, (32, 32, 3))
    given = {"classes": 5, "image_shape": (32, 32, 3), "mean": MEAN, "std": STD}
    network, again = (keras_application(architecture, **given, seed=0) for _ in range(2))
    stages = [f"stage{stage}" for stage in range(1, 6)]
    # One stage of MobileNetV3 ends in a ReLU; no other of the two has one.
    before = ["stage2_preactivation"] if architecture == "keras_mobilenet_v3_small" else []
    assert list(network.output) == [*stages, *before, "features", "embedding", "logits"]
    assert [network.output[stage].shape[1] for stage in stages] == [16, 8, 4, 2, 1]
    assert network.architecture == architecture and network.name == architecture
    # Names are counted in the model, and not on from the one before.
    assert list(weights_of(network)) == list(weights_of(again))
    for name, variable in weights_of(network).items():
        np.testing.assert_array_equal(variable, weights_of(again)[name])
    if architecture == "keras_efficientnet_b0":
        assert_drops_by_the_seed(network, again)
    (line,) = assign_weights(network, imagenet_weights(architecture, classes=5), source="Keras")
    assert line.endswith("the one for 5 classes is new")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    taps = network((pixels / 255 - np.float32(MEAN)) / np.float32(STD))
    # EfficientNet's own layers divide by 255; its normalization does nothing until ImageNet's numbers are loaded.
    prepared = NORMALIZED[APPLICATIONS[architecture].pixels](pixels)
    expected = built[-1](prepared * (255 if architecture == "keras_efficientnet_b0" else 1))
    np.testing.assert_allclose(taps["features"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(taps["embedding"], np.mean(taps["features"], (1, 2)), rtol=1e-4, atol=1e-5)


def assert_drops_by_the_seed(network, again):
    """Of whole examples, as stochastic depth does; another mask in every layer."""
    ones = np.ones((64, 2, 2, 3), "float32")
    both = [[layer for layer in one.layers if isinstance(layer, keras.layers.Dropout)] for one in (network, again)]
    first, second = ([layer(ones, training=True).numpy().reshape(64, -1) for layer in layers] for layers in both)
    assert len(first) > 5 and all(type(layer) is Dropout for layers in both for layer in layers)
    for mask, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(mask, same)
        assert (mask == mask[:, :1]).all()
    dropped = {tuple(np.flatnonzero(mask[:, 0] == 0)) for mask in first}
    assert len(dropped) > len(first) / 2 and any(dropped)


def test_variables_without_a_name_are_counted_in_their_layer():
    """ConvNeXt's scales are such; a checkpoint of another process would not know them by Keras' count."""
    scales = keras.src.applications.convnext.LayerScale
    models = []
    for _ in range(2):
        images = keras.Input((4, 4, 3))
        models.append(keras.Model(images, scales(0.1, 3, name="two")(scales(0.1, 3, name="one")(images))))
        name_variables(models[-1])
    assert list(weights_of(models[0])) == list(weights_of(models[1])) == ["one/variable_1", "two/variable_1"]


def test_other_classes_leave_the_classifier_new(monkeypatch):
    built = stand_in_for_download(monkeypatch, "keras_mobilenet_v2")
    network = keras_application("keras_mobilenet_v2", classes=7, image_shape=(32, 32, 3), seed=0)
    own = weights_of(network)["logits/kernel"].numpy()
    (line,) = assign_weights(network, imagenet_weights("keras_mobilenet_v2", classes=7), source="Keras' weights")
    assert line.endswith("starts from Keras' weights, which has no classifier; the one for 7 classes is new")
    np.testing.assert_array_equal(weights_of(network)["logits/kernel"], own)
    norm = built[0].get_layer("Conv_1_bn").moving_mean
    np.testing.assert_array_equal(weights_of(network)["Conv_1_bn/moving_mean"], norm)


def test_without_the_network_one_line_says_so(monkeypatch):
    def unreachable(**settings):
        raise Exception("URL fetch failure on https://storage.googleapis.com/x.h5: None --\n [Errno -2] Name unknown")

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    with pytest.raises(ValueError) as caught:
        imagenet_weights("keras_mobilenet_v2", classes=7)
    assert str(caught.value) == (
        "Keras could not fetch its ImageNet weights: URL fetch failure on https://storage.googleapis.com/x.h5: "
        "None -- [Errno -2] Name unknown"
    )


def test_keras_asks_for_the_file_that_it_caches(monkeypatch):
    asked = []

    def get_file(name, origin, **settings):
        asked.append((name, origin, settings["cache_subdir"]))
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", get_file)
    with pytest.raises(ValueError, match=r"^Keras could not fetch its ImageNet weights: URL fetch failure$"):
        imagenet_weights("keras_mobilenet_v2", classes=10)
    ((name, origin, folder),) = asked
    assert name.endswith("no_top.h5") and origin.endswith(name) and folder == "models"


def test_the_seed_decides_the_weights():
    one, same, other = (
        keras_application("keras_mobilenet_v2", classes=3, image_shape=(32, 32, 3), seed=seed) for seed in (0, 0, 1)
    )
    for name, variable in weights_of(one).items():
        np.testing.assert_array_equal(variable, weights_of(same)[name])
        if name.endswith("/kernel"):
            assert (variable.numpy() != weights_of(other)[name].numpy()).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (64, 64, 1)}, "image_shape must have 3 channels for keras_mobilenet_v2, got 1"),
        ({"image_shape": (31, 64, 3)}, "image_shape must be at least 32 x 32 pixels, got 31 x 64"),
        ({"classes": 1}, "classes must be an integer of at least 2, got 1"),
    ],
)
def test_refuses_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        keras_application("keras_mobilenet_v2", **{"classes": 3, **settings})


def test_inception_and_xception_say_how_small_their_images_may_be():
    for architecture, smallest in (("keras_xception", 71), ("keras_inception_v3", 75)):
        with pytest.raises(
            ValueError, match=f"^image_shape must be at least {smallest} x {smallest} pixels, got 64 x 64$"
        ):
            keras_application(architecture, classes=3, image_shape=(64, 64, 3))
