import keras
import numpy as np
import pytest

from tfdistill import networks
from tfdistill.networks.by_name import builder_of, require_name

TINY = ["resnet8", "resnet8_a", "resnet8_one", "resnet11_preactivation", "wide_resnet_10_1_dropout", "densenet_7_4"]
STAGES = ["stage1", "stage2", "stage3"]
TAPS = ["stem", *STAGES, *(f"{stage}_preactivation" for stage in STAGES), "features", "embedding", "logits"]


def _kernels(model):
    return [variable.numpy() for variable in model.trainable_variables if len(variable.shape) > 1]


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("image_shape", [(8, 8, 1), (16, 16, 3)])
def test_every_network_follows_the_contract(name, image_shape):
    network = networks.build(name, classes=4, image_shape=image_shape, seed=0)
    assert isinstance(network, keras.Model)
    assert [one.name for one in network.inputs] == ["images"]
    taps = network(np.random.default_rng(0).normal(size=(2, *image_shape)).astype("float32"), training=True)
    assert [tap for tap in taps if not tap.startswith("transition")] == TAPS
    assert taps["logits"].shape == (2, 4)
    assert all(np.isfinite(tap).all() for tap in taps.values())


@pytest.mark.parametrize("name", [*TINY, "mobilenet"])
def test_logits_are_float32_under_mixed_precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = networks.build(name, classes=4, image_shape=(8, 8, 3), seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    taps = network(np.ones((2, 8, 8, 3), "float32"), training=True)
    assert taps["logits"].dtype == "float32"
    assert taps["features"].dtype == "bfloat16"
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", TINY)
def test_the_seed_decides_the_weights(name):
    one, same, other = (networks.build(name, classes=4, image_shape=(8, 8, 1), seed=seed) for seed in (0, 0, 1))
    for variable, twin in zip(one.trainable_variables, same.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), twin.numpy())
    for kernel, different in zip(_kernels(one), _kernels(other), strict=True):
        assert (kernel != different).all()
    kernels = _kernels(one)
    for index, kernel in enumerate(kernels):
        for earlier in kernels[:index]:
            assert earlier.shape != kernel.shape or (earlier != kernel).any()


def test_without_a_seed_two_networks_differ():
    one, other = (networks.build("resnet8", classes=4, image_shape=(8, 8, 1)) for _ in range(2))
    assert (_kernels(one)[0] != _kernels(other)[0]).any()


def test_model_names():
    assert networks.build("resnet8_a", classes=4).name == "resnet8_a"
    peers = [networks.build("resnet8", classes=4, model_name=name) for name in ("peer1", "peer2")]
    assert [peer.name for peer in peers] == ["peer1", "peer2"]


def test_names_reach_their_builders():
    plain, a, b = (networks.build(name, classes=10) for name in ("resnet8", "resnet8_a", "resnet8_b"))
    assert [len(model.trainable_variables) for model in (plain, a, b)] == [29, 23, 29]
    assert networks.build("mobilenet", classes=4).output["stage1"].shape[-1] == 128
    assert networks.build("mobilenet_dcm", classes=4).output["stage1"].shape[-1] == 256
    assert networks.build("wide_resnet_10_3", classes=4).output["stage1"].shape[-1] == 48


def test_attributes_are_builders():
    peer = networks.resnet8(classes=4, name="peer")
    assert peer.name == "peer" and peer.architecture == networks.build("resnet8", classes=4).architecture == "resnet8"
    assert networks.wide_resnet_10_1(classes=4).output["logits"].shape == (None, 4)
    assert networks.mobilenet(classes=4, image_shape=(8, 8, 3)).output["logits"].shape == (None, 4)
    with pytest.raises(AttributeError, match="nearest: 'resnet32'"):
        _ = networks.resnett32
    assert "resnet110_a" in dir(networks) and "build" in dir(networks)


def test_builders_called_with_numbers_know_their_architecture():
    small: dict = {"classes": 4, "image_shape": (8, 8, 3)}
    found = [
        networks.mobilenet(**small),
        networks.cifar_resnet(8, **small),
        networks.cifar_resnet(8, shortcut="A", **small),
        networks.cifar_resnet(8, initialization="ie_kd", **small),
        networks.cifar_resnet(8, width=4, **small),
        networks.wide_resnet(10, 1, dropout=0.3, initialization="dcm", **small),
        networks.wide_resnet(10, 1, dropout=0.2, **small),
        networks.densenet(7, 4, **small),
    ]
    architectures = [one.architecture for one in found]
    assert architectures == [
        *("mobilenet", "resnet8", "resnet8_a", "resnet8_b_ie_kd", None),
        *("wide_resnet_10_1_dropout_dcm", None, "densenet_7_4"),
    ]
    for one, name in zip(found, architectures, strict=True):
        if name:
            twin = networks.build(name, **small)
            assert [layer.name for layer in one.layers] == [layer.name for layer in twin.layers]


@pytest.mark.parametrize("family", networks.NETWORKS.values(), ids=networks.NETWORKS)
def test_examples_follow_the_pattern_of_their_family_alone(family):
    for example in family.examples:
        matching = [other for other in networks.NETWORKS.values() if other.numbers(example) is not None]
        if "<" not in family.pattern:  # a name of its own goes before patterns that match it too
            matching = [other for other in matching if "<" not in other.pattern]
        assert matching == [family]
    assert family.summary and "\n" not in family.summary


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet33", "'resnet33': depth must be 6n + 2 with n of at least 1, got 33; nearest: 32 and 38"),
        (
            "wide_resnet_17_2",
            "'wide_resnet_17_2': depth must be 6n + 4 with n of at least 1, got 17; nearest: 16 and 22",
        ),
        ("resnett32", "unknown network 'resnett32'; nearest: 'resnet32'"),
        ("wrn_40_4", "unknown network 'wrn_40_4'; nearest: 'wide_resnet_40_4'"),
        ("mobilenetv2", "unknown network 'mobilenetv2'; nearest: 'mobilenet_v2'"),
        ("", "unknown network '': the name is empty, as after a comma too many"),
        ("resnet18", "'resnet18' has no depth of a CIFAR ResNet, 6n + 2; ImageNet's network is 'imagenet_resnet18'"),
        ("resnet57_one", "'resnet57_one': depth must be 6n + 2 with n of at least 1, got 57; nearest: 56 and 62"),
        (
            "resnet57_bottleneck",
            "'resnet57_bottleneck': depth must be 9n + 2 with n of at least 1, got 57; nearest: 56 and 65",
        ),
        (
            "resnet165_preactivation",
            "'resnet165_preactivation': depth must be 9n + 2 with n of at least 1, got 165; nearest: 164 and 173",
        ),
        ("densenet_41_12", "'densenet_41_12': depth must be 3n + 4 with n of at least 1, got 41; nearest: 40 and 43"),
        ("vgg14", "'vgg14': depth must be one of [11, 13, 16, 19], got 14"),
        ("imagenet_resnet20", "'imagenet_resnet20': depth must be one of [18, 34, 50, 101, 152], got 20"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_before_anything_is_built(name, message):
    for refuse in (lambda: networks.build(name, classes=10), lambda: require_name(name)):
        with pytest.raises(ValueError) as error:
            refuse()
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", [*TINY, "mobilenet", "resnet11_bottleneck", "vgg11", "imagenet_resnet18", "mobilenet_v2"]
)
def test_bad_classes_and_small_images_are_refused(name):
    with pytest.raises(ValueError, match=r"^classes must be an integer of at least 2, got 1$"):
        networks.build(name, classes=1)
    with pytest.raises(ValueError, match=r"^image_shape must be at least"):
        networks.build(name, classes=10, image_shape=(3, 3, 3))


def test_resnet164_is_the_one_of_preactivation_bottlenecks():
    assert "resnet164" in networks.NETWORKS["resnet164"].examples
    builders = [builder_of(name).func for name in ("resnet164", "resnet164_preactivation", "resnet164_b")]
    assert builders == [networks.preactivation_resnet] * 2 + [networks.cifar_resnet]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet18", "imagenet_resnet18"),
        ("resnet50", "imagenet_resnet50"),
        ("imagenet_resnet50", "imagenet_resnet50"),
        ("mobilenet_v2", "mobilenet_v2"),
        ("resnet32", "resnet32"),
    ],
)
def test_a_name_beside_imagenet(name, meant):
    assert networks.imagenet_name(name) == meant


def test_an_unknown_name_beside_imagenet():
    with pytest.raises(ValueError, match="unknown network 'resnett50'; nearest: 'resnet50'"):
        networks.imagenet_name("resnett50")


@pytest.mark.parametrize("name", ["resnet8", "resnet8_one", "mobilenet", "vgg11", "vgg11_bn", "imagenet_resnet18"])
def test_preactivations_are_what_the_last_relu_of_a_stage_reads(name):
    taps = _taps_of(name)
    stages = [tap for tap in taps if f"{tap}_preactivation" in taps]
    assert len(stages) >= 3
    for stage in stages:
        before = taps[f"{stage}_preactivation"]
        assert before.min() < 0
        np.testing.assert_array_equal(np.maximum(before, 0), taps[stage])
    np.testing.assert_array_equal(taps["features"], taps[stages[-1]])


@pytest.mark.parametrize("name", ["wide_resnet_10_1", "resnet11_preactivation", "densenet_7_4"])
def test_preactivations_are_the_normalized_stage_where_blocks_activate_first(name):
    taps = _taps_of(name)
    for stage in STAGES:
        normalized = taps[stage] / np.sqrt(1 + 1e-5)  # the running statistics are still (0, 1)
        np.testing.assert_allclose(taps[f"{stage}_preactivation"], normalized, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(taps["features"], np.maximum(taps["stage3_preactivation"], 0))


def test_a_linear_bottleneck_is_its_own_preactivation():
    taps = _taps_of("mobilenet_v2")
    for stage in range(1, 6):
        np.testing.assert_array_equal(taps[f"stage{stage}_preactivation"], taps[f"stage{stage}"])


def _taps_of(name):
    network = networks.build(name, classes=4, image_shape=(32, 32, 3), seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32"))
    return {tap: tensor.numpy() for tap, tensor in taps.items()}


@pytest.mark.parametrize("name", ["resnet8", "wide_resnet_10_2", "mobilenet"])
def test_more_taps_change_neither_the_layers_nor_the_order_of_the_weights(name):
    network = networks.build(name, classes=4, image_shape=(8, 8, 3))
    few = {tap: network.output[tap] for tap in (*STAGES, "features", "embedding", "logits")}
    plain = keras.Model(network.inputs[0], few)
    assert [layer.name for layer in network.layers] == [layer.name for layer in plain.layers]
    assert [variable.path for variable in network.variables] == [variable.path for variable in plain.variables]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet9999998", "'resnet9999998' has a depth beyond the largest, 2,000"),
        ("resnet" + "9" * 5000, "'resnet9999.*…' has a depth beyond the largest, 2,000"),
        ("wide_resnet_28_100000", "has a width beyond the largest, 1,000"),
        ("wide_resnet_28_60", "'wide_resnet_28_60' would have about 1,625,702,400 weights; 1,000,000,000 are the most"),
        ("densenet_1000_100", "would have about 45,000,000,000 weights"),
    ],
)
def test_a_name_of_a_network_that_no_machine_holds_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        networks.require_name(name)


@pytest.mark.parametrize("name", ["resnet1202", "wide_resnet_28_20", "densenet_250_24", "resnet1001_preactivation"])
def test_the_largest_of_the_papers_are_not(name):
    networks.require_name(name)
