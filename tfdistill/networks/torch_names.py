"""Names and layouts of torchvision's and timm's weights, for the networks that have the same architecture there.

| PyTorch | here |
| --- | --- |
| convolution [out, in, height, width] | kernel [height, width, in, out] |
| depthwise convolution [channels, 1, height, width] | kernel [height, width, channels, 1] |
| linear [out, in] | kernel [in, out] |
| weight, bias, running_mean, running_var of a norm | gamma, beta, moving_mean, moving_variance |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from tfdistill.networks.architectures.mobilenet_v2 import GROUPS
from tfdistill.networks.depths import IMAGENET_RESNET, SSD300_RESNET

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
MAPPED = (
    *(f"imagenet_resnet{depth}" for depth in IMAGENET_RESNET),
    "mobilenet_v2",
    *(f"ssd300_resnet{depth}" for depth in SSD300_RESNET),
)
LINEAR = {"weight": "kernel", "bias": "bias"}


def from_torch(architecture: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames and transposes the arrays that torchvision's or timm's names say to be of that architecture.

    Args:
        architecture: a name in `NETWORKS` or `DETECTORS`; only ImageNet ResNets, detectors on them, and MobileNetV2
            have a map.
        arrays: the file's, by its names. "num_batches_tracked" is left out: nothing here counts batches.

    Returns:
        from "<layer>/<variable>" to float32 array; an array that has no place in the map keeps its name.

    Raises:
        ValueError: the names are PyTorch's, and there is no map for this architecture.
    """
    layers = _layers_of(architecture)
    if not layers and not any("/" in name for name in arrays):
        raise ValueError(f"it has PyTorch's names, which are known for {', '.join(MAPPED)}, not for {architecture}")
    renamed = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition(".")
        if variable == "num_batches_tracked":
            continue
        ours = layers.get(layer)
        kinds = NORM if ours and ours.endswith("_norm") else LINEAR
        if ours is None or variable not in kinds:
            renamed[name] = array
            continue
        renamed[f"{ours}/{kinds[variable]}"] = _in_our_layout(array, depthwise=ours.endswith("_depthwise"))
    return renamed


def _in_our_layout(array: np.ndarray, *, depthwise: bool) -> np.ndarray:
    if array.ndim == 4:
        array = array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array, np.float32)


def _layers_of(architecture: str) -> dict[str, str]:
    """From a layer's name in PyTorch, torchvision's and timm's both, to the layer's name here."""
    if match := re.fullmatch(r"(?:imagenet|ssd300)_resnet(\d+)", architecture):
        return resnet_layers(int(match.group(1)))
    if architecture == "mobilenet_v2":
        return {**torchvision_mobilenet_v2_layers(), **timm_mobilenet_v2_layers()}
    return {}


def resnet_layers(depth: int) -> dict[str, str]:
    """ResNet-18 to -152 of torchvision, whose names timm shares."""
    convolutions = (1, 2, 3) if depth >= 50 else (1, 2)
    layers = {"conv1": "stem", "bn1": "stem_norm", "fc": "logits"}
    for stage, count in enumerate(IMAGENET_RESNET[depth], 1):
        for block in range(1, count + 1):
            theirs, ours = f"layer{stage}.{block - 1}", f"stage{stage}_block{block}"
            for index in convolutions:
                layers[f"{theirs}.conv{index}"] = f"{ours}_conv{index}"
                layers[f"{theirs}.bn{index}"] = f"{ours}_conv{index}_norm"
        layers[f"layer{stage}.0.downsample.0"] = f"stage{stage}_block1_shortcut"
        layers[f"layer{stage}.0.downsample.1"] = f"stage{stage}_block1_shortcut_norm"
    return layers


def torchvision_mobilenet_v2_layers() -> dict[str, str]:
    """MobileNetV2 of torchvision: blocks counted through, convolution and norm by position."""
    layers = {"features.0.0": "stem", "features.0.1": "stem_norm"}
    layers |= {"features.18.0": "final", "features.18.1": "final_norm", "classifier.1": "logits"}
    for position, ours in enumerate(_mobilenet_v2_blocks(), 1):
        parts = ("depthwise", "project") if position == 1 else ("expand", "depthwise", "project")
        for index, part in enumerate(parts):
            theirs = f"features.{position}.conv.{index}"
            # Where no activation follows, the norm stands beside its convolution.
            conv, norm = (theirs, f"features.{position}.conv.{index + 1}")
            if part != "project":
                conv, norm = f"{theirs}.0", f"{theirs}.1"
            layers |= {conv: f"{ours}_{part}", norm: f"{ours}_{part}_norm"}
    return layers


def timm_mobilenet_v2_layers() -> dict[str, str]:
    """MobileNetV2 of timm ("mobilenetv2_100"): blocks counted in their groups, norms numbered in a block."""
    layers = {"conv_stem": "stem", "bn1": "stem_norm", "conv_head": "final", "bn2": "final_norm"}
    layers["classifier"] = "logits"
    for ours in _mobilenet_v2_blocks():
        group, block = (int(number) for number in re.findall(r"\d+", ours))
        parts = {"conv_pw": "expand", "conv_dw": "depthwise", "conv_pwl": "project"}
        if group == 1:
            parts = {"conv_dw": "depthwise", "conv_pw": "project"}
        for index, (theirs, part) in enumerate(parts.items(), 1):
            prefix = f"blocks.{group - 1}.{block - 1}"
            layers |= {f"{prefix}.{theirs}": f"{ours}_{part}", f"{prefix}.bn{index}": f"{ours}_{part}_norm"}
    return layers


def _mobilenet_v2_blocks() -> list[str]:
    return [
        f"group{group}_block{block}"
        for group, (_, _, blocks, _) in enumerate(GROUPS, 1)
        for block in range(1, blocks + 1)
    ]
