"""The depths that networks may have, and what a depth means for their stages; a name is checked by it unbuilt."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

# Blocks of the four stages, He et al., "Deep Residual Learning for Image Recognition", Table 1.
IMAGENET_RESNET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# Blocks of the stages that SSD takes for its backbone.
SSD300_RESNET = {depth: IMAGENET_RESNET[depth][:3] for depth in (18, 34, 50)}
# Convolutions of the five stages, Simonyan and Zisserman, "Very Deep Convolutional Networks", Table 1 (A, B, D, E).
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def blocks_per_stage(depth: int, *, convolutions: int, others: int) -> int:
    """n of depth = convolutions * n + others, the number of blocks in each stage.

    Args:
        depth: the number of weighted layers.
        convolutions: how many layers one more block in every stage adds.
        others: how many layers lie outside of the blocks, or count as if they did.

    Raises:
        ValueError: no n of at least 1 gives this depth; the message names the nearest depths that have one.
    """
    blocks, rest = divmod(depth - others, convolutions)
    if rest == 0 and blocks >= 1:
        return blocks
    below = convolutions * max(blocks, 1) + others
    nearest = f"{below} and {below + convolutions}" if depth > below else f"{below}"
    raise ValueError(f"depth must be {convolutions}n + {others} with n of at least 1, got {depth}; nearest: {nearest}")


def listed(depth: int, known: Mapping[int, T]) -> T:
    """What a table says of a depth.

    Raises:
        ValueError: the table lacks it; the message names those that it has.
    """
    if depth not in known:
        raise ValueError(f"depth must be one of {list(known)}, got {depth!r}")
    return known[depth]


# From a depth to the blocks of each of three stages.
basic_blocks = functools.partial(blocks_per_stage, convolutions=6, others=2)
bottlenecks = functools.partial(blocks_per_stage, convolutions=9, others=2)
wide_blocks = functools.partial(blocks_per_stage, convolutions=6, others=4)
dense_layers = functools.partial(blocks_per_stage, convolutions=3, others=4)
# From a depth to the counts of each stage.
imagenet_resnet_blocks = functools.partial(listed, known=IMAGENET_RESNET)
ssd300_blocks = functools.partial(listed, known=SSD300_RESNET)
vgg_convolutions = functools.partial(listed, known=VGG)
