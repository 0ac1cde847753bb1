"""Stages of residual networks: blocks of one kind in a row."""

from __future__ import annotations

from typing import Protocol

import keras

from tfdistill.networks.initialization import LayerSeeds


class Block(Protocol):
    """Layers from a map to a map of another number of channels, or of a lower resolution."""

    def __call__(
        self, x: keras.KerasTensor, filters: int, *, strides: int, seeds: LayerSeeds, name: str
    ) -> keras.KerasTensor:
        """Builds the layers, whose names begin with `name`."""


def stage(
    block: Block, x: keras.KerasTensor, filters: int, blocks: int, *, strides: int, seeds: LayerSeeds, name: str
) -> keras.KerasTensor:
    """`blocks` blocks of one kind, of which the first has the strides.

    Args:
        block: the kind, such as `resnet.basic_block`, which says what leaves it.
        x: a map [batch, height, width, channels].
        filters: the channels that the kind counts by.
        blocks: how many, at least 1.
        strides: of the first block, 1 or 2.
        seeds: the network's layer seeds.
        name: the prefix of the layers' names, "<name>_block1_conv1" and so on.

    Returns:
        what leaves the last block.
    """
    for number in range(1, blocks + 1):
        x = block(x, filters, strides=strides if number == 1 else 1, seeds=seeds, name=f"{name}_block{number}")
    return x


def three_stages(
    block: Block, x: keras.KerasTensor, filters: int, blocks: int, *, seeds: LayerSeeds
) -> dict[str, keras.KerasTensor]:
    """The stages of a network for CIFAR-sized images: each after the first has twice the filters at half the size.

    Args:
        block: as for `stage`.
        x: the stem, [batch, height, width, channels].
        filters: of the first stage.
        blocks: of each stage.
        seeds: the network's layer seeds.

    Returns:
        the taps "stage1", "stage2" and "stage3".
    """
    taps = {}
    for number in (1, 2, 3):
        width, strides = filters * 2 ** (number - 1), 1 if number == 1 else 2
        x = stage(block, x, width, blocks, strides=strides, seeds=seeds, name=f"stage{number}")
        taps[f"stage{number}"] = x
    return taps
