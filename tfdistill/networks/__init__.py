"""Networks by name: functional Keras models from normalised images to a dict of taps.

Every network takes float images [batch, height, width, channels] under the input name "images" and returns
the taps "stage1", "stage2", ..., "features" (the last feature map), "embedding" (its global average) and
"logits" (float32).

    tfdistill.networks.build("resnet32", classes=100, seed=1)
    tfdistill.networks.resnet32(classes=100, seed=1)            # the same
    tfdistill.networks.network_from(any_functional_model, {"logits": "predictions"})
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import keras

from tfdistill.networks.adapters import mobilenet_v2, network_from
from tfdistill.networks.mobilenet import mobilenet
from tfdistill.networks.resnet import cifar_resnet
from tfdistill.networks.wide_resnet import wide_resnet

__all__ = [
    "NETWORKS",
    "NetworkFamily",
    "build",
    "cifar_resnet",
    "mobilenet",
    "mobilenet_v2",
    "network_from",
    "wide_resnet",
]


@dataclass(frozen=True)
class NetworkFamily:
    """The networks whose names follow one pattern.

    Args:
        pattern: the name, with numbers written as "<argument>" where the builder takes that argument.
        summary: one line for a list of networks.
        examples: some valid names.
        builder: from the pattern's numbers and the keywords classes, image_shape, seed and name to a network.
    """

    pattern: str
    summary: str
    examples: tuple[str, ...]
    builder: Callable[..., keras.Model]

    def numbers(self, name: str) -> dict[str, int] | None:
        """The pattern's numbers in `name`, or None where the name does not follow the pattern."""
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", self.pattern), name)
        return match and {argument: int(digits) for argument, digits in match.groupdict().items()}


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
        ("resnet32_a", "resnet110_a"),
        functools.partial(cifar_resnet, shortcut="A"),
    ),
    "resnet_b": NetworkFamily(
        "resnet<depth>_b",
        "CIFAR ResNet of depth 6n + 2, projection shortcuts (B)",
        ("resnet32_b", "resnet110_b"),
        functools.partial(cifar_resnet, shortcut="B"),
    ),
    "wide_resnet": NetworkFamily(
        "wide_resnet_<depth>_<width>",
        "Wide ResNet of depth 6n + 4, any width",
        ("wide_resnet_16_2", "wide_resnet_28_4", "wide_resnet_28_10", "wide_resnet_40_2"),
        wide_resnet,
    ),
    "wide_resnet_dropout": NetworkFamily(
        "wide_resnet_<depth>_<width>_dropout",
        "Wide ResNet with dropout 0.3 in its blocks, DCM's (+)",
        ("wide_resnet_28_10_dropout",),
        functools.partial(wide_resnet, dropout=0.3),
    ),
    "mobilenet": NetworkFamily("mobilenet", "CIFAR MobileNet with IE-KD's strides", ("mobilenet",), mobilenet),
    "mobilenet_dcm": NetworkFamily(
        "mobilenet_dcm",
        "CIFAR MobileNet with DCM's strides",
        ("mobilenet_dcm",),
        functools.partial(mobilenet, strides="dcm"),
    ),
    "mobilenet_v2": NetworkFamily(
        "mobilenet_v2",
        "MobileNetV2 of keras.applications, images of 32 pixels or more",
        ("mobilenet_v2",),
        mobilenet_v2,
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
        a network: a functional `keras.Model` from images to the dict of its taps.

    Raises:
        ValueError: no network has that name (the message has the nearest), or an argument is outside of its
            range.
    """
    return _builder(name)(classes=classes, image_shape=image_shape, seed=seed, name=model_name or name)


def require_name(name: str) -> None:
    """Raises ValueError, with the nearest name, unless a network may be called `name`; builds nothing."""
    _builder(name)


def _builder(name: str) -> Callable[..., keras.Model]:
    for family in NETWORKS.values():
        numbers = family.numbers(name)
        if numbers is not None:
            return functools.partial(family.builder, **numbers)
    raise ValueError(f"unknown network {name!r}; nearest: {_nearest(name)!r}")


def _nearest(name: str) -> str:
    names = [example for family in NETWORKS.values() for example in family.examples]
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
        return _builder(name)
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *(example for family in NETWORKS.values() for example in family.examples)})
