"""What reading one photograph costs beside TensorFlow's bare operations: processor time, nodes, and building the graph.

python benchmarks/decoding.py            # a minute; on a busy machine, more --rounds

The bare operations decode JPEG only, know no limit of pixels and turn nothing. Both run in a `tf.data` pipeline with
one thread, in turns; processor time is counted, since other programs take less of it than of the time on the wall.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.crops import crop_draws, random_box
from tfdistill.data.transforms.decoding import decode, evaluated, random_crop
from tfdistill.data.transforms.readings import Reading

# The mean size of ImageNet's photographs in pixels, and the size of the network's images.
PHOTOGRAPH, SHAPE = (400, 470), (224, 224, 3)
READING = Reading("crop")
Read = Callable[[tf.Tensor], tf.Tensor]


def main() -> int:
    """Prints one line for each way of reading."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60, help="images in a turn")
    parser.add_argument("--rounds", type=int, default=40, help="turns")
    arguments = parser.parse_args()
    contents = photograph()
    print("| way | bare, us | ours, us | ratio | nodes in all | build, s | build again, s |\n" + "| --- " * 7 + "|")
    for name, (bare, ours) in ways().items():
        (nodes, first), (_, again) = built(ours), built(ours)
        bare_time, our_time = times([bare, ours], contents, arguments.images, arguments.rounds)
        ratio = f"{our_time / bare_time:.3f}"
        print(f"| {name} | {bare_time:.0f} | {our_time:.0f} | {ratio} | {nodes} | {first:.2f} | {again:.2f} |")
    return 0


def ways() -> dict[str, tuple[Read, Read]]:
    """By name: the bare operations, and what the package does."""
    draws = crop_draws(range(1), tf.constant([1, 2]))[0]
    margins = round(SHAPE[0] * READING.margin)

    def bare(contents: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_image(contents, channels=3, expand_animations=False)

    def bare_crop(contents: tf.Tensor) -> tf.Tensor:
        box = random_box(tf.image.extract_jpeg_shape(contents)[:2], draws, READING)
        return resized(tf.io.decode_and_crop_jpeg(contents, box, channels=3), SHAPE[:2])

    def bare_centre(contents: tf.Tensor) -> tf.Tensor:
        image = bare(contents)
        size = tf.shape(image)[:2]
        enlarged = size * margins // tf.reduce_min(size)
        top, left = tf.unstack((enlarged - SHAPE[:2]) // 2)
        return resized(image, enlarged)[top : top + SHAPE[0], left : left + SHAPE[1]]

    return {
        "decode": (bare, decode),
        "random crop": (bare_crop, lambda contents: random_crop(contents, draws, SHAPE, READING)),
        "evaluation's centre": (bare_centre, lambda contents: evaluated(contents, SHAPE, READING)),
    }


def resized(image: tf.Tensor, size: tf.Tensor | tuple[int, ...]) -> tf.Tensor:
    """Bilinear, anti-aliased, rounded to uint8."""
    return tf.saturate_cast(tf.round(tf.image.resize(image, size, antialias=True)), tf.uint8)


def photograph() -> bytes:
    """Smooth noise with some grain, as a JPEG."""
    rng = np.random.default_rng(0)
    smooth = tf.image.resize(rng.random((12, 14, 3), np.float32) * 255, PHOTOGRAPH, "bicubic").numpy()
    grainy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
    return tf.io.encode_jpeg(grainy, quality=90).numpy()


def built(read: Read) -> tuple[int, float]:
    """Nodes in a new graph and its functions, and seconds of processor time to build it."""
    started = time.process_time()
    function = tf.function(read, autograph=False).get_concrete_function(tf.TensorSpec([], tf.string))
    seconds = time.process_time() - started
    graph = function.graph.as_graph_def()
    return len(graph.node) + sum(len(one.node_def) for one in graph.library.function), seconds


def times(reads: list[Read], contents: bytes, images: int, rounds: int) -> list[float]:
    """Microseconds of processor time per image for each, medians over turns."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = options.threading.max_intra_op_parallelism = 1
    data = tf.data.Dataset.from_tensors(contents).repeat(images + 1).with_options(options)
    pipelines = [data.map(tf.autograph.experimental.do_not_convert(read)) for read in reads]
    found: list[list[float]] = [[] for _ in reads]
    for _ in range(rounds):
        for pipeline, seconds in zip(pipelines, found, strict=True):
            stream = iter(pipeline)
            next(stream)
            started = time.process_time()
            for _ in stream:
                pass
            seconds.append((time.process_time() - started) / images * 1e6)
    return [statistics.median(seconds) for seconds in found]


if __name__ == "__main__":
    raise SystemExit(main())
