"""What first weights are drawn from, against the formulas in the papers' authors' code."""

import keras
import numpy as np
import pytest

from tfdistill import networks
from tfdistill.helpers.auxiliary_heads import auxiliary_heads
from tfdistill.helpers.factors import coder
from tfdistill.methods.ffl import fusion_module
from tfdistill.methods.one import gate
from tfdistill.networks import initialization
from tfdistill.networks.layers import BatchNormalization


def normal(std):
    return std, None


def uniform(limit):
    return limit / np.sqrt(3), limit


def assert_drawn_from(values, distribution, name=""):
    """The standard deviation within four of its errors; a uniform one ends at its limit, a normal one does not."""
    values, (std, limit) = np.asarray(values, np.float64).ravel(), distribution
    assert abs(values.std() / std - 1) < 4 / np.sqrt(2 * values.size), (name, values.std(), std)
    assert abs(values.mean()) < 4 * std / np.sqrt(values.size), name
    if limit is not None:
        assert 0.97 * limit < np.abs(values).max() <= limit * (1 + 1e-6), name
    elif values.size > 1000:
        assert np.abs(values).max() > 2.5 * std, name  # not truncated at two deviations


def test_ffls_fusion_is_the_authors():
    """Every kernel N(0, 2 / (k · k · out_channels)), depthwise ones too, as PyTorch counts; PyTorch's linear layer."""
    module = fusion_module([(8, 8, 64), (8, 8, 64)], 100, seed=0)
    depthwise = module.get_layer("depthwise").kernel
    assert tuple(depthwise.shape) == (3, 3, 128, 1)
    assert_drawn_from(depthwise, normal(np.sqrt(2 / (9 * 128))))
    assert np.sqrt(2 / (9 * 128)) == pytest.approx(0.0417, abs=5e-5)
    assert_drawn_from(module.get_layer("pointwise").kernel, normal(np.sqrt(2 / 64)))
    for values in (module.get_layer("logits").kernel, module.get_layer("logits").bias):
        assert_drawn_from(values, uniform(1 / 8))


def kernels(model, kind):
    """(name, kernel) of the layers of one kind that have more than 500 numbers."""
    found = [(layer.name, layer.kernel.numpy()) for layer in model.layers if isinstance(layer, kind)]
    return [(name, kernel) for name, kernel in found if kernel.size > 500]


def fan_in(kernel):
    return np.prod(kernel.shape[:-1])


def fan_out(kernel):
    return kernel.shape[0] * kernel.shape[1] * kernel.shape[-1]


CONVOLUTIONS = {
    "fan_out": lambda kernel: normal(np.sqrt(2 / fan_out(kernel))),
    "fan_in": lambda kernel: normal(np.sqrt(2 / fan_in(kernel))),
    "pytorch": lambda kernel: uniform(1 / np.sqrt(fan_in(kernel))),
}
DEPTHWISE = {
    "ie_kd": lambda kernel: normal(np.sqrt(2 / 9)),
    "all channels": lambda kernel: normal(np.sqrt(2 / (9 * kernel.shape[2]))),
    "pytorch": lambda kernel: uniform(1 / 3),
}
CLASSIFIERS = {
    "pytorch": lambda kernel: uniform(1 / np.sqrt(fan_in(kernel))),
    "fan_in": lambda kernel: normal(np.sqrt(2 / fan_in(kernel))),
    "0.01": lambda kernel: normal(0.01),
}

# Convolutions, depthwise convolutions, classifier's weight, and whether its bias is zero.
AUTHORS = {
    "resnet8": ("fan_out", None, "pytorch", False),
    "resnet8_a_ie_kd": ("fan_in", None, "fan_in", False),
    "resnet8_b_ie_kd": ("fan_in", None, "fan_in", False),
    "resnet8_one": ("fan_out", None, "pytorch", False),
    "resnet11_preactivation": ("fan_out", None, "pytorch", True),
    "wide_resnet_10_2": ("fan_out", None, "pytorch", True),
    "wide_resnet_10_2_dcm": ("fan_in", None, "fan_in", True),
    "wide_resnet_10_2_dropout_dcm": ("fan_in", None, "fan_in", True),
    "densenet_7_12": ("fan_out", None, "pytorch", True),
    "vgg11_bn": ("fan_out", None, "pytorch", False),
    "mobilenet": ("fan_out", "ie_kd", "0.01", True),
    "mobilenet_dcm": ("pytorch", "pytorch", "pytorch", False),
    "mobilenet_v2": ("fan_out", "all channels", "0.01", True),
    "imagenet_resnet18": ("fan_out", None, "pytorch", False),
}


@pytest.mark.parametrize("name", AUTHORS)
def test_networks_start_as_their_authors_code_says(name):
    convolution, depthwise, classifier, zero_bias = AUTHORS[name]
    network = networks.build(name, classes=100, image_shape=(32, 32, 3), seed=3)
    assert kernels(network, keras.layers.Conv2D)
    for layer, kernel in kernels(network, keras.layers.Conv2D):
        assert_drawn_from(kernel, CONVOLUTIONS[convolution](kernel), layer)
    found = kernels(network, keras.layers.DepthwiseConv2D)
    assert bool(found) == bool(depthwise)
    for layer, kernel in found:
        assert_drawn_from(kernel, DEPTHWISE[depthwise](kernel), layer)
    kernel, bias = network.get_layer("logits").kernel.numpy(), network.get_layer("logits").bias.numpy()
    assert_drawn_from(kernel, CLASSIFIERS[classifier](kernel), "logits")
    assert not bias.any() if zero_bias else 0.8 < np.abs(bias).max() * np.sqrt(fan_in(kernel)) <= 1 + 1e-6


def test_dcms_wide_resnets_draw_the_scales_too_and_nobody_elses():
    for name in ("wide_resnet_10_2_dcm", "wide_resnet_10_2"):
        network = networks.build(name, classes=4, image_shape=(8, 8, 3), seed=0, model_name="peer")
        head = auxiliary_heads(network, name, ["C3"], seed=0)["C3"].model
        for model in (network, head):
            layers = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
            scales = np.concatenate([layer.gamma.numpy() for layer in layers])
            assert len(layers) > 4 and not any(layer.beta.numpy().any() for layer in layers)
            if name.endswith("_dcm"):
                assert 0 <= scales.min() < 0.05 and 0.95 < scales.max() <= 1
                assert_drawn_from(scales - 0.5, uniform(0.5))
                assert len(np.unique(scales)) == len(scales)
            else:
                assert (scales == 1).all()


def source(initializer):
    """What an initializer draws from, whatever its seed."""
    settings = keras.initializers.serialize(initializer)
    return settings["class_name"], {name: value for name, value in settings["config"].items() if name != "seed"}


HEADED = [
    *("resnet8", "resnet8_a", "resnet8_b", "resnet8_a_ie_kd", "resnet8_b_ie_kd", "resnet11_bottleneck", "resnet8_one"),
    *("resnet11_preactivation", "wide_resnet_10_1", "wide_resnet_10_1_dropout", "wide_resnet_10_1_dcm"),
    *("wide_resnet_10_1_dropout_dcm", "densenet_7_4", "mobilenet_dcm", "imagenet_resnet18", "mobilenet_v2"),
    *("keras_resnet50", "keras_mobilenet_v2"),
]
POOLED = ["vgg11", "vgg11_bn", "mobilenet"]


@pytest.fixture
def no_draws(monkeypatch):
    """What the weights would be drawn from is looked at, not the weights."""
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", lambda self, shape, dtype=None: np.zeros(shape))


@pytest.mark.parametrize("name", [*HEADED, *POOLED])
def test_heads_start_from_what_their_network_starts_from(name, no_draws):
    kinds = ("pooled",) if name in POOLED else ("default", "pooled")
    network = networks.build(name, classes=5, image_shape=(32, 32, 3), seed=0, model_name="peer")
    theirs = network.get_layer("logits")
    convolution = source(next(one for one in network.layers if isinstance(one, keras.layers.Conv2D)).kernel_initializer)
    for kind in kinds:
        head = auxiliary_heads(network, name, ["C3"], kind=kind, seed=0)["C3"].model
        ours = head.get_layer("logits")
        assert source(ours.kernel_initializer) == source(theirs.kernel_initializer)
        limits = [source(one.bias_initializer)[0] for one in (ours, theirs)]
        assert limits[0] == limits[1], (name, kind)
        if kind == "default" and not name.startswith("keras_"):
            found = {str(source(one.kernel_initializer)) for one in head.layers if isinstance(one, keras.layers.Conv2D)}
            assert found == {str(convolution)}


def test_a_builder_names_the_nearest_initialization():
    with pytest.raises(ValueError, match=r"^initialization: 'dmc' is none of usual, dcm; nearest: dcm$"):
        networks.wide_resnet(10, 1, classes=4, initialization="dmc")
    with pytest.raises(ValueError, match=r"^initialization: 'dcm' is none of usual, ie_kd;"):
        networks.cifar_resnet(8, classes=4, initialization="dcm")


def test_helpers_start_as_their_authors_code_says():
    """IE-KD's coders: N(0, 2 / (k · k · out_channels)); ONE's gate: the linear layer's default."""
    made = coder((8, 8, 64), 32, name="coder", seeds=initialization.LayerSeeds(0))
    for layer, kernel in kernels(made, keras.layers.Conv2D):
        assert_drawn_from(kernel, normal(np.sqrt(2 / fan_out(kernel))), layer)
    for values in gate((16, 16, 128), 64, seed=0).get_layer("scores").get_weights():
        assert_drawn_from(values, uniform(1 / np.sqrt(128)))
