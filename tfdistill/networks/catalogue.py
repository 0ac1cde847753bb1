"""The networks by name: a row for each family, and the file that builds it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfdistill.networks import depths

# Digits of a number in a name that are read; the largest numbers, see `by_name`, have fewer.
DIGITS = 9


@dataclass(frozen=True)
class NetworkFamily:
    """The networks whose names follow one pattern.

    Args:
        pattern: the name, with numbers written as "<argument>" where the builder takes that argument.
        summary: one line for a list of networks.
        examples: some valid names.
        builder: file and function in `architectures`, such as "resnet.cifar_resnet": from the pattern's numbers and
            the keywords classes, image_shape, seed and name to a network. Its file is read when a network is built.
        arguments: further ones of the builder.
        starts_like: whose first weights these are, where another family has the same networks but for them.
        depths: refuses depths in a name that no network has, as the builder does.
        backbones: of a detector, the patterns of the classifiers whose weights its backbone takes; the first is the one
            that it is a part of.
    """

    pattern: str
    summary: str
    examples: tuple[str, ...]
    builder: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    starts_like: str = ""
    depths: Callable[[int], object] | None = None
    backbones: tuple[str, ...] = ()

    def numbers(self, name: str) -> dict[str, int] | None:
        """The pattern's numbers in `name`, or None where the name does not follow the pattern."""
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", self.pattern), name)
        return match and {argument: int(digits[:DIGITS]) for argument, digits in match.groupdict().items()}

    def load_builder(self) -> Callable[..., Any]:
        """The function that builds."""
        file, _, function = self.builder.partition(".")
        return getattr(importlib.import_module(f"tfdistill.networks.architectures.{file}"), function)


NETWORKS: dict[str, NetworkFamily] = {
    "resnet": NetworkFamily(
        "resnet<depth>",
        "CIFAR ResNet of depth 6n + 2, projection shortcuts (B)",
        ("resnet8", "resnet20", "resnet32", "resnet56", "resnet110"),
        "resnet.cifar_resnet",
        depths=depths.basic_blocks,
    ),
    "resnet_a": NetworkFamily(
        "resnet<depth>_a",
        "CIFAR ResNet of depth 6n + 2, parameter-free shortcuts (A)",
        ("resnet32_a", "resnet56_a", "resnet110_a"),
        "resnet.cifar_resnet",
        {"shortcut": "A"},
        depths=depths.basic_blocks,
    ),
    "resnet_b": NetworkFamily(
        "resnet<depth>_b",
        "CIFAR ResNet of depth 6n + 2, projection shortcuts (B)",
        ("resnet32_b", "resnet110_b"),
        "resnet.cifar_resnet",
        {"shortcut": "B"},
        depths=depths.basic_blocks,
    ),
    "resnet_a_ie_kd": NetworkFamily(
        "resnet<depth>_a_ie_kd",
        "CIFAR ResNet with shortcuts A and the initial weights of IE-KD's authors",
        ("resnet32_a_ie_kd", "resnet110_a_ie_kd"),
        "resnet.cifar_resnet",
        {"shortcut": "A", "initialization": "ie_kd"},
        starts_like="IE-KD",
        depths=depths.basic_blocks,
    ),
    "resnet_b_ie_kd": NetworkFamily(
        "resnet<depth>_b_ie_kd",
        "CIFAR ResNet with shortcuts B and the initial weights of IE-KD's authors",
        ("resnet32_b_ie_kd",),
        "resnet.cifar_resnet",
        {"shortcut": "B", "initialization": "ie_kd"},
        starts_like="IE-KD",
        depths=depths.basic_blocks,
    ),
    "resnet_bottleneck": NetworkFamily(
        "resnet<depth>_bottleneck",
        "CIFAR ResNet of depth 9n + 2, bottlenecks",
        ("resnet110_bottleneck",),
        "resnet.cifar_bottleneck_resnet",
        depths=depths.bottlenecks,
    ),
    "resnet_one": NetworkFamily(
        "resnet<depth>_one",
        "CIFAR ResNet of (depth - 2) / 6 bottlenecks per stage, as ONE's code counts depth",
        ("resnet56_one", "resnet110_one"),
        "resnet.cifar_bottleneck_resnet",
        {"counted_as": "basic"},
        depths=depths.basic_blocks,
    ),
    "resnet164": NetworkFamily(
        "resnet164",
        "CIFAR ResNet-164 of pre-activation bottlenecks, DCM's (resnet164_b has basic blocks)",
        ("resnet164",),
        "preactivation_resnet.preactivation_resnet",
        {"depth": 164},
    ),
    "resnet_preactivation": NetworkFamily(
        "resnet<depth>_preactivation",
        "CIFAR ResNet of depth 9n + 2, pre-activation bottlenecks",
        ("resnet110_preactivation",),
        "preactivation_resnet.preactivation_resnet",
        depths=depths.bottlenecks,
    ),
    "wide_resnet": NetworkFamily(
        "wide_resnet_<depth>_<width>",
        "Wide ResNet of depth 6n + 4, any width",
        ("wide_resnet_16_2", "wide_resnet_28_4", "wide_resnet_28_10", "wide_resnet_40_2", "wide_resnet_46_4"),
        "wide_resnet.wide_resnet",
        depths=depths.wide_blocks,
    ),
    "wide_resnet_dropout": NetworkFamily(
        "wide_resnet_<depth>_<width>_dropout",
        "Wide ResNet with dropout 0.3 in its blocks, DCM's (+)",
        ("wide_resnet_28_10_dropout",),
        "wide_resnet.wide_resnet",
        {"dropout": 0.3},
        depths=depths.wide_blocks,
    ),
    "wide_resnet_dcm": NetworkFamily(
        "wide_resnet_<depth>_<width>_dcm",
        "Wide ResNet with the initial weights of DCM's authors",
        ("wide_resnet_28_4_dcm", "wide_resnet_28_10_dcm"),
        "wide_resnet.wide_resnet",
        {"initialization": "dcm"},
        starts_like="DCM",
        depths=depths.wide_blocks,
    ),
    "wide_resnet_dropout_dcm": NetworkFamily(
        "wide_resnet_<depth>_<width>_dropout_dcm",
        "Wide ResNet with dropout and the initial weights of DCM's authors",
        ("wide_resnet_28_10_dropout_dcm",),
        "wide_resnet.wide_resnet",
        {"dropout": 0.3, "initialization": "dcm"},
        starts_like="DCM",
        depths=depths.wide_blocks,
    ),
    "densenet": NetworkFamily(
        "densenet_<depth>_<growth>",
        "DenseNet of depth 3n + 4, neither bottlenecks nor compression",
        ("densenet_40_12",),
        "densenet.densenet",
        depths=depths.dense_layers,
    ),
    "vgg": NetworkFamily(
        "vgg<depth>",
        "VGG of depth 11, 13, 16 or 19, two hidden layers of 4096 with dropout",
        ("vgg13",),
        "vgg.vgg",
        depths=depths.vgg_convolutions,
    ),
    "vgg_bn": NetworkFamily(
        "vgg<depth>_bn",
        "VGG with batch normalization and one linear layer",
        ("vgg13_bn",),
        "vgg.vgg",
        {"batch_norm": True},
        depths=depths.vgg_convolutions,
    ),
    "mobilenet": NetworkFamily(
        "mobilenet", "CIFAR MobileNet with IE-KD's strides and initial weights", ("mobilenet",), "mobilenet.mobilenet"
    ),
    "mobilenet_dcm": NetworkFamily(
        "mobilenet_dcm",
        "CIFAR MobileNet with DCM's strides and initial weights",
        ("mobilenet_dcm",),
        "mobilenet.mobilenet",
        {"strides": "dcm"},
    ),
    "imagenet_resnet": NetworkFamily(
        "imagenet_resnet<depth>",
        "ImageNet ResNet of depth 18, 34, 50, 101 or 152 (version 1.5), images of 32 pixels or more",
        ("imagenet_resnet18", "imagenet_resnet34", "imagenet_resnet50", "imagenet_resnet101", "imagenet_resnet152"),
        "imagenet_resnet.imagenet_resnet",
        depths=depths.imagenet_resnet_blocks,
    ),
    "mobilenet_v2": NetworkFamily(
        "mobilenet_v2",
        "MobileNetV2 of width 1, images of 32 pixels or more",
        ("mobilenet_v2",),
        "mobilenet_v2.mobilenet_v2",
    ),
}

# Networks that answer with boxes.
DETECTORS: dict[str, NetworkFamily] = {
    "ssd300": NetworkFamily(
        "ssd300_resnet<depth>",
        "SSD for images of 300 pixels on an ImageNet ResNet of depth 18, 34 or 50",
        ("ssd300_resnet18", "ssd300_resnet34", "ssd300_resnet50"),
        "ssd.ssd300",
        depths=depths.ssd300_blocks,
        backbones=("imagenet_resnet<depth>",),
    ),
    "ssd300_keras": NetworkFamily(
        "ssd300_keras_resnet50",
        "SSD for images of 300 pixels on Keras' ResNet-50, for Keras' ImageNet weights",
        ("ssd300_keras_resnet50",),
        "ssd.ssd300_keras",
        backbones=("keras_resnet50",),
    ),
    "ssd96": NetworkFamily(
        "ssd96_resnet<depth>",
        "SSD for images of 96 pixels on a CIFAR ResNet of depth 6n + 2",
        ("ssd96_resnet8", "ssd96_resnet14", "ssd96_resnet20"),
        "ssd.ssd96",
        depths=depths.basic_blocks,
        backbones=("resnet<depth>", "resnet<depth>_b", "resnet<depth>_b_ie_kd"),
    ),
}
