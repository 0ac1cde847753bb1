"""SSD300 on a ResNet of basic blocks in PyTorch, its multibox loss and its training step; names as in `networks.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from peer import methods
from peer.networks import BasicBlock, stage

BLOCKS = {18: (2, 2, 2), 34: (3, 4, 6)}
# Channels within and behind each block, and whether it is one of the last, without stride and padding.
EXTRAS = ((256, 512, False), (256, 512, False), (128, 256, False), (128, 256, True), (128, 128, True))
AT_EACH_PLACE = (4, 6, 6, 6, 4, 4)
CENTRE_VARIANCE, SIZE_VARIANCE, THRESHOLD, NEGATIVES = 0.1, 0.2, 0.5, 3


class Extra(nn.Module):
    """1 × 1 convolution - norm - ReLU - 3 × 3 convolution - norm - ReLU."""

    def __init__(self, channels: int, within: int, filters: int, *, is_last: bool) -> None:
        super().__init__()
        self.conv1, self.conv1_norm = nn.Conv2d(channels, within, 1, bias=False), nn.BatchNorm2d(within)
        strides, padding = (1, 0) if is_last else (2, 1)
        self.conv2 = nn.Conv2d(within, filters, 3, strides, padding, bias=False)
        self.conv2_norm = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.conv1_norm(self.conv1(x)), inplace=True)
        return functional.relu(self.conv2_norm(self.conv2(x)), inplace=True)


class Heads(nn.Module):
    """The two 3 × 3 convolutions of a map."""

    def __init__(self, channels: int, count: int, classes: int) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(channels, 4 * count, 3, padding=1)
        self.classes = nn.Conv2d(channels, (1 + classes) * count, 3, padding=1)


class SSD300(nn.Module):
    """The detector that `tfdistill.networks` calls ssd300_resnet18 or ssd300_resnet34.

    Args:
        depth: 18 or 34.
        classes: beside the background.
    """

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        self.parts = 1 + classes
        self.stem, self.stem_norm = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        first, second, third = BLOCKS[depth]
        self.stage1 = stage(BasicBlock, 64, 64, first, 1)
        self.stage2 = stage(BasicBlock, 64, 128, second, 2)
        self.stage3 = stage(BasicBlock, 128, 256, third, 1)
        channels = [256]
        for number, (within, filters, is_last) in enumerate(EXTRAS, 1):
            setattr(self, f"extra{number}", Extra(channels[-1], within, filters, is_last=is_last))
            channels.append(filters)
        for number, (one, count) in enumerate(zip(channels, AT_EACH_PLACE, strict=True), 1):
            setattr(self, f"map{number}", Heads(one, count, classes))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Offsets [batch, boxes, 4] and logits [batch, boxes, 1 + classes], both float32."""
        x = functional.relu(self.stem_norm(self.stem(images)), inplace=True)
        x = functional.max_pool2d(x, 3, 2, 1)
        maps = [self.stage3(self.stage2(self.stage1(x)))]
        for number in range(1, len(EXTRAS) + 1):
            maps.append(getattr(self, f"extra{number}")(maps[-1]))
        offsets, logits = [], []
        for number, one in enumerate(maps, 1):
            heads = getattr(self, f"map{number}")
            for found, head, parts in ((offsets, heads.offsets, 4), (logits, heads.classes, self.parts)):
                found.append(head(one).permute(0, 2, 3, 1).reshape(len(images), -1, parts))
        return torch.cat(offsets, 1).float(), torch.cat(logits, 1).float()


def multibox(
    offsets: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, default_boxes: torch.Tensor
) -> torch.Tensor:
    """SSD's loss [batch]: matching, smooth L1, and cross-entropy of the matched and of the three times as many hardest.

    Args:
        offsets: [batch, boxes, 4].
        logits: [batch, boxes, 1 + classes].
        labels: [batch, objects, 6]: four corners, the class (-1 for padding), and whether it is difficult.
        default_boxes: centre form, [boxes, 4].
    """
    with torch.no_grad():
        places, is_matched, targets = match(labels, default_boxes)
        classes = labels[..., 4].long().gather(1, places)
        named = torch.where(is_matched, classes + 1, torch.zeros_like(classes))
        mask = is_matched.float()
        matched = mask.sum(1)
    error = (functional.smooth_l1_loss(offsets, targets, reduction="none").sum(-1) * mask).sum(1)
    surprise = functional.cross_entropy(logits.transpose(1, 2), named, reduction="none")
    hardest = (surprise * (1 - mask)).sort(dim=1, descending=True).values
    divisor = matched.clamp(min=1.0)
    counted = torch.arange(hardest.shape[1], device=hardest.device)[None] < (NEGATIVES * divisor)[:, None]
    return (error + (surprise * mask).sum(1) + (hardest * counted).sum(1)) / divisor


def match(labels: torch.Tensor, default_boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every default box the object's place [batch, boxes], whether it is one, and the offsets to it."""
    lower, upper = default_boxes[:, :2] - default_boxes[:, 2:] / 2, default_boxes[:, :2] + default_boxes[:, 2:] / 2
    corners = labels[..., :4]
    least = torch.maximum(lower[None, :, None], corners[:, None, :, :2])
    most = torch.minimum(upper[None, :, None], corners[:, None, :, 2:])
    shared = (most - least).clamp(min=0).prod(-1)
    areas = [(one[..., 2:] - one[..., :2]).prod(-1) for one in (torch.cat([lower, upper], -1), corners)]
    overlaps = shared / (areas[0][None, :, None] + areas[1][:, None] - shared).clamp(min=1e-12)
    overlaps = torch.where(labels[:, None, :, 4] >= 0, overlaps, torch.zeros_like(overlaps))
    best = overlaps.argmax(1, keepdim=True)
    # Beyond every other, so that each object keeps the box that it overlaps most.
    highest = overlaps.gather(1, best)
    claims = overlaps.scatter(1, best, torch.where(highest > 0, highest + 2, highest))
    claim, places = claims.max(-1)
    is_matched = claim >= THRESHOLD
    box = corners.gather(1, places[..., None].expand(-1, -1, 4))
    box = torch.where(is_matched[..., None], box, torch.cat([lower, upper], -1)[None])
    centre, size = (box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]
    moved = (centre - default_boxes[:, :2]) / default_boxes[:, 2:] / CENTRE_VARIANCE
    return places, is_matched, torch.cat([moved, (size / default_boxes[:, 2:]).log() / SIZE_VARIANCE], -1)


class Detector(methods.Method):
    """An SSD300 that trains on the objects of images.

    Args:
        names: of the one detector.
        classes: beside the background.
        recipe: settings of its optimizer, as `dataclasses.asdict` gives tfdistill's.
        default_boxes: centre form, [boxes, 4].
    """

    def __init__(self, names: Sequence[str], classes: int, recipe: methods.Recipe, default_boxes: torch.Tensor) -> None:
        self.recipe, self.default_boxes = recipe, default_boxes
        self.networks = [SSD300(int(names[0].removeprefix("ssd300_resnet")), classes)]
        self.models: dict[str, nn.Module] = {"network1": self.networks[0]}
        self.loss_of = multibox

    def compile(self) -> None:
        """Has the detector and its loss compiled, each at its first call."""
        super().compile()
        self.loss_of = torch.compile(multibox, dynamic=False)

    def optimizer_of(self, parameters: Iterable[nn.Parameter], group: str = "networks") -> torch.optim.Optimizer:
        """SGD whose decay spares biases and normalizations."""
        settings: Mapping[str, Any] = self.recipe[group]
        matrices, others = [], []
        for one in parameters:
            (matrices if one.ndim > 1 else others).append(one)
        groups = [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": others}]
        return torch.optim.SGD(groups, settings["learning_rate"], momentum=settings["momentum"], fused=True)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One training step; gives the loss, not yet waited for."""
        answer = self.forward(self.networks[0], images)
        return self.apply(self.optimizer, self.loss_of(*answer, labels, self.default_boxes).mean())
