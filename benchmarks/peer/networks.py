"""The compared networks and helpers in PyTorch, of the same shapes and names as tfdistill's.

Dots for underscores in the name of a tfdistill layer give the module: "stage1_block2_conv1" is `stage1.block2.conv1`.
Initial weights are PyTorch's defaults, because the benchmark copies tfdistill's into them.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional


def conv(channels: int, filters: int, size: int, strides: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, size, strides, size // 2, bias=False)


class BasicBlock(nn.Module):
    """conv - norm - ReLU - conv - norm, added to the shortcut, then ReLU."""

    def __init__(self, channels: int, filters: int, strides: int) -> None:
        super().__init__()
        self.conv1, self.conv1_norm = conv(channels, filters, 3, strides), nn.BatchNorm2d(filters)
        self.conv2, self.conv2_norm = conv(filters, filters, 3), nn.BatchNorm2d(filters)
        self.projects = strides > 1 or channels != filters
        if self.projects:
            self.shortcut, self.shortcut_norm = conv(channels, filters, 1, strides), nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = functional.relu(self.conv1_norm(self.conv1(x)), inplace=True)
        residual = self.conv2_norm(self.conv2(residual))
        shortcut = self.shortcut_norm(self.shortcut(x)) if self.projects else x
        return functional.relu(residual + shortcut, inplace=True)


class PreactivationBlock(nn.Module):
    """norm - ReLU - conv - norm - ReLU - conv, added to the input or its projection."""

    def __init__(self, channels: int, filters: int, strides: int) -> None:
        super().__init__()
        self.conv1_norm, self.conv1 = nn.BatchNorm2d(channels), conv(channels, filters, 3, strides)
        self.conv2_norm, self.conv2 = nn.BatchNorm2d(filters), conv(filters, filters, 3)
        self.projects = strides > 1 or channels != filters
        if self.projects:
            self.shortcut = conv(channels, filters, 1, strides)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.conv1_norm(x), inplace=True)
        residual = functional.relu(self.conv2_norm(self.conv1(activated)), inplace=True)
        return self.conv2(residual) + (self.shortcut(activated) if self.projects else x)


def stage(block: type[nn.Module], channels: int, filters: int, blocks: int, strides: int) -> nn.Sequential:
    """Blocks of which the first has the strides and takes the channels to the filters."""
    named = {
        f"block{n}": block(channels if n == 1 else filters, filters, strides if n == 1 else 1)
        for n in range(1, blocks + 1)
    }
    return nn.Sequential(OrderedDict(named))


class Classifier(nn.Module):
    """What networks and heads end with: global average and linear layer, both in float32 at least."""

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.logits((features if features.dtype is torch.float64 else features.float()).mean((2, 3)))


class Network(Classifier):
    """A CIFAR ResNet of basic blocks with projections, or a Wide ResNet.

    Args:
        block: what the stages are made of.
        blocks: in each stage.
        width: channels of the first stage; the second and third have two and four times as many.
        classes: of the classifier.
        taps: which of "stage1", "stage2" and "features" `forward` gives beside "logits": what it does not give need
            not be kept.
    """

    def __init__(self, block: type[nn.Module], blocks: int, width: int, classes: int, taps: tuple[str, ...]) -> None:
        super().__init__()
        self.block, self.blocks, self.width, self.taps = block, blocks, width, taps
        self.preactivation = block is PreactivationBlock
        self.stem = conv(3, 16, 3)
        if not self.preactivation:
            self.stem_norm = nn.BatchNorm2d(16)
        self.stage1 = stage(block, 16, width, blocks, 1)
        self.stage2 = stage(block, width, 2 * width, blocks, 2)
        self.stage3 = stage(block, 2 * width, 4 * width, blocks, 2)
        if self.preactivation:
            self.final_norm = nn.BatchNorm2d(4 * width)
        self.logits = nn.Linear(4 * width, classes)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.stem(images)
        if not self.preactivation:
            x = functional.relu(self.stem_norm(x), inplace=True)
        found = {"stage1": self.stage1(x)}
        found["stage2"] = self.stage2(found["stage1"])
        x = self.stage3(found["stage2"])
        if self.preactivation:
            x = functional.relu(self.final_norm(x), inplace=True)
        found["features"] = x
        return {"logits": self.classify(x)} | {tap: found[tap] for tap in self.taps}


def build(name: str, classes: int, taps: tuple[str, ...] = ()) -> Network:
    """The network that `tfdistill.networks` calls so.

    Raises:
        ValueError: it is none of those that are compared.
    """
    if match := re.fullmatch(r"resnet(\d+)", name):
        return Network(BasicBlock, (int(match[1]) - 2) // 6, 16, classes, taps)
    if match := re.fullmatch(r"wide_resnet_(\d+)_(\d+)", name):
        return Network(PreactivationBlock, (int(match[1]) - 4) // 6, 16 * int(match[2]), classes, taps)
    raise ValueError(f"networks: the peer has resnet<depth> and wide_resnet_<depth>_<width>, no {name!r}")


# What a head reads, by its place.
HEAD_TAPS = {"C2": "stage2", "C3": "stage1"}


class Head(Classifier):
    """An auxiliary classifier of DCM, at its default places and widths.

    Args:
        network: whose tap it reads.
        place: one of `HEAD_TAPS`.
        classes: of the classifier.
    """

    def __init__(self, network: Network, place: str, classes: int) -> None:
        super().__init__()
        block, blocks, width, half = network.block, network.blocks, network.width, max(1, network.blocks // 2)
        self.tap = HEAD_TAPS[place]
        if place == "C2":
            self.stages = 1
            self.stage1 = stage(block, 2 * width, 8 * width, blocks, 2)
        else:
            self.stages = 2
            # A Wide ResNet's head keeps the depth of its first stage.
            self.stage1 = stage(block, width, 2 * width, blocks if network.preactivation else half, 2)
            self.stage2 = stage(block, 2 * width, 4 * width, half, 2)
        channels = 8 * width if place == "C2" else 4 * width
        self.final_norm = nn.BatchNorm2d(channels) if network.preactivation else None
        self.logits = nn.Linear(channels, classes)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        x = self.stage1(maps)
        if self.stages == 2:
            x = self.stage2(x)
        if self.final_norm is not None:
            x = functional.relu(self.final_norm(x), inplace=True)
        return self.classify(x)


class Discriminator(nn.Module):
    """AFD's: from a feature map to how real it is, float32 in 0..1.

    Args:
        channels: of the map.
        size: its height and width, in pixels.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(channels, channels // 2, 3, 2), nn.BatchNorm2d(channels // 2)
        self.conv2 = nn.Conv2d(channels // 2, 1, (size + 1) // 2)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        hidden = functional.leaky_relu(self.norm1(self.conv1(maps)), 0.2, inplace=True)
        with torch.autocast(maps.device.type, enabled=False):
            return torch.sigmoid(self.conv2(hidden.float())).flatten()


class Transfer(nn.Module):
    """AFD's layer between maps of different channels: 1×1 convolution, norm, ReLU."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv, self.transfer_norm = conv(channels, filters, 1), nn.BatchNorm2d(filters)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.transfer_norm(self.conv(maps)), inplace=True)
