"""Writes the table of docs/networks.md: parameters, multiply-adds, forward time and taps of every network.

python benchmarks/networks.py              # everything, a few minutes; run it on an idle machine
python benchmarks/networks.py --keep_times # everything but the times, which stay as the page has them
python benchmarks/networks.py --check      # write nothing; exit with 1 where the page is out of date
"""

from __future__ import annotations

import argparse
import math
import pathlib
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf

from tfdistill import networks
from tfdistill.files import between

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "networks.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- benchmarks/networks.py writes from here -->\n", "<!-- to here -->\n"

CLASSES = (10, 100, 1000)

# The parameters that others printed, exact or rounded to millions, and for how many classes.
PUBLISHED = {
    "resnet20": ("0.27 M", 10, "He et al. 2016"),
    "resnet32": ("0.5 M", 100, "Zhang et al. 2018"),
    "resnet32_a": ("0.46 M", 10, "He et al. 2016"),
    "resnet56_a": ("0.85 M", 10, "He et al. 2016"),
    "resnet110_a": ("1.7 M", 10, "He et al. 2016"),
    "resnet164": ("1.7 M", 10, "Zagoruyko and Komodakis 2016"),
    "wide_resnet_16_2": ("0.70 M", 100, "Chung et al. 2020"),
    "wide_resnet_28_4": ("5.87 M", 100, "Chung et al. 2020"),
    "wide_resnet_28_10": ("36.5 M", 10, "Zagoruyko and Komodakis 2016"),
    "wide_resnet_28_10_dropout": ("36.5 M", 10, "Zagoruyko and Komodakis 2016"),
    "wide_resnet_40_2": ("2.2 M", 10, "Zagoruyko and Komodakis 2016"),
    "densenet_40_12": ("1.0 M", 10, "Huang et al. 2017"),
    "mobilenet": ("3.3 M", 100, "Zhang et al. 2018"),
    "imagenet_resnet18": ("11,689,512", 1000, "torchvision"),
    "imagenet_resnet34": ("21,797,672", 1000, "torchvision"),
    "imagenet_resnet50": ("25,557,032", 1000, "torchvision"),
    "imagenet_resnet101": ("44,549,160", 1000, "torchvision"),
    "imagenet_resnet152": ("60,192,808", 1000, "torchvision"),
    "mobilenet_v2": ("3,504,872", 1000, "torchvision"),
}

HEADINGS = (
    "Network",
    "Images",
    *(f"Parameters, {classes} classes" for classes in CLASSES),
    "Published",
    "Multiply-adds",
    "Forward",
    "`stage1`, `stage2`, ...",
    "`features`",
    "`embedding`",
    "Other taps",
)


@dataclass(frozen=True)
class Row:
    """What the table says of a network, but for its time.

    Args:
        name: the network's.
        image_shape: (height, width, channels) in pixels.
        parameters: trainable ones, by the number of classes.
        multiply_adds: of one forward pass of one image.
        taps: the shape of each without the batch.
    """

    name: str
    image_shape: tuple[int, ...]
    parameters: dict[int, int]
    multiply_adds: int
    taps: dict[str, tuple[int, ...]]


def names() -> list[str]:
    """Every network that the table lists: the examples of every family, first weights apart."""
    return [name for one in networks.NETWORKS.values() if not one.starts_like for name in one.examples]


def natural(name: str) -> keras.Model:
    """The network for the images it was designed for: 100 classes of 32 x 32 pixels, or 1000 of 224 x 224."""
    build = getattr(networks, name)
    large = name.startswith(("imagenet", "mobilenet_v2"))
    return build(classes=1000 if large else 100, seed=0, name=name)


def describe(name: str) -> Row:
    """Builds a network and reads its row from it."""
    network = natural(name)
    kernel = network.get_layer("logits").kernel
    parameters = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    # Only the last layer knows the classes: a weight per unit and a bias for each.
    per_class = kernel.shape[0] + 1
    return Row(
        name,
        tuple(network.input_shape[1:]),
        {classes: parameters + (classes - kernel.shape[1]) * per_class for classes in CLASSES},
        multiply_adds(network),
        {tap: tuple(tensor.shape[1:]) for tap, tensor in network.output.items()},
    )


def multiply_adds(network: keras.Model) -> int:
    """Multiplications of a weight of a convolution or of a dense layer, for one image; norms are not counted."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in network.layers
        if hasattr(layer, "kernel")
    )


def batch_size(image_shape: tuple[int, ...]) -> int:
    return 32 if image_shape[0] <= 64 else 8


def forward_seconds(name: str, batches: int = 7) -> float:
    """The median time of a forward pass of one batch in evaluation mode, float32, after one that is not counted."""
    network = natural(name)
    shape = tuple(network.input_shape[1:])
    images = tf.constant(np.random.default_rng(0).normal(size=(batch_size(shape), *shape)), tf.float32)
    forward = tf.function(lambda x: network(x, training=False)["logits"])
    forward(images)
    times = []
    for _ in range(batches):
        start = time.perf_counter()
        forward(images).numpy()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def table(rows: Iterable[Row], times: Mapping[str, str]) -> str:
    """The rows as Markdown; `times` are the cells "Forward" by name."""
    lines = [HEADINGS, tuple("---:" if 2 <= index <= 7 and index != 5 else "---" for index in range(len(HEADINGS)))]
    lines += [_cells(row, times.get(row.name, "")) for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: Row, seconds: str) -> tuple[str, ...]:
    published, classes, source = PUBLISHED.get(row.name, ("", 0, ""))
    stages = [tap for tap in row.taps if tap.startswith("stage") and not tap.endswith("_preactivation")]
    shown = {*stages, *(f"{stage}_preactivation" for stage in stages), "features", "embedding", "logits"}
    others = [f"`{tap}` {_shape(shape)}" for tap, shape in row.taps.items() if tap not in shown]
    return (
        f"`{row.name}`",
        _shape(row.image_shape),
        *(f"{row.parameters[classes]:,}" for classes in CLASSES),
        f"{published} ({classes} classes, {source})" if published else "",
        f"{row.multiply_adds / 1e6:,.1f} M",
        seconds,
        ", ".join(_shape(row.taps[stage]) for stage in stages),
        _shape(row.taps["features"]),
        _shape(row.taps["embedding"]),
        ", ".join(others),
    )


def _shape(shape: Iterable[int]) -> str:
    return "×".join(str(size) for size in shape)


def times_in(page: str) -> dict[str, str]:
    """The cells "Forward" of a page by the network's name."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[HEADINGS.index("Forward")] for row in rows if len(row) == len(HEADINGS)}


def with_table(page: str, new: str) -> str:
    """The page with another table between its marks."""
    return between(page, TABLE_BEGINS, TABLE_ENDS, new)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep_times", action="store_true", help="measure nothing")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where the page is out of date")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    times = times_in(page)
    rows = []
    for name in names():
        print(name, flush=True)
        rows.append(describe(name))
        if not (arguments.keep_times or arguments.check):
            times[name] = f"{forward_seconds(name) * 1e3:.0f} ms"
        keras.backend.clear_session()
    updated = with_table(page, table(rows, times))
    if arguments.check:
        return int(updated != page)
    PAGE.write_text(updated, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
