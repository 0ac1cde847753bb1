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

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfdistill import lazy
from tfdistill.networks.by_name import (
    backbones_of,
    build,
    builder_of,
    imagenet_name,
    is_detector,
    reads_as_keras,
    require_name,
)
from tfdistill.networks.catalogue import DETECTORS, NETWORKS, NetworkFamily
from tfdistill.networks.keras_applications import APPLICATIONS, keras_application
from tfdistill.networks.names import distinct
from tfdistill.networks.specification import Specification, specified

if TYPE_CHECKING:
    import keras

    from tfdistill.networks.adapters import network_from
    from tfdistill.networks.architectures.densenet import densenet
    from tfdistill.networks.architectures.imagenet_resnet import imagenet_resnet
    from tfdistill.networks.architectures.mobilenet import mobilenet
    from tfdistill.networks.architectures.mobilenet_v2 import mobilenet_v2
    from tfdistill.networks.architectures.preactivation_resnet import preactivation_resnet
    from tfdistill.networks.architectures.resnet import cifar_bottleneck_resnet, cifar_resnet
    from tfdistill.networks.architectures.ssd import ssd96, ssd300, ssd300_keras
    from tfdistill.networks.architectures.vgg import vgg
    from tfdistill.networks.architectures.wide_resnet import wide_resnet
    from tfdistill.networks.backbones import load_backbone

__all__ = [
    "DETECTORS",
    "NETWORKS",
    "NetworkFamily",
    "Specification",
    "build",
    "distinct",
    "builder_of",
    "imagenet_name",
    "is_detector",
    "require_name",
    "backbones_of",
    "reads_as_keras",
    "specified",
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
    "ssd300",
    "ssd300_keras",
    "ssd96",
    "load_backbone",
    "APPLICATIONS",
    "keras_application",
]


_exported, _dir = lazy.attributes(__name__)


def __getattr__(name: str) -> Callable[..., keras.Model]:
    """What the package exports, or the builder of the network of that name."""
    if name in lazy.places(__name__):
        return _exported(name)
    try:
        builder = builder_of(name)
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None

    @functools.wraps(builder)
    def built(*arguments: Any, **keywords: Any) -> keras.Model:
        network = builder(*arguments, **keywords)
        network.architecture = name  # as `build` does
        return network

    return built


def __dir__() -> list[str]:
    families = [*NETWORKS.values(), *DETECTORS.values()]
    return sorted({*_dir(), *(example for family in families for example in family.examples)})
