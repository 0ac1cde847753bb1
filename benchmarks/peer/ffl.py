"""FFL's first steps in plain PyTorch: the authors' update on tfdistill's weights and batches; see `first_steps.py`.

python -m peer.ffl FOLDER    # reads what first_steps.py wrote there, and adds what PyTorch made of it
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from peer import networks, weights


class Depthwise(nn.Module):
    """A 3×3 convolution of each channel alone; the weight has tfdistill's axes, `(1, channels, 3, 3)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, 3, 3))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(maps, self.weight.transpose(0, 1), padding=1, groups=maps.shape[1])


class Fusion(networks.Classifier):
    """The classifier of two maps: concatenation, depthwise 3×3, 1×1, each with norm and ReLU, average, linear."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.depthwise, self.depthwise_norm = Depthwise(2 * channels), nn.BatchNorm2d(2 * channels)
        self.pointwise, self.pointwise_norm = networks.conv(2 * channels, channels, 1), nn.BatchNorm2d(channels)
        self.logits = nn.Linear(channels, classes)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        x = functional.relu(self.depthwise_norm(self.depthwise(torch.cat(list(maps), dim=1))))
        return self.classify(functional.relu(self.pointwise_norm(self.pointwise(x))))


def distillation(learner: torch.Tensor, target: torch.Tensor, temperature: float) -> torch.Tensor:
    """`T² · KL(target ‖ learner)`, the batch's mean; the authors add 1e-7 to the target."""
    wanted = torch.softmax(target.detach() / temperature, dim=1) + 1e-7
    learned = functional.log_softmax(learner / temperature, dim=1)
    return temperature**2 * functional.kl_div(learned, wanted, reduction="sum") / len(learner)


class FFL:
    """Two networks on one trunk and the fusion module: one loss, two optimizers.

    Args:
        name: of both networks.
        classes: of all classifiers.
        recipe: settings of the optimizers "networks" and "fusion", as `dataclasses.asdict` gives tfdistill's.
        temperature: of the distributions that are compared.
        ramp: what the distillation is weighted by.
    """

    def __init__(self, name: str, classes: int, recipe: Mapping[str, Any], temperature: float, ramp: float) -> None:
        first, second = (networks.build(name, classes, ("features",)) for _ in range(2))
        for shared in ("stem", "stem_norm", "stage1", "stage2"):
            setattr(second, shared, getattr(first, shared))
        self.networks, self.fusion = (first, second), Fusion(4 * first.width, classes)
        self.models: dict[str, nn.Module] = {"network1": first, "network2": second, "fusion": self.fusion}
        self.temperature, self.ramp = temperature, ramp
        owned = {
            "networks": list({id(one): one for model in self.networks for one in model.parameters()}.values()),
            "fusion": list(self.fusion.parameters()),
        }
        self.optimizers = [self.sgd(parameters, recipe[group]) for group, parameters in owned.items()]

    @staticmethod
    def sgd(parameters: Sequence[nn.Parameter], settings: Mapping[str, Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters,
            settings["learning_rate"],
            momentum=settings["momentum"],
            nesterov=settings["nesterov"],
            weight_decay=settings["weight_decay"],
        )

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        first, second = (one(images) for one in self.networks)
        fused = self.fusion([first["features"], second["features"]])
        logits = [first["logits"], second["logits"]]
        mean = (logits[0] + logits[1]) / 2
        supervised = sum(functional.cross_entropy(one, labels) for one in (*logits, fused))
        soft = [*((one, fused) for one in logits), (fused, mean)]
        distilled = sum(distillation(learner, target, self.temperature) for learner, target in soft)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        (supervised + self.ramp * distilled).backward()
        for optimizer in self.optimizers:
            optimizer.step()


def trajectory(folder: pathlib.Path, dtype: torch.dtype) -> np.ndarray:
    """The depthwise kernel before and after every step, `[steps + 1, height, width, channels, 1]`."""
    torch.set_default_dtype(dtype)
    case, batches = json.loads((folder / "case.json").read_text()), np.load(folder / "batches.npz")
    model = FFL(case["network"], case["classes"], case["recipe"], case["temperature"], math.exp(-5.0))
    weights.load(model.models, dict(np.load(folder / "before.npz")))
    kernels = [model.fusion.depthwise.weight.detach().numpy().copy()]
    for images, labels in zip(batches["images"], batches["labels"], strict=True):
        images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(dtype)
        model.step(images, torch.from_numpy(labels).long())
        kernels.append(model.fusion.depthwise.weight.detach().numpy().copy())
    # From (1, channels, height, width) to tfdistill's (height, width, channels, 1).
    return np.stack(kernels).transpose(0, 3, 4, 2, 1)


def main(folder: pathlib.Path) -> None:
    """Trains in float32, and in float64, which says how far rounding alone takes a run."""
    np.save(folder / "theirs.npy", trajectory(folder, torch.float32))
    np.save(folder / "exact.npy", trajectory(folder, torch.float64))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
