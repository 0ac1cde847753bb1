"""tfdistill's weights in PyTorch modules and back, by name: "network1/stage1_block1_conv1/kernel" and so on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

NAMES_IN_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
STATISTICS = ("moving_mean", "moving_variance")


def load(models: Mapping[str, nn.Module], arrays: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of the models.

    Raises:
        ValueError: names a weight that only one side has, or that differs in shape.
    """
    tensors = _tensors(models)
    if differing := sorted(set(tensors) ^ set(arrays)):
        raise ValueError(f"weights: only one of the two implementations has {differing[0]}")
    for name, tensor in tensors.items():
        array = to_torch(arrays[name])
        if tuple(tensor.shape) != array.shape:
            raise ValueError(f"weights: {name} is {array.shape} in tfdistill and {tuple(tensor.shape)} in the peer")
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(array))


def save(models: Mapping[str, nn.Module]) -> dict[str, np.ndarray]:
    """Every weight of the models, in tfdistill's layout."""
    return {name: to_keras(tensor.detach().cpu().numpy()) for name, tensor in _tensors(models).items()}


def difference(
    before: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]
) -> float:
    """How far two steps from the same weights differ, as a share of the step: `‖own − theirs‖ / ‖theirs − before‖`.

    Of what is trained; running statistics are left out, because how often a network is called in a step moves them.
    """
    trained = [name for name in before if not name.endswith(STATISTICS)]

    def distance(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
        return sum(float(np.sum((one[name].astype(np.float64) - other[name]) ** 2)) for name in trained) ** 0.5

    return distance(own, theirs) / distance(theirs, before)


def to_torch(array: np.ndarray) -> np.ndarray:
    """From (height, width, in, out) or (in, out) to (out, in, height, width) or (out, in); vectors as they are."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
    return np.ascontiguousarray(array.transpose(axes)) if axes else np.asarray(array)


def to_keras(array: np.ndarray) -> np.ndarray:
    """The other way."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)
    # A copy, because the module's memory changes with the next step.
    return array.transpose(axes).copy() if axes else array.copy()


def _tensors(models: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    named = {}
    for model_name, model in models.items():
        for name, tensor in model.state_dict(keep_vars=True).items():
            path, _, last = name.rpartition(".")
            if last == "num_batches_tracked":
                continue
            is_norm = isinstance(model.get_submodule(path), nn.BatchNorm2d)
            variable = NAMES_IN_NORM[last] if is_norm else {"weight": "kernel"}.get(last, last)
            named[f"{model_name}/{path.replace('.', '_')}/{variable}"] = tensor
    return named
