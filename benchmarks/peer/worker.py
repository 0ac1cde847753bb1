"""The process that trains in PyTorch when it is asked to; `speed.py` starts it as `python -m peer.worker`."""

from __future__ import annotations

import gc
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workers import WorkerError, one_line, serve

from peer import INSTALL

try:
    import numpy as np
    import torch

    from peer import methods, weights
except ModuleNotFoundError as error:
    if error.name not in ("torch", "numpy"):
        raise
    MISSING = error.name
else:
    MISSING = None


@dataclass
class Trained:
    """A method on its batch in one form.

    Args:
        method: with its models and optimizers.
        batch: images and labels, on the device.
    """

    method: methods.Method
    batch: tuple[torch.Tensor, torch.Tensor]

    def train(self, steps: int) -> float:
        """Seconds that so many steps take, the last one waited for."""
        started = time.perf_counter()
        for _ in range(steps):
            loss = self.method.step(*self.batch)
        if not torch.isfinite(loss).item():
            raise WorkerError("the loss is not finite")
        return time.perf_counter() - started


class Commands:
    """What the process can be asked to do."""

    def __init__(self) -> None:
        self.trained: Trained | None = None
        self.product: tuple[torch.Tensor, torch.Tensor] | None = None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        # As TensorFlow has it, where there is a GPU with such units.
        torch.set_float32_matmul_precision("high")

    def about(self) -> dict[str, Any]:
        """What computes."""
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else f"CPU ({platform.machine()})"
        vectors = torch.backends.cpu.get_cpu_capability()
        kind = "GPU" if self.device.type == "cuda" else "CPU"
        return {"version": f"PyTorch {torch.__version__}", "kind": kind, "device": name, "vectors": vectors}

    def prepare(self, case: dict[str, Any], folder: str, forms: Sequence[str], trial_steps: int) -> dict[str, Any]:
        """Tries a case in every form, from tfdistill's weights, and keeps the fastest.

        Args:
            case: method, networks, classes, precision, recipe and temperature.
            folder: has `batch.npz`, and tfdistill's weights `before.npz` and, a step later, `after.npz`.
            forms: some of `peer.FORMS`.
            trial_steps: after two that are not counted.

        Returns:
            The form kept, seconds of a step in each, what kept some from working, parameters by model, and how far the
            first step is from tfdistill's.
        """
        self.trained, best, seconds, failed = None, "", {}, {}
        for form in forms:
            self.release()
            try:
                candidate, far = self.first_step(case, pathlib.Path(folder), form)
                candidate.train(1)
                seconds[form] = min(candidate.train(1) for _ in range(trial_steps))
            except Exception as error:
                if not form.startswith("compiled"):
                    raise
                failed[form] = one_line(error)
                continue
            if not best or seconds[form] < seconds[best]:
                self.trained, best, difference = candidate, form, far
        if not best:
            raise WorkerError(f"no form works: {failed}")
        self.release()
        counts = {
            name: sum(parameter.numel() for parameter in model.parameters())
            for name, model in self.trained.method.models.items()
        }
        found = {"form": best, "seconds": seconds, "failed": failed, "difference": difference}
        return {**found, "parameters": counts}

    def first_step(self, case: dict[str, Any], folder: pathlib.Path, form: str) -> tuple[Trained, float]:
        """The case after its first step, and how far that is from tfdistill's."""
        method = methods.METHODS[case["method"]](case["networks"], case["classes"], case["recipe"], case["temperature"])
        before, after, batch = (dict(np.load(folder / f"{name}.npz")) for name in ("before", "after", "batch"))
        weights.load(method.models, before)
        layout = torch.channels_last if "channels_last" in form else torch.contiguous_format
        method.to(self.device, layout, getattr(torch, case["precision"]))
        if form.startswith("compiled"):
            method.compile()
        images = torch.from_numpy(batch["images"].transpose(0, 3, 1, 2).copy())
        images = images.to(self.device).contiguous(memory_format=layout)
        trained = Trained(method, (images, torch.from_numpy(batch["labels"]).long().to(self.device)))
        trained.train(1)
        return trained, weights.difference(before, after, weights.save(method.models))

    def release(self) -> None:
        """Frees what forms that are not kept have compiled and hold."""
        if self.trained is None or not self.trained.method.compiled:
            torch._dynamo.reset()
        gc.collect()

    def train(self, steps: int) -> dict[str, Any]:
        """Seconds that so many steps of the case take."""
        return {"seconds": self.trained.train(steps)}

    def multiply(self, precision: str, size: int) -> dict[str, Any]:
        """Seconds of a product of two square matrices."""
        dtype = getattr(torch, precision)
        if self.product is None or self.product[0].dtype != dtype or len(self.product[0]) != size:
            self.product = tuple(torch.randn(size, size, device=self.device).to(dtype) for _ in range(2))
            self.multiplied()
        return {"seconds": min(self.multiplied() for _ in range(2))}

    def multiplied(self) -> float:
        started = time.perf_counter()
        torch.mm(*self.product)[0, 0].item()
        return time.perf_counter() - started


def missing() -> dict[str, Any]:
    raise WorkerError(f"{sys.executable} has no {MISSING}: {INSTALL}, or name an interpreter by --torch_python")


def commands() -> dict[str, Callable[..., dict[str, Any]]]:
    """By name, what can be asked."""
    if MISSING:
        return {"about": missing}
    served = Commands()
    return {name: getattr(served, name) for name in ("about", "prepare", "train", "multiply")}


if __name__ == "__main__":
    serve(commands())
