"""SSD: detectors with a residual network for a backbone, of 300 pixels and, for a CPU, of 96."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras

from tfdistill.networks.architectures.imagenet_resnet import block_of, stem_and_stages
from tfdistill.networks.architectures.resnet import basic_block
from tfdistill.networks.architectures.stages import three_stages
from tfdistill.networks.attached_boxes import AttachedBoxes
from tfdistill.networks.default_boxes import SSD96, SSD300, DefaultBoxes
from tfdistill.networks.depths import basic_blocks, ssd300_blocks
from tfdistill.networks.initialization import XAVIER, LayerSeeds
from tfdistill.networks.keras_applications import IMAGENET_MEAN, IMAGENET_STD, as_keras_trained
from tfdistill.networks.layers import conv, global_average, image_input, norm_relu
from tfdistill.networks.taps import tapped


@dataclass(frozen=True)
class ExtraBlock:
    """Two convolutions behind the backbone: 1 × 1 to `within` channels, 3 × 3 to `channels`.

    The second has stride 2, or, where it `is_last`, stride 1 and no padding.
    """

    within: int
    channels: int
    is_last: bool = False


SSD300_EXTRAS = (ExtraBlock(256, 512), ExtraBlock(256, 512), ExtraBlock(128, 256), ExtraBlock(128, 256, is_last=True))
SSD96_EXTRAS = (ExtraBlock(32, 64), ExtraBlock(32, 64), ExtraBlock(32, 64, is_last=True))


def ssd300(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (300, 300, 3),
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """SSD for images of 300 × 300 pixels on an ImageNet ResNet, with 8,732 default boxes.

    The backbone is the network of `imagenet_resnet` up to its third stage, which has stride 1 here: its map has
    38 × 38 places. Five blocks of two convolutions follow, to 19, 10, 5, 3 and 1. A 3 × 3 convolution of each map says
    offsets, another classes. What is added to the backbone starts from Glorot's uniform distribution.

    Args:
        depth: 18, 34 or 50.
        classes: how many there are beside the background, at least 1.
        image_shape: (300, 300, channels).
        seed: of the initial weights; None draws new ones at every call. The backbone starts with the weights that
            `imagenet_resnet` has of the same seed.
        name: the model's name, "ssd300_resnet<depth>" by default.

    Returns:
        a network with the taps of its backbone: "stem", "stage1" to "stage3", each with its "_preactivation",
        "features" (which is "stage3") and "embedding"; and with its answer: "offsets" [batch, boxes, 4] (see
        `tfdistill.boxes.decoded`), "class_logits" [batch, boxes, 1 + classes], of which the first is the background's,
        both float32, and the "default_boxes" [batch, boxes, 4] that the offsets are relative to, the same for every
        example.

    Raises:
        ValueError: an argument is outside of its range.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; the backbone and the blocks behind it are those
    of NVIDIA's SSD300 v1.1.
    """
    ssd300_blocks(depth)
    images = _images(image_shape, classes, SSD300)
    return _ssd300(images, images, depth, 2, classes, seed, f"ssd300_resnet{depth}", name)


def ssd300_keras(
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (300, 300, 3),
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """`ssd300` of depth 50 on the ResNet-50 of `keras.applications`, whose ImageNet weights fit no other.

    Its second stage halves the resolution in a 1 x 1 convolution, and its first layer turns images as the run
    normalizes them into what Keras trained with. What `load_backbone` gives it are Keras' maps.

    Args:
        classes: as of `ssd300`.
        image_shape: (300, 300, 3).
        mean: the normalization of the images that the network is going to read, in 0..1 for red, green, blue.
        std: likewise.
        seed: as of `ssd300`.
        name: the model's name, "ssd300_keras_resnet50" by default.

    Returns:
        a network with the taps of `ssd300`.

    Raises:
        ValueError: an argument is outside of its range.
    """
    images = _images(image_shape, classes, SSD300)
    scaled = as_keras_trained("keras_resnet50", images, mean, std)
    return _ssd300(images, scaled, 50, 1, classes, seed, "ssd300_keras_resnet50", name)


def ssd96(
    depth: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (96, 96, 3),
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A small SSD for images of 96 × 96 pixels on a CIFAR ResNet, with 850 default boxes.

    The backbone is the network of `cifar_resnet` up to its last map, but for its first convolution, which has stride 2:
    its map has 12 × 12 places. Three blocks of two convolutions follow, to 6, 3 and 1. All else is as in `ssd300`.

    Args:
        depth: 6n + 2: 8, 14, 20, ...
        classes: how many there are beside the background, at least 1.
        image_shape: (96, 96, channels).
        seed: as of `ssd300`, with the weights of `cifar_resnet`.
        name: the model's name, "ssd96_resnet<depth>" by default.

    Returns:
        a network with the taps of `ssd300`.

    Raises:
        ValueError: an argument is outside of its range.
    """
    blocks = basic_blocks(depth)
    seeds = LayerSeeds(seed)
    images = _images(image_shape, classes, SSD96)
    x = norm_relu(conv(images, 16, 3, strides=2, seeds=seeds, name="stem"), name="stem")
    taps = {"stem": x, **three_stages(basic_block, x, 16, blocks, seeds=seeds)}
    taps |= _answers(taps["stage3"], classes, SSD96_EXTRAS, SSD96, seeds)
    return _detector(images, taps, (blocks,) * 3, f"ssd96_resnet{depth}", name)


def _ssd300(
    images: keras.KerasTensor,
    read: keras.KerasTensor,
    depth: int,
    strided_conv: int,
    classes: int,
    seed: int | None,
    architecture: str,
    name: str | None,
) -> keras.Model:
    """The detector that reads `read`, which is `images` or made of them; `strided_conv` as of `imagenet_resnet`."""
    stages, seeds = ssd300_blocks(depth), LayerSeeds(seed)
    taps = stem_and_stages(read, stages, (1, 2, 1), block_of(depth, strided_conv), seeds)
    last = ExtraBlock(128, 256 if depth >= 50 else 128, is_last=True)
    taps |= _answers(taps["stage3"], classes, (*SSD300_EXTRAS, last), SSD300, seeds)
    return _detector(images, taps, stages, architecture, name)


def _images(image_shape: tuple[int, int, int], classes: int, boxes: DefaultBoxes) -> keras.KerasTensor:
    images = image_input(image_shape, classes, smallest=boxes.image, fewest=1)
    if tuple(images.shape[1:3]) != (boxes.image, boxes.image):
        raise ValueError(f"image_shape must be {boxes.image} x {boxes.image} pixels, got {image_shape!r}")
    return images


def _answers(
    features: keras.KerasTensor, classes: int, extras: Sequence[ExtraBlock], boxes: DefaultBoxes, seeds: LayerSeeds
) -> dict[str, keras.KerasTensor]:
    """The taps behind the backbone's last map, from the further maps that are built on it."""
    seeds = seeds.drawing(XAVIER)
    maps = [features]
    for number, extra in enumerate(extras, 1):
        first, second = f"extra{number}_conv1", f"extra{number}_conv2"
        x = norm_relu(conv(maps[-1], extra.within, 1, seeds=seeds, name=first), name=first)
        strides, is_padded = (1, False) if extra.is_last else (2, True)
        x = conv(x, extra.channels, 3, strides=strides, is_padded=is_padded, seeds=seeds, name=second)
        maps.append(norm_relu(x, name=second))
    offsets: list[keras.KerasTensor] = []
    logits: list[keras.KerasTensor] = []
    for number, (one, count) in enumerate(zip(maps, boxes.at_each_place(), strict=True), 1):
        for name, parts, found in (("offsets", 4, offsets), ("classes", 1 + classes, logits)):
            head = conv(one, count * parts, 3, use_bias=True, seeds=seeds, name=f"map{number}_{name}")
            found.append(keras.layers.Reshape((-1, parts), name=f"map{number}_{name}_by_box")(head))
    # In float32 whatever the precision of the maps, as a classifier's logits are.
    joined = {
        tap: keras.layers.Concatenate(axis=1, name=tap, dtype="float32")(found)
        for tap, found in (("offsets", offsets), ("class_logits", logits))
    }
    attached = AttachedBoxes(boxes, name="default_boxes")(joined["offsets"])
    return {"features": features, "embedding": global_average(features), **joined, "default_boxes": attached}


def _detector(
    images: keras.KerasTensor,
    taps: Mapping[str, keras.KerasTensor],
    stages: Sequence[int],
    architecture: str,
    name: str | None,
) -> keras.Model:
    sums = [f"stage{index}_block{blocks}_add" for index, blocks in enumerate(stages, 1)]
    return tapped(images, taps, preactivations=sums, name=name or architecture, architecture=architecture)
