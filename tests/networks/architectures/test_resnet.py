import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.networks.architectures.resnet import cifar_bottleneck_resnet, cifar_resnet
from tfdistill.networks.convolutions import Conv2D
from tfdistill.networks.layers import BatchNormalization


def trainable_count(model):
    return sum(variable.shape.num_elements() for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("depth", "shortcut", "classes", "count"),
    [
        (8, "A", 10, 75_290),
        (8, "B", 10, 78_042),
        (20, "A", 100, 275_572),
        (20, "B", 10, 272_474),
        (32, "A", 10, 464_154),
        (32, "B", 100, 472_756),
        (44, "B", 100, 667_188),
        (56, "A", 100, 858_868),
        (56, "B", 10, 855_770),
        (110, "A", 100, 1_733_812),
    ],
)
def test_parameter_counts(depth, shortcut, classes, count):
    assert trainable_count(cifar_resnet(depth, classes=classes, shortcut=shortcut)) == count


@pytest.mark.parametrize(("shortcut", "layers"), [("A", 0), ("B", 2)])
def test_convolutions_and_norms_match_the_depth(shortcut, layers):
    network = cifar_resnet(20, classes=10, shortcut=shortcut)
    kinds = [type(layer) for layer in network.layers]
    assert kinds.count(Conv2D) == 19 + layers  # the classifier is the 20th
    assert kinds.count(BatchNormalization) == 19 + layers


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_taps(shortcut):
    network = cifar_resnet(8, classes=5, image_shape=(16, 16, 3), shortcut=shortcut, seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32"))
    assert {name: tuple(tap.shape) for name, tap in taps.items()} == {
        "stem": (2, 16, 16, 16),
        "stage1": (2, 16, 16, 16),
        "stage2": (2, 8, 8, 32),
        "stage3": (2, 4, 4, 64),
        "stage1_preactivation": (2, 16, 16, 16),
        "stage2_preactivation": (2, 8, 8, 32),
        "stage3_preactivation": (2, 4, 4, 64),
        "features": (2, 4, 4, 64),
        "embedding": (2, 64),
        "logits": (2, 5),
    }
    assert all((taps[f"stage{stage}"].numpy() >= 0).all() for stage in (1, 2, 3))
    np.testing.assert_array_equal(taps["features"], taps["stage3"])
    np.testing.assert_allclose(taps["embedding"], taps["features"].numpy().mean((1, 2)), rtol=1e-5)
    dense = network.get_layer("logits")
    np.testing.assert_allclose(
        taps["logits"],
        taps["embedding"].numpy() @ dense.kernel.numpy() + dense.bias.numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_block_is_the_sum_of_its_residual_and_its_shortcut():
    network = cifar_resnet(8, classes=5, image_shape=(8, 8, 3), seed=0)
    for layer in network.layers:  # silence the residuals: what is left is the shortcuts
        if layer.name.endswith("conv2_norm"):
            layer.gamma.assign(tf.zeros_like(layer.gamma))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    probe = keras.Model(network.inputs[0], network.get_layer("stem_relu").output)
    np.testing.assert_allclose(network(images)["stage1"], probe(images), rtol=1e-6)


def test_width_scales_the_channels():
    network = cifar_resnet(8, classes=5, width=4)
    assert [network.output[f"stage{stage}"].shape[-1] for stage in (1, 2, 3)] == [4, 8, 16]


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_saves_and_loads(tmp_path, shortcut):
    network = cifar_resnet(8, classes=5, image_shape=(8, 8, 1), shortcut=shortcut, seed=0, name="saved")
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    network(images, training=True)  # moves the running statistics away from where they start
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.name == "saved"
    for name, tap in network(images).items():
        np.testing.assert_array_equal(loaded(images)[name], tap)


def test_xla_equals_no_xla():
    network = cifar_resnet(8, classes=5, image_shape=(8, 8, 3), seed=0)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    expected = network(images, training=False)["logits"]
    compiled = tf.function(lambda x: network(x, training=False)["logits"], jit_compile=True)
    np.testing.assert_allclose(compiled(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 33}, "depth must be 6n + 2 with n of at least 1, got 33; nearest: 32 and 38"),
        ({"depth": 2}, "depth must be 6n + 2 with n of at least 1, got 2; nearest: 8"),
        ({"depth": 8, "shortcut": "C"}, 'shortcut must be "A" or "B", got \'C\''),
        ({"depth": 8, "width": 0}, "width must be at least 1, got 0"),
        (
            {"depth": 8, "image_shape": (2, 2, 3)},
            "image_shape must be at least 4 x 4 pixels, got 2 x 2",
        ),
    ],
)
def test_refuses_bad_arguments(settings, message):
    with pytest.raises(ValueError) as error:
        cifar_resnet(**settings, classes=10)
    assert str(error.value) == message


@pytest.mark.parametrize(("depth", "counted_as", "blocks"), [(14, "basic", 2), (11, "bottleneck", 1)])
def test_bottlenecks(depth, counted_as, blocks):
    network = cifar_bottleneck_resnet(depth, classes=5, counted_as=counted_as)
    names = [layer.name for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(names) == 1 + 3 * 3 * blocks + 3  # a stem, three in each block, a shortcut in each stage
    assert f"stage3_block{blocks}_conv3" in names
    assert f"stage3_block{blocks + 1}_conv1" not in names
    assert [network.output[f"stage{stage}"].shape[1:] for stage in (1, 2, 3)] == [
        (32, 32, 64),
        (16, 16, 128),
        (8, 8, 256),
    ]
    sizes = [network.get_layer(f"stage2_block1_conv{index}").kernel_size[0] for index in (1, 2, 3)]
    strides = [network.get_layer(f"stage2_block1_conv{index}").strides[0] for index in (1, 2, 3)]
    assert (sizes, strides) == ([1, 3, 1], [1, 2, 1])


def test_a_bottleneck_is_the_sum_of_its_residual_and_its_shortcut():
    network = cifar_bottleneck_resnet(20, classes=5, image_shape=(8, 8, 3), seed=0)
    for layer in network.layers:  # silence the residuals: what is left is the shortcuts
        if layer.name.endswith("conv3_norm"):
            layer.gamma.assign(tf.zeros_like(layer.gamma))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    probe = keras.Model(network.inputs[0], network.get_layer("stage1_block1_shortcut_norm").output)
    np.testing.assert_allclose(network(images)["stage1"], np.maximum(probe(images), 0), rtol=1e-6)


def test_refuses_another_way_to_count():
    with pytest.raises(ValueError, match=r"^counted_as: 'one' is none of bottleneck, basic; nearest: "):
        cifar_bottleneck_resnet(56, classes=10, counted_as="one")
