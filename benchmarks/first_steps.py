"""FFL's first steps beside its authors' update in PyTorch: how far each turns the fusion module's depthwise kernel.

python benchmarks/first_steps.py --torch_python=PATH                  # 200 steps of two ResNet-8 on CIFAR-100
python benchmarks/first_steps.py --torch_python=PATH --kernel_std=0.4714   # from a larger kernel, to see it freeze

Both start from the same weights and see the same batches. The kernel stands before a normalization, so that only its
direction matters: the angle to where it began is how much it has learned. `--kernel_std` scales the first kernel; the
authors draw it from N(0, 2 / (3 · 3 · 128)). Rounding alone parts two runs: how far, PyTorch's float64 says of its own
float32. At the authors' rate a last bit grows to the size of the way within ten steps, at 0.001 it takes hundreds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import subprocess
import tempfile

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf
from tfdistill_worker import named_weights

from tfdistill import data, networks
from tfdistill.methods import FFL
from tfdistill.optimizers import PROTOCOLS

SHOWN = (1, 2, 5, 10, 20, 50, 100, 200)


def angle(one: np.ndarray, other: np.ndarray) -> float:
    """Degrees between two arrays, each as one vector."""
    one, other = np.float64(one).ravel(), np.float64(other).ravel()
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def apart(ours: np.ndarray, theirs: np.ndarray, before: np.ndarray) -> float:
    """How far two kernels are from each other, as a share of how far theirs is from where both began."""
    ours, theirs, before = np.float64(ours), np.float64(theirs), np.float64(before)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - before))


def batches_of(name: str, data_dir: str | None, batch_size: int, steps: int) -> dict[str, np.ndarray]:
    """The first batches of a training, as the pipeline makes them."""
    dataset = data.load(name, data_dir=data_dir)
    batches = data.training_batches(
        dataset.train,
        batch_size=batch_size,
        seed=1,
        augmentation=dataset.augmentation,
        normalization=dataset.normalization,
        steps=steps,
        classes=len(dataset.class_names),
    )
    found = list(batches.as_numpy_iterator())
    return {key: np.stack([one[key] for one in found]) for key in ("images", "labels")}


def train(
    network: str, batches: dict[str, np.ndarray], folder: pathlib.Path, kernel_std: float = 0.0, rate: float = 0.0
) -> np.ndarray:
    """Trains with tfdistill; leaves the case for the other side, and gives the kernel before and after every step."""
    classes = 100 if batches["labels"].max() >= 10 else 10
    shape = batches["images"].shape[2:]
    peers = [
        networks.build(network, classes=classes, image_shape=shape, seed=k, model_name=f"network{k}") for k in (1, 2)
    ]
    distiller = FFL(peers, shared_trunk=True, seed=3)
    kernel = distiller.fusion.get_layer("depthwise").kernel
    if kernel_std:
        kernel.assign(kernel * (kernel_std / np.std(kernel)))
    settings = PROTOCOLS["ffl"].settings
    recipe = distiller.recipe(dataclasses.replace(settings, learning_rate=rate or settings.learning_rate))
    case = {"network": network, "classes": classes, "temperature": distiller.temperature}
    case["recipe"] = {group: dataclasses.asdict(one) for group, one in recipe.items()}
    (folder / "case.json").write_text(json.dumps(case))
    np.savez(folder / "before.npz", **named_weights(distiller))
    np.savez(folder / "batches.npz", **batches)
    distiller.compile(recipe)
    # An epoch of the whole data: the ramp stays where it begins, as in the authors' first epoch.
    distiller.prepare(steps_per_epoch=10_000, epochs=300)
    distiller.make_train_function()
    held = iter(tf.data.Dataset.from_tensor_slices(batches).repeat())
    kernels = [kernel.numpy()]
    for _ in batches["labels"]:
        distiller.train_function(held)
        kernels.append(kernel.numpy())
    return np.stack(kernels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch_python", help="the Python of an environment with PyTorch; without, tfdistill alone")
    parser.add_argument("--network", default="resnet8")
    parser.add_argument("--dataset", default="cifar100")
    parser.add_argument("--data_dir", help="where the data lies")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kernel_std", type=float, default=0.0, help="of the first kernel; 0: as it is drawn")
    parser.add_argument("--learning_rate", type=float, default=0.0, help="of both optimizers; 0: the authors'")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        batches = batches_of(flags.dataset, flags.data_dir, flags.batch_size, flags.steps)
        ours = train(flags.network, batches, folder, flags.kernel_std, flags.learning_rate)
        theirs = exact = None
        if flags.torch_python:
            here = pathlib.Path(__file__).parent
            subprocess.run([flags.torch_python, "-m", "peer.ffl", made], cwd=here, check=True)
            theirs, exact = np.load(folder / "theirs.npy"), np.load(folder / "exact.npy")
    print(f"standard deviation of the first kernel: {ours[0].std():.4f}")
    for step in sorted({*(one for one in SHOWN if one < flags.steps), flags.steps}):
        line = f"step {step:4}: tfdistill has turned it by {angle(ours[step], ours[0]):6.2f}°"
        if theirs is not None and exact is not None:
            line += (
                f", PyTorch by {angle(theirs[step], ours[0]):6.2f}°, in float64 by {angle(exact[step], ours[0]):6.2f}°"
            )
            own, other = (100 * apart(one[step], exact[step], ours[0]) for one in (ours, theirs))
            line += f"; from float64 {own:.3g} % of the way, PyTorch {other:.3g} %"
        print(line)
    if theirs is not None and exact is not None:
        far = [
            max(apart(one, other, ours[0]) for one, other in zip(run[1:], exact[1:], strict=True))
            for run in (ours, theirs)
        ]
        print(f"farthest from float64: tfdistill {100 * far[0]:.3g} % of the way, PyTorch {100 * far[1]:.3g} %")


if __name__ == "__main__":
    main()
