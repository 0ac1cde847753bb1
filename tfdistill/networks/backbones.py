"""A detector's backbone from a classifier of the same architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfdistill.networks.by_name import backbones_of, builder_of
from tfdistill.networks.keras_applications import APPLICATIONS
from tfdistill.networks.weights import assign_named, assign_weights, read_weights, weights_of

# Layers that a detector shares with the classifier that its backbone is.
_BACKBONE = re.compile(r"(stem|stage\d+)[_/]")
# A convolution or a normalization of Keras' ResNet, and what Keras adds to variances where we add 1e-5.
_OF_KERAS = re.compile(r"(?:conv1|conv(\d)_block(\d+)_(\d))_(conv|bn)/(\w+)")
_ADDED_BY_KERAS, _ADDED_HERE = 1.001e-5, 1e-5


def load_backbone(detector: keras.Model, source: keras.Model | str | Path) -> list[str]:
    """Gives a detector's backbone the weights of a classifier; everything behind the backbone stays as it is.

    Args:
        detector: such as `ssd300_resnet18`.
        source: a classifier of the backbone's architecture, imagenet_resnet18 for that one and `keras_application`'s
            keras_resnet50 for `ssd300_keras`, or a file of its weights as `read_weights` takes them: ".keras",
            ".weights.h5", ".npz", or ".safetensors" with these names, torchvision's or timm's. Its classifier and the
            stages that the backbone lacks are not looked at.

    Returns:
        what there is to tell: one line.

    Raises:
        ValueError: the detector is none of `DETECTORS`, or the source has not all that the backbone needs, with the
            same shapes and finite values; no weight was touched.
    """
    architecture = _architecture(detector)
    if not backbones_of(architecture):
        raise ValueError(f"{detector.name} is no detector that a backbone is known for")
    if isinstance(source, keras.Model):
        arrays, told = {name: one.numpy() for name, one in weights_of(source).items()}, source.name
    else:
        arrays, told = read_detector_or_backbone(Path(source), detector, architecture), str(source)
    return _assign_backbone(detector, arrays, told)


def assign_detector_or_backbone(network: keras.Model, arrays: Mapping[str, np.ndarray], *, source: str) -> list[str]:
    """As `assign_weights`; but a detector that is given a classifier's weights takes them for its backbone alone.

    Args, Returns and Raises: as of `assign_weights`. What a backbone starts from is told in a line, with the weights
    that stay as they are.
    """
    if backbones_of(_architecture(network)) and all(
        _BACKBONE.match(name) for name in weights_of(network) if name in arrays
    ):
        return _assign_backbone(network, arrays, source)
    return assign_weights(network, arrays, source=source)


def read_detector_or_backbone(path: Path, network: keras.Model, architecture: str) -> dict[str, np.ndarray]:
    """As `read_weights`; for a detector the file may be one of a classifier that its backbone is part of."""
    arrays = read_weights(path, network, architecture)
    backbones = backbones_of(architecture)
    if backbones and backbones[0] in APPLICATIONS and any(map(_OF_KERAS.fullmatch, arrays)):
        return read_weights(path, backbone_classifier(network), backbones[0])
    return arrays


def backbone_classifier(detector: keras.Model) -> keras.Model:
    """The smallest classifier that the detector's backbone is part of, which tells names and order of its weights."""
    name = backbones_of(_architecture(detector))[0]
    return builder_of(name)(classes=2, image_shape=(32, 32, detector.input_shape[-1]), seed=0, name=name)


def _architecture(network: keras.Model) -> str:
    return getattr(network, "architecture", None) or ""


def _assign_backbone(detector: keras.Model, arrays: Mapping[str, np.ndarray], source: str) -> list[str]:
    named, known = weights_of(detector), _renamed_from_keras(arrays)
    wanted = {name: one for name, one in named.items() if _BACKBONE.match(name)}
    assign_named(wanted, {name: array for name, array in known.items() if name in wanted}, detector.name, source)
    counts = [sum(int(np.prod(one.shape)) for one in some.values()) for some in (wanted, named)]
    return [
        f"{detector.name}: its backbone starts from {source} ({len(wanted)} arrays, {counts[0]:,} numbers); the other "
        f"{len(named) - len(wanted)} arrays ({counts[1] - counts[0]:,} numbers) are new"
    ]


def _renamed_from_keras(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of Keras' ResNet-50 as ours of the same convolutions, which have no biases.

    A bias before a normalization is the same as a running mean that is less by it.
    """
    renamed = dict(arrays)
    for name, array in arrays.items():
        if not (found := _OF_KERAS.fullmatch(name)):
            continue
        stage, block, index, kind, variable = found.groups()
        layer = "stem"
        if stage:
            layer = f"stage{int(stage) - 1}_block{block}_{f'conv{index}' if index != '0' else 'shortcut'}"
        del renamed[name]
        if kind == "conv" and variable == "bias":
            continue
        if variable == "moving_mean":
            bias = arrays.get(re.sub(r"_bn/.*", "_conv/bias", name))
            array = array - bias if bias is not None and bias.shape == array.shape else array
        elif variable == "moving_variance":
            array = array + np.asarray(_ADDED_BY_KERAS - _ADDED_HERE, array.dtype)
        renamed[f"{layer}{'_norm' if kind == 'bn' else ''}/{variable}"] = array
    return renamed
