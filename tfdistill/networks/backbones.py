"""A detector's backbone from a classifier of the same architecture."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from tfdistill.networks.weights import assign_named, read_weights, weights_of

# Layers that a detector shares with the classifier that its backbone is.
_BACKBONE = re.compile(r"(stem|stage\d+)[_/]")
_CLASSIFIERS = {r"ssd300_resnet(\d+)": "imagenet_resnet{}", r"ssd96_resnet(\d+)": "resnet{}"}


def load_backbone(detector: keras.Model, source: keras.Model | str | Path) -> list[str]:
    """Gives a detector's backbone the weights of a classifier; everything behind the backbone stays as it is.

    Args:
        detector: such as `ssd300_resnet18`.
        source: a classifier of the backbone's architecture, imagenet_resnet18 for that one, or a file of its weights
            as `read_weights` takes them: ".keras", ".weights.h5", ".npz", or ".safetensors" with these names,
            torchvision's or timm's. Its classifier and the stages that the backbone lacks are not looked at.

    Returns:
        what there is to tell: one line.

    Raises:
        ValueError: the detector is none of `DETECTORS`, or the source has not all that the backbone needs, with the
            same shapes and finite values; no weight was touched.
    """
    backbone = _backbone_of(detector)
    wanted = {name: one for name, one in weights_of(detector).items() if _BACKBONE.match(name)}
    if isinstance(source, keras.Model):
        arrays = {name: one.numpy() for name, one in weights_of(source).items()}
        told = source.name
    else:
        arrays, told = read_weights(Path(source), detector, backbone), str(source)
    assign_named(wanted, {name: array for name, array in arrays.items() if name in wanted}, detector.name, told)
    return [f"{detector.name}: its backbone starts from {told}"]


def _backbone_of(detector: keras.Model) -> str:
    """The name in `NETWORKS` of the classifier that a detector's backbone is part of."""
    architecture = getattr(detector, "architecture", None) or ""
    for pattern, name in _CLASSIFIERS.items():
        if found := re.fullmatch(pattern, architecture):
            return name.format(*found.groups())
    raise ValueError(f"{detector.name} is no detector that a backbone is known for")
