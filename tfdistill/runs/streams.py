"""Where the random numbers of a run come from: one seed, and a stream of its own for whatever draws from it."""

from __future__ import annotations

from typing import Literal

import numpy as np

# The first child of the run's seed that a stream takes; the weights of every run so far were drawn in this order.
# Whoever adds a stream gives it children that none of these reaches: a run has 64 networks at most.
STREAMS = {"method": 0, "networks": 1, "transfers": 100, "unlabelled": 101}
Stream = Literal["method", "networks", "transfers", "unlabelled"]


def stream_seed(seed: int, stream: Stream, index: int = 0) -> int:
    """The seed of what draws from a stream, in 0..2^32-1.

    Args:
        seed: the run's.
        stream: "method" for its helpers, "networks" for first weights, "transfers" for the helpers of
            those that are added to a method, "unlabelled" for the order and augmentation of unlabelled images.
        index: which network it is.
    """
    child = np.random.SeedSequence(seed, spawn_key=(STREAMS[stream] + index,))
    return int(child.generate_state(1)[0])
