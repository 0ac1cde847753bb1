"""Two steps of training, and a way through a file, for every family of networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill import networks
from tfdistill.export.saved_model import ServingModule, write_saved_model

# The cheapest network of each family, and the side of the images it sees.
CHEAP = {
    "resnet": ("resnet8", 8),
    "resnet_a": ("resnet8_a", 8),
    "resnet_b": ("resnet8_b", 8),
    "resnet_a_ie_kd": ("resnet8_a_ie_kd", 8),
    "resnet_b_ie_kd": ("resnet8_b_ie_kd", 8),
    "resnet_bottleneck": ("resnet11_bottleneck", 8),
    "resnet_one": ("resnet8_one", 8),
    "resnet164": ("resnet164", 4),
    "resnet_preactivation": ("resnet11_preactivation", 8),
    "wide_resnet": ("wide_resnet_10_1", 8),
    "wide_resnet_dropout": ("wide_resnet_10_1_dropout", 8),
    "wide_resnet_dcm": ("wide_resnet_10_1_dcm", 8),
    "wide_resnet_dropout_dcm": ("wide_resnet_10_1_dropout_dcm", 8),
    "densenet": ("densenet_7_4", 8),
    "vgg": ("vgg11", 32),
    "vgg_bn": ("vgg11_bn", 32),
    "mobilenet": ("mobilenet", 8),
    "mobilenet_dcm": ("mobilenet_dcm", 8),
    "imagenet_resnet": ("imagenet_resnet18", 32),
    "mobilenet_v2": ("mobilenet_v2", 32),
}


# Families that differ in their first weights alone: one of them goes the way of all. ResNet-164 is the pre-activation
# ResNet at a depth that its name fixes, and goes the way of that one's smallest.
FULL = [
    family
    for family in CHEAP
    if (not networks.NETWORKS[family].starts_like or family == "wide_resnet_dropout_dcm") and family != "resnet164"
]


def test_every_family_is_here():
    assert list(CHEAP) == list(networks.NETWORKS)
    for family, (name, _) in CHEAP.items():
        assert networks.NETWORKS[family].numbers(name) is not None
    fixed, free = networks.NETWORKS["resnet164"], networks.NETWORKS["resnet_preactivation"]
    assert (fixed.builder, fixed.arguments) == (free.builder, {**free.arguments, "depth": 164})


def build(family, policy):
    name, side = CHEAP[family]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return networks.build(name, classes=3, image_shape=(side, side, 3), seed=0)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module", params=FULL)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def network_of_float32(family):
    return build(family, "float32")


@pytest.mark.usefixtures("plain_decoding")
def test_a_saved_model_gives_the_networks_logits(family, network_of_float32, tmp_path):
    network, side = network_of_float32, CHEAP[family][1]
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    module = ServingModule(network, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2), labels_file=labels)
    write_saved_model(module, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")
    served = loaded.signatures["serving_default"](images=tf.constant(pixels))["logits"]
    normalised = (pixels / 255 - np.float32([0.5, 0.4, 0.3])) / np.float32([0.2, 0.3, 0.2])
    np.testing.assert_allclose(served, network(normalised, training=False)["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_two_steps(family, policy, network_of_float32, tmp_path):
    network = network_of_float32 if policy == "float32" else build(family, policy)
    side = CHEAP[family][1]
    generator = np.random.default_rng(0)
    for variable in network.trainable_variables:
        if variable.name == "beta":
            # At zero, a per-channel convolution and normalization after a ReLU undo the scale before it.
            variable.assign(generator.normal(scale=0.1, size=variable.shape))
    images = tf.constant(generator.normal(size=(4, side, side, 3)), tf.float32)
    labels = tf.constant([0, 1, 2, 0])
    start = [variable.numpy() for variable in network.trainable_variables]

    for _ in range(2):
        with tf.GradientTape() as tape:
            logits = network(images, training=True)["logits"]
            assert logits.dtype == tf.float32
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        assert np.isfinite(loss)
        variables = [variable.value for variable in network.trainable_variables]
        gradients = tape.gradient(loss, variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(0.01 * gradient)

    for variable, old in zip(network.trainable_variables, start, strict=True):
        assert np.isfinite(variable.numpy()).all(), variable.path
        assert (variable.numpy() != old).any(), variable.path

    if policy == "float32":
        network.save(tmp_path / "network.keras")
        loaded = keras.saving.load_model(tmp_path / "network.keras")
        for tap, tensor in network(images).items():
            np.testing.assert_array_equal(loaded(images)[tap], tensor)
