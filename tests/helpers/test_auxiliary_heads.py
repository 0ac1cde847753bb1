"""DCM's auxiliary classifiers: what they are made of, what they read, what comes out."""

import keras
import numpy as np
import pytest

from tfdistill import networks
from tfdistill.helpers.auxiliary_heads import PLACES, auxiliary_heads
from tfdistill.networks import layers

# From a network whose taps have the sizes of the architecture's (they depend on its width, not on its depth).
WIDE = {"stem": (32, 32, 16)}
MAPS = {
    "wide_resnet_28_10": {**WIDE, "stage1": (32, 32, 160), "stage2": (16, 16, 320)},
    "wide_resnet_28_4": {**WIDE, "stage1": (32, 32, 64), "stage2": (16, 16, 128)},
    "wide_resnet_16_2": {**WIDE, "stage1": (32, 32, 32), "stage2": (16, 16, 64)},
    "mobilenet_dcm": {"stem": (32, 32, 32), "stage1": (32, 32, 256), "stage2": (16, 16, 512)},
    "resnet110": {**WIDE, "stage1": (32, 32, 16), "stage2": (16, 16, 32)},
    "resnet164": {**WIDE, "stage1": (32, 32, 64), "stage2": (16, 16, 128)},
    "densenet_40_12": {**WIDE, "transition1": (16, 16, 160), "transition2": (8, 8, 304)},
    "imagenet_resnet18": {"stage1": (56, 56, 64), "stage2": (28, 28, 128), "stage3": (14, 14, 256)},
    "imagenet_resnet50": {"stage1": (56, 56, 256), "stage2": (28, 28, 512), "stage3": (14, 14, 1024)},
    "mobilenet_v2": {"stage2": (56, 56, 24), "stage3": (28, 28, 32), "stage4": (14, 14, 96)},
}
MAPS["resnet110_a"] = MAPS["resnet110_b"] = MAPS["resnet110"]
MAPS["imagenet_resnet34"] = MAPS["imagenet_resnet18"]
MAPS["imagenet_resnet101"] = MAPS["imagenet_resnet50"]


def backbone(architecture: str, classes: int) -> keras.Model:
    """A stand-in with the taps that heads read, and not a weight."""
    taps = {tap: keras.Input(shape, name=f"{tap}_input") for tap, shape in MAPS[architecture].items()}
    logits = keras.Input((classes,), name="logits_input")
    outputs = {tap: keras.layers.Identity(name=tap)(tensor) for tap, tensor in (taps | {"logits": logits}).items()}
    return keras.Model([*taps.values(), logits], outputs, name="peer")


def parameters(model: keras.Model) -> int:
    return sum(variable.shape.num_elements() for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("architecture", "classes", "kind", "counts"),
    [
        ("wide_resnet_28_10", 100, "default", {"C3": 20_145_060, "C2": 107_464_420}),
        ("wide_resnet_28_4", 100, "default", {"C3": 3_241_188, "C2": 17_230_180}),
        ("wide_resnet_16_2", 100, "default", {"C4": 333_444, "C3": 374_436, "C2": 1_961_188}),
        ("wide_resnet_16_2", 100, "narrow", {"C4": 87_940, "C3": 102_308, "C2": 538_340}),
        ("wide_resnet_16_2", 100, "pooled", {"C4": 1_700, "C3": 3_300, "C2": 6_500}),
        ("mobilenet_dcm", 100, "default", {"C4": 1_440_260, "C3": 2_637_668, "C2": 5_484_132}),
        ("mobilenet_dcm", 100, "narrow", {"C3": 730_468}),
        ("resnet110_a", 100, "default", {"C4": 858_404, "C3": 816_356, "C2": 5_219_940}),
        ("resnet110_b", 100, "default", {"C4": 861_156, "C3": 819_108, "C2": 5_224_292}),
        ("resnet110", 100, "narrow", {"C4": 218_740}),
        ("resnet110_a", 100, "pooled", {"C3": 1_700}),
        ("resnet164", 100, "default", {"C4": 891_332, "C3": 850_276, "C2": 5_109_092}),
        ("densenet_40_12", 100, "default", {"C4": 517_876, "C3": 650_236, "C2": 2_038_996}),
        ("densenet_40_12", 10, "default", {"C3": 616_306, "C2": 1_972_666}),
        ("densenet_40_12", 100, "narrow", {"C2": 846_244}),
        ("densenet_40_12", 100, "pooled", {"C2": 30_500}),
        ("imagenet_resnet18", 1000, "default", {"C4": 10_055_912, "C3": 9_825_768, "C2": 31_968_232}),
        ("imagenet_resnet34", 1000, "default", {"C3": 12_187_112}),
        ("imagenet_resnet50", 1000, "default", {"C4": 16_957_416, "C3": 16_297_960, "C2": 58_668_008}),
        ("imagenet_resnet50", 1000, "narrow", {"C3": 4_757_992}),
        # 12 of the backbone's 23 blocks, 9 more than of ResNet-50's 6: 1,117,184 parameters each.
        ("imagenet_resnet101", 1000, "default", {"C3": 16_297_960 + 9 * 1_117_184}),
        ("mobilenet_v2", 1000, "default", {"C4": 2_927_416, "C3": 2_902_568, "C2": 8_830_504}),
    ],
)
def test_parameter_counts(architecture, classes, kind, counts, monkeypatch):
    # 100 million normal numbers take seconds.
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", lambda self, shape, dtype: np.zeros(shape))
    heads = auxiliary_heads(backbone(architecture, classes), architecture, tuple(counts), kind=kind)
    assert {place: parameters(head.model) for place, head in heads.items()} == counts


CHEAP = {
    "resnet8": 16,
    "resnet8_a": 16,
    "resnet8_one": 16,
    "resnet11_preactivation": 16,
    "wide_resnet_10_1": 16,
    "densenet_7_4": 16,
    "mobilenet_dcm": 16,
    "imagenet_resnet18": 32,
    "mobilenet_v2": 32,
}


@pytest.mark.parametrize("architecture", CHEAP)
def test_heads_end_at_the_resolution_of_their_network(architecture):
    side = CHEAP[architecture]
    network = networks.build(architecture, classes=4, image_shape=(side, side, 3), seed=0, model_name="peer")
    taps = network(np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32"))
    for kind in ("default", "narrow", "pooled"):
        heads = auxiliary_heads(network, architecture, PLACES, kind=kind, seed=0)
        assert list(heads) == list(PLACES)
        for place, head in heads.items():
            assert head.model.name == f"peer_{place}"
            outputs = head.model(taps[head.tap], training=True)
            assert {name: tuple(one.shape) for name, one in outputs.items()} == {
                "embedding": (2, head.model.output["embedding"].shape[-1]),
                "logits": (2, 4),
            }
            assert np.isfinite(outputs["logits"]).all()
            end = head.model.get_layer("embedding").input.shape[1:3]
            assert end == (taps[head.tap].shape[1:3] if kind == "pooled" else taps["features"].shape[1:3])


def test_a_pooled_head_is_a_linear_classifier_of_the_tap():
    network = networks.build("wide_resnet_10_1", classes=4, image_shape=(8, 8, 3), seed=0)
    head = auxiliary_heads(network, "wide_resnet_10_1", ["C3"], kind="pooled", seed=0)["C3"]
    maps = np.random.default_rng(0).normal(size=(2, 8, 8, 16)).astype("float32")
    kernel, bias = (variable.numpy() for variable in head.model.trainable_variables)
    np.testing.assert_allclose(head.model(maps)["logits"], maps.mean((1, 2)) @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_dropout_goes_with_its_network():
    network = backbone("wide_resnet_16_2", 4)
    for architecture, count in (("wide_resnet_16_2", 0), ("wide_resnet_16_2_dropout", 3)):
        head = auxiliary_heads(network, architecture, ["C3"])["C3"].model
        assert sum(isinstance(layer, layers.Dropout) for layer in head.layers) == count


def test_the_seed_decides_the_weights_and_no_head_those_of_another():
    network = backbone("wide_resnet_16_2", 4)
    both = auxiliary_heads(network, "wide_resnet_10_2", ("C3", "C2"), seed=3)
    alone = auxiliary_heads(network, "wide_resnet_10_2", ("C2",), seed=3)["C2"]
    other = auxiliary_heads(network, "wide_resnet_10_2", ("C2",), seed=4)["C2"]
    first, again, different = (head.model.get_layer("logits").kernel.numpy() for head in (both["C2"], alone, other))
    np.testing.assert_array_equal(first, again)
    assert (first != different).any()


def test_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = networks.build("wide_resnet_10_1", classes=4, image_shape=(8, 8, 3), seed=0)
        head = auxiliary_heads(network, "wide_resnet_10_1", ["C2"], seed=0)["C2"]
    finally:
        keras.config.set_dtype_policy(before)
    maps = network(np.ones((2, 8, 8, 3), "float32"))[head.tap]
    assert maps.dtype == head.model.inputs[0].dtype == "bfloat16"
    assert head.model(maps)["logits"].dtype == "float32"


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("vgg13", {}, "there are no auxiliary heads for 'vgg13'; there are for CIFAR and ImageNet ResNets"),
        ("mobilenet", {}, "there are no auxiliary heads for 'mobilenet'; there are for .* mobilenet_dcm"),
        ("resnet8", {"places": ["C1"]}, "places: 'C1' is none of C2, C3, C4; nearest: C"),
        ("resnet8", {"kind": "narow"}, "kind: 'narow' is none of default, narrow, pooled; nearest: narrow"),
        ("resnet8", {"seed": -1}, "seed must be None or an integer of at least 0, got -1"),
        ("densenet_7_4", {}, "network 'peer' has no tap 'transition2', which C2 of densenet_7_4 reads"),
    ],
)
def test_refuses_bad_arguments(architecture, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        auxiliary_heads(backbone("resnet110", 4), architecture, **settings)


@pytest.mark.parametrize("architecture", [None, "vgg13"])
def test_pooled_heads_read_the_stages_of_a_network_without_designs(architecture):
    network = backbone("imagenet_resnet18", 4)
    heads = auxiliary_heads(network, architecture, ("C3", "C2"), kind="pooled", seed=0)
    assert {place: (head.tap, parameters(head.model)) for place, head in heads.items()} == {
        "C2": ("stage2", 128 * 4 + 4),
        "C3": ("stage1", 64 * 4 + 4),
    }
    # The stem is the stage before the first.
    stem = auxiliary_heads(backbone("resnet110", 4), None, ("C3",), kind="pooled")["C3"].tap
    assert stem == "stem"
    with pytest.raises(ValueError, match=r"^network 'peer' has no stage for a head C4; it has stage1, "):
        auxiliary_heads(network, architecture, ("C4",), kind="pooled")
    with pytest.raises(ValueError, match=r"pooled (ones|heads are) for any network"):
        auxiliary_heads(network, architecture, ("C2",))
