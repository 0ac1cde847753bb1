"""The process that trains an SSD in PyTorch; `detection.py` of this folder's parent starts it so."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from workers import serve

from peer import worker

if not worker.MISSING:
    import numpy as np
    import torch

    from peer import ssd, weights


class Commands(worker.Commands):
    """What the process can be asked to do."""

    def first_step(self, case: dict[str, Any], folder: pathlib.Path, form: str) -> tuple[worker.Trained, float]:
        """The detector after its first step, and how far that is from tfdistill's."""
        before, after, batch = (dict(np.load(folder / f"{name}.npz")) for name in ("before", "after", "batch"))
        default_boxes = torch.from_numpy(batch["default_boxes"]).to(self.device)
        method = ssd.Detector(case["networks"], case["classes"], case["recipe"], default_boxes)
        weights.load(method.models, before)
        layout = torch.channels_last if "channels_last" in form else torch.contiguous_format
        method.to(self.device, layout, torch.float32)
        if form.startswith("compiled"):
            method.compile()
        images = torch.from_numpy(batch["images"].transpose(0, 3, 1, 2).copy())
        images = images.to(self.device).contiguous(memory_format=layout)
        trained = worker.Trained(method, (images, torch.from_numpy(batch["labels"]).to(self.device)))
        trained.train(1)
        return trained, weights.difference(before, after, weights.save(method.models))


def commands() -> dict[str, Callable[..., dict[str, Any]]]:
    """By name, what can be asked."""
    if worker.MISSING:
        return {"about": worker.missing}
    served = Commands()
    return {name: getattr(served, name) for name in ("about", "prepare", "train")}


if __name__ == "__main__":
    serve(commands())
