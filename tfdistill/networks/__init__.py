"""Networks by name: functional Keras models from normalised images to a dict of taps.

Every network takes float images [batch, height, width, channels] under the input name "images" and returns
the taps "stage1", "stage2", ..., "stage1_preactivation", ... (the same before ReLU), "features" (the last
feature map), "embedding" (its global average) and "logits" (float32). All but VGG have a "stem" too.
`docs/networks.md` has the shapes of every network's.

    tfdistill.networks.build("resnet32", classes=100, seed=1)
    tfdistill.networks.resnet32(classes=100, seed=1)            # the same
    tfdistill.networks.network_from(any_functional_model, {"logits": "predictions"})
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from tfdistill.networks.adapters import network_from
from tfdistill.networks.architectures.densenet import densenet
from tfdistill.networks.architectures.imagenet_resnet import imagenet_resnet
from tfdistill.networks.architectures.mobilenet import mobilenet
from tfdistill.networks.architectures.mobilenet_v2 import mobilenet_v2
from tfdistill.networks.architectures.preactivation_resnet import preactivation_resnet
from tfdistill.networks.architectures.resnet import cifar_bottleneck_resnet, cifar_resnet
from tfdistill.networks.architectures.vgg import vgg
from tfdistill.networks.architectures.wide_resnet import wide_resnet
from tfdistill.networks.keras_applications import APPLICATIONS, keras_application
from tfdistill.networks.names import distinct
from tfdistill.networks.specification import IMAGENET, Specification

__all__ = [
    "NETWORKS",
    "NetworkFamily",
    "Specification",
    "build",
    "architecture_of",
    "distinct",
    "imagenet_name",
    "require_name",
    "network_from",
    "cifar_resnet",
    "cifar_bottleneck_resnet",
    "preactivation_resnet",
    "wide_resnet",
    "densenet",
    "vgg",
    "mobilenet",
    "imagenet_resnet",
    "mobilenet_v2",
    "APPLICATIONS",
    "keras_application",
]


# Of the numbers in a name, far beyond any paper's: a slip of the keyboard must not take the machine's memory.
LARGEST = {"depth": 2_000, "width": 1_000, "growth": 1_000}
MOST_WEIGHTS = 1_000_000_000
DIGITS = 9


@dataclass(frozen=True)
class NetworkFamily:
    """The networks whose names follow one pattern.

    Args:
        pattern: the name, with numbers written as "<argument>" where the builder takes that argument.
        summary: one line for a list of networks.
        examples: some valid names.
        builder: from the pattern's numbers and the keywords classes, image_shape, seed and name to a network.
        starts_like: whose first weights these are, where another family has the same networks but for them.
    """

    pattern: str
    summary: str
    examples: tuple[str, ...]
    builder: Callable[..., keras.Model]
    starts_like: str = ""

    def numbers(self, name: str) -> dict[str, int] | None:
        """The pattern's numbers in `name`, or None where the name does not follow the pattern."""
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", self.pattern), name)
        return match and {argument: int(digits[:DIGITS]) for argument, digits in match.groupdict().items()}


NETWORKS: dict[str, NetworkFamily] = {
    "resnet": NetworkFamily(
        "resnet<depth>",
        "CIFAR ResNet of depth 6n + 2, projection shortcuts (B)",
        ("resnet8", "resnet20", "resnet32", "resnet56", "resnet110"),
        cifar_resnet,
    ),
    "resnet_a": NetworkFamily(
        "resnet<depth>_a",
        "CIFAR ResNet of depth 6n + 2, parameter-free shortcuts (A)",
        ("resnet32_a", "resnet56_a", "resnet110_a"),
        functools.partial(cifar_resnet, shortcut="A"),
    ),
    "resnet_b": NetworkFamily(
        "resnet<depth>_b",
        "CIFAR ResNet of depth 6n + 2, projection shortcuts (B)",
        ("resnet32_b", "resnet110_b"),
        functools.partial(cifar_resnet, shortcut="B"),
    ),
    "resnet_a_ie_kd": NetworkFamily(
        "resnet<depth>_a_ie_kd",
        "CIFAR ResNet with shortcuts A and the initial weights of IE-KD's authors",
        ("resnet32_a_ie_kd", "resnet110_a_ie_kd"),
        functools.partial(cifar_resnet, shortcut="A", initialization="ie_kd"),
        starts_like="IE-KD",
    ),
    "resnet_b_ie_kd": NetworkFamily(
        "resnet<depth>_b_ie_kd",
        "CIFAR ResNet with shortcuts B and the initial weights of IE-KD's authors",
        ("resnet32_b_ie_kd",),
        functools.partial(cifar_resnet, shortcut="B", initialization="ie_kd"),
        starts_like="IE-KD",
    ),
    "resnet_bottleneck": NetworkFamily(
        "resnet<depth>_bottleneck",
        "CIFAR ResNet of depth 9n + 2, bottlenecks",
        ("resnet110_bottleneck",),
        cifar_bottleneck_resnet,
    ),
    "resnet_one": NetworkFamily(
        "resnet<depth>_one",
        "CIFAR ResNet of (depth - 2) / 6 bottlenecks per stage, as ONE's code counts depth",
        ("resnet56_one", "resnet110_one"),
        functools.partial(cifar_bottleneck_resnet, counted_as="basic"),
    ),
    "resnet164": NetworkFamily(
        "resnet164",
        "CIFAR ResNet-164 of pre-activation bottlenecks, DCM's (resnet164_b has basic blocks)",
        ("resnet164",),
        functools.partial(preactivation_resnet, 164),
    ),
    "resnet_preactivation": NetworkFamily(
        "resnet<depth>_preactivation",
        "CIFAR ResNet of depth 9n + 2, pre-activation bottlenecks",
        ("resnet110_preactivation",),
        preactivation_resnet,
    ),
    "wide_resnet": NetworkFamily(
        "wide_resnet_<depth>_<width>",
        "Wide ResNet of depth 6n + 4, any width",
        ("wide_resnet_16_2", "wide_resnet_28_4", "wide_resnet_28_10", "wide_resnet_40_2", "wide_resnet_46_4"),
        wide_resnet,
    ),
    "wide_resnet_dropout": NetworkFamily(
        "wide_resnet_<depth>_<width>_dropout",
        "Wide ResNet with dropout 0.3 in its blocks, DCM's (+)",
        ("wide_resnet_28_10_dropout",),
        functools.partial(wide_resnet, dropout=0.3),
    ),
    "wide_resnet_dcm": NetworkFamily(
        "wide_resnet_<depth>_<width>_dcm",
        "Wide ResNet with the initial weights of DCM's authors",
        ("wide_resnet_28_4_dcm", "wide_resnet_28_10_dcm"),
        functools.partial(wide_resnet, initialization="dcm"),
        starts_like="DCM",
    ),
    "wide_resnet_dropout_dcm": NetworkFamily(
        "wide_resnet_<depth>_<width>_dropout_dcm",
        "Wide ResNet with dropout and the initial weights of DCM's authors",
        ("wide_resnet_28_10_dropout_dcm",),
        functools.partial(wide_resnet, dropout=0.3, initialization="dcm"),
        starts_like="DCM",
    ),
    "densenet": NetworkFamily(
        "densenet_<depth>_<growth>",
        "DenseNet of depth 3n + 4, neither bottlenecks nor compression",
        ("densenet_40_12",),
        densenet,
    ),
    "vgg": NetworkFamily(
        "vgg<depth>", "VGG of depth 11, 13, 16 or 19, two hidden layers of 4096 with dropout", ("vgg13",), vgg
    ),
    "vgg_bn": NetworkFamily(
        "vgg<depth>_bn",
        "VGG with batch normalization and one linear layer",
        ("vgg13_bn",),
        functools.partial(vgg, batch_norm=True),
    ),
    "mobilenet": NetworkFamily(
        "mobilenet", "CIFAR MobileNet with IE-KD's strides and initial weights", ("mobilenet",), mobilenet
    ),
    "mobilenet_dcm": NetworkFamily(
        "mobilenet_dcm",
        "CIFAR MobileNet with DCM's strides and initial weights",
        ("mobilenet_dcm",),
        functools.partial(mobilenet, strides="dcm"),
    ),
    "imagenet_resnet": NetworkFamily(
        "imagenet_resnet<depth>",
        "ImageNet ResNet of depth 18, 34, 50, 101 or 152 (version 1.5), images of 32 pixels or more",
        ("imagenet_resnet18", "imagenet_resnet34", "imagenet_resnet50", "imagenet_resnet101", "imagenet_resnet152"),
        imagenet_resnet,
    ),
    "mobilenet_v2": NetworkFamily(
        "mobilenet_v2", "MobileNetV2 of width 1, images of 32 pixels or more", ("mobilenet_v2",), mobilenet_v2
    ),
}


def build(
    name: str,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    seed: int | None = None,
    model_name: str | None = None,
) -> keras.Model:
    """Builds the network of that name, see `NETWORKS` for the names.

    Args:
        name: such as "resnet32", "resnet110_a", "wide_resnet_28_10" or "mobilenet".
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels) in pixels.
        seed: of the initial weights; None draws new ones at every call.
        model_name: the model's name, `name` by default. Give peers of one architecture different ones.

    Returns:
        a network: a functional `keras.Model` from images to the dict of its taps. Its attribute `architecture` is
            `name`, for methods that design helpers by it.

    Raises:
        ValueError: no network has that name (the message has the nearest), or an argument is outside of its
            range.
    """
    network = _builder(name)(classes=classes, image_shape=image_shape, seed=seed, name=model_name or name)
    network.architecture = name
    return network


def require_name(name: str) -> None:
    """Raises ValueError, with the nearest name, unless a network may be called `name`; builds nothing."""
    _builder(name)


def imagenet_name(name: str) -> str:
    """The network meant where a name stands beside ImageNet: "resnet50" is imagenet_resnet50 there.

    Alone, "resnet50" is the CIFAR network of that depth; no weights of it come from ImageNet.

    Raises:
        ValueError: no network may be called `name`.
    """
    inside = f"imagenet_{name}"
    if inside in NETWORKS["imagenet_resnet"].examples:
        return inside
    require_name(name)
    return name


def architecture_of(specification: Specification) -> str:
    """The name of the network that a specification means; builds nothing.

    "resnet50:imagenet" is keras_resnet50: Keras' ImageNet weights fit Keras' architecture alone.

    Raises:
        ValueError: no network may be called so (the message has the nearest name), or Keras has no ImageNet weights
            for it.
    """
    name = specification.name
    if specification.source != IMAGENET:
        require_name(name)
        return name
    kerases = f"keras_{imagenet_name(name).removeprefix('imagenet_').removeprefix('keras_')}"
    if kerases not in APPLICATIONS:
        having = ", ".join(one.removeprefix("keras_") for one in APPLICATIONS)
        raise ValueError(
            f"Keras has ImageNet weights for {having}, none for {name!r}; a .safetensors file with torchvision's or "
            "timm's names loads by its path, such as imagenet_resnet18:PATH"
        )
    return kerases


def _builder(name: str) -> Callable[..., keras.Model]:
    if name in ("resnet18", "resnet34", "resnet101"):
        raise ValueError(f"{name!r} has no depth of a CIFAR ResNet, 6n + 2; ImageNet's network is 'imagenet_{name}'")
    if name in APPLICATIONS:
        return functools.partial(keras_application, name)
    # A name without numbers to fill in goes before patterns: "resnet164" is no ResNet of basic blocks.
    for family in sorted(NETWORKS.values(), key=lambda family: "<" in family.pattern):
        numbers = family.numbers(name)
        if numbers is not None:
            _require_size(name, numbers)
            return functools.partial(family.builder, **numbers)
    if not name.strip():
        raise ValueError(f"unknown network {name!r}: the name is empty, as after a comma too many")
    raise ValueError(f"unknown network {name!r}; nearest: {_nearest(name)!r}")


def _require_size(name: str, numbers: Mapping[str, int]) -> None:
    """Refuses what no machine could hold, before anything of it is built."""
    for argument, number in numbers.items():
        if number > LARGEST[argument]:
            named = name if len(name) < 40 else f"{name[:40]}…"
            raise ValueError(f"{named!r} has a {argument} beyond the largest, {LARGEST[argument]:,}")
    if name.startswith("wide_resnet"):
        # Blocks of two 3×3 convolutions in stages of 16, 32 and 64 times the width.
        weights = numbers["depth"] / 6 * 2 * 9 * (16**2 + 32**2 + 64**2) * numbers["width"] ** 2
    elif name.startswith("densenet"):
        # A layer reads half of what its block ends with, on average, and a third of that is of the block itself.
        weights = numbers["depth"] ** 2 / 2 * 9 * numbers["growth"] ** 2
    else:
        return
    if weights > MOST_WEIGHTS:
        raise ValueError(f"{name!r} would have about {weights:,.0f} weights; {MOST_WEIGHTS:,} are the most")


def _nearest(name: str) -> str:
    names = [*(example for family in NETWORKS.values() for example in family.examples), *APPLICATIONS]
    # The patterns filled with the name's own numbers come first: "wrn_40_4" means wide_resnet_40_4.
    numbers = re.findall(r"[1-9][0-9]*", name)
    filled = [
        re.sub(r"<\w+>", "{}", family.pattern).format(*numbers)
        for family in NETWORKS.values()
        if numbers and family.pattern.count("<") == len(numbers)
    ]
    return difflib.get_close_matches(name, filled + names, n=1, cutoff=0.0)[0]


def __getattr__(name: str) -> Callable[..., keras.Model]:
    try:
        builder = _builder(name)
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None

    @functools.wraps(builder)
    def built(*arguments: Any, **keywords: Any) -> keras.Model:
        network = builder(*arguments, **keywords)
        network.architecture = name  # as `build` does
        return network

    return built


def __dir__() -> list[str]:
    return sorted({*globals(), *(example for family in NETWORKS.values() for example in family.examples)})
