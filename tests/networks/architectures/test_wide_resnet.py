import keras
import numpy as np
import pytest

from tfdistill.networks.architectures.wide_resnet import wide_resnet
from tfdistill.networks.layers import Dropout


@pytest.mark.parametrize(
    ("depth", "width", "classes", "count"),
    [
        (16, 1, 10, 175_066),
        (16, 2, 100, 703_284),
        (16, 4, 10, 2_748_890),
        (22, 4, 100, 4_322_100),
        (28, 2, 100, 1_479_220),
        (28, 4, 100, 5_872_180),
        (40, 1, 10, 563_930),
        (40, 2, 100, 2_255_156),
    ],
)
def test_parameter_counts(depth, width, classes, count):
    network = wide_resnet(depth, width, classes=classes)
    assert sum(variable.shape.num_elements() for variable in network.trainable_variables) == count


def test_taps():
    network = wide_resnet(10, 2, classes=5, image_shape=(16, 16, 3), seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32"))
    assert {name: tuple(tap.shape) for name, tap in taps.items()} == {
        "stem": (2, 16, 16, 16),
        "stage1": (2, 16, 16, 32),
        "stage2": (2, 8, 8, 64),
        "stage3": (2, 4, 4, 128),
        "stage1_preactivation": (2, 16, 16, 32),
        "stage2_preactivation": (2, 8, 8, 64),
        "stage3_preactivation": (2, 4, 4, 128),
        "features": (2, 4, 4, 128),
        "embedding": (2, 128),
        "logits": (2, 5),
    }
    assert all((taps[f"stage{stage}"].numpy() < 0).any() for stage in (1, 2, 3))  # raw sums, no ReLU
    normalized = taps["stage3"].numpy() / np.sqrt(1 + 1e-5)  # the running statistics are still (0, 1)
    np.testing.assert_allclose(taps["features"], np.maximum(normalized, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(taps["embedding"], taps["features"].numpy().mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_projection_only_where_the_channels_change():
    narrow = wide_resnet(10, 1, classes=5)
    assert [layer.name for layer in narrow.layers if "shortcut" in layer.name] == [
        "stage2_block1_shortcut",
        "stage3_block1_shortcut",
    ]
    wide = wide_resnet(10, 2, classes=5)
    assert wide.get_layer("stage1_block1_shortcut").input is wide.get_layer("stage1_block1_conv1").input


def test_dropout_sits_before_the_second_convolution_of_each_block():
    network = wide_resnet(16, 1, classes=5, image_shape=(8, 8, 3), dropout=0.5, seed=0)
    dropouts = [layer for layer in network.layers if isinstance(layer, Dropout)]
    assert len(dropouts) == 6
    for layer in dropouts:
        block = layer.name.removesuffix("_dropout")
        assert layer.input is network.get_layer(f"{block}_conv2_relu").output
        assert layer.output is network.get_layer(f"{block}_conv2").input
    images = np.ones((2, 8, 8, 3), "float32")
    assert (network(images, training=True)["logits"] != network(images, training=True)["logits"]).numpy().any()
    np.testing.assert_array_equal(network(images)["logits"], network(images)["logits"])


def test_saves_and_loads(tmp_path):
    network = wide_resnet(10, 1, classes=5, image_shape=(8, 8, 1), dropout=0.3, seed=0)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(images)["logits"], network(images)["logits"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 29, "width": 2}, "depth must be 6n + 4 with n of at least 1, got 29; nearest: 28 and 34"),
        ({"depth": 28, "width": 0}, "width must be at least 1, got 0"),
        ({"depth": 28, "width": 1, "dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_refuses_bad_arguments(settings, message):
    with pytest.raises(ValueError) as error:
        wide_resnet(**settings, classes=10)
    assert str(error.value) == message
