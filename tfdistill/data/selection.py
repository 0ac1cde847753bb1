"""Subsets and validation splits, drawn per class and fixed by a seed."""

from __future__ import annotations

import numpy as np

from tfdistill.data.dataset import Split


def take_subset(split: Split, examples: int, seed: int) -> Split:
    """Takes a subset with equally many examples of every class.

    Counts of two classes differ by at most one, unless a class has too few examples; then it gives all it has
    and the others make up for it. With one seed, a smaller subset is contained in every larger one.

    Args:
        split: where the examples come from.
        examples: how many to take, 1..len(split).
        seed: 0 or more.

    Returns:
        The subset, in the order of `split`.

    Raises:
        ValueError: if `examples` is out of range.
    """
    if not 1 <= examples <= len(split):
        raise ValueError(f"examples must be in 1..{len(split)}, the size of the split, got {examples}")
    ties, ranks, _ = _shuffled_ranks(split.labels, seed)
    order = np.lexsort((ties, ranks))
    return split.take(np.sort(order[:examples]))


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Parts a split into training and validation examples, with the same mix of classes in both.

    Args:
        split: what to part.
        share: the validation part's share of the examples, above 0 and below 1.
        seed: 0 or more.

    Returns:
        (training, validation), each in the order of `split`; together they are all of it.

    Raises:
        ValueError: if `share` is out of range, or leaves a part empty.
    """
    held = round(share * len(split))
    if not 0 < share < 1 or not 0 < held < len(split):
        raise ValueError(f"share must be above 0 and below 1 and leave examples in both parts, got {share}")
    ties, ranks, sizes = _shuffled_ranks(split.labels, seed)
    order = np.lexsort((ties, (ranks + 0.5) / sizes))
    return split.take(np.sort(order[held:])), split.take(np.sort(order[:held]))


def _shuffled_ranks(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each example: a random key, its place in a random order of its class, and the size of its class."""
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    # Raw Philox output is fixed for good; the streams of NumPy's distributions may change with its version.
    keys = np.random.Philox(key=seed).random_raw(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.lexsort((keys, classes))
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return keys, ranks, counts[classes]
