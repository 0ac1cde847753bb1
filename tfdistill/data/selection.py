"""Subsets, and splits into training, validation and test examples: drawn per class and fixed by a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfdistill.data.dataset import CLASS, Split


def take_subset(split: Split, examples: int, seed: int) -> Split:
    """Takes a subset with equally many examples of every class.

    Counts of two classes differ by at most one, unless a class has too few examples; then it gives all it has
    and the others make up for it. Where labels are objects, the subset has the mix of the split, see `hold_out`. With
    one seed, a smaller subset is contained in every larger one.

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
    if split.labels.ndim == 1:
        ties, ranks, _ = _shuffled_ranks(split.labels, seed)
        order = np.lexsort((ties, ranks))
    else:
        order = _stratified_order(parted_by(split.labels), seed)
    return split.take(np.sort(order[:examples]))


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Parts a split into training and validation examples, with the same mix of classes in both.

    Where labels are objects, an image counts for the rarest class that it shows, see `parted_by`.

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
        raise ValueError(f"validation share must be above 0 and below 1 and leave examples in both parts, got {share}")
    order = _stratified_order(parted_by(split.labels), seed)
    return split.take(np.sort(order[held:])), split.take(np.sort(order[:held]))


def parted_by(labels: np.ndarray) -> np.ndarray:
    """A class of each example, by which it is parted: its own, or the rarest among its objects, int32 [N].

    The rarest is that which the fewest images show; an image without objects has -1. So the classes that a part could
    lack are shared out evenly.

    Args:
        labels: integers [N], or objects, float [N, objects, 6].
    """
    if labels.ndim == 1:
        return labels
    classes = labels[..., CLASS].astype(np.int32)
    shown = [np.unique(row[row >= 0]) for row in classes]
    counts = np.bincount(np.concatenate([*shown, np.empty(0, np.int32)]), minlength=1)
    return np.array([row[np.argmin(counts[row])] if len(row) else -1 for row in shown], np.int32)


def check_shares(shares: Sequence[float]) -> None:
    """Refuses what are no shares of a training, perhaps a validation, and a test part.

    Raises:
        ValueError: in one line, which begins with "split: ".
    """
    said = ",".join(f"{share:g}" for share in shares)
    if len(shares) not in (2, 3):
        raise ValueError(
            f"split: must be two shares (training, test) or three (training, validation, test), not {said!r}; "
            "such as 0.8,0.1,0.1"
        )
    if not all(0 < share < 1 for share in shares):
        raise ValueError(f"split: every share must be above 0 and below 1, not {said}")
    if not math.isclose(math.fsum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(f"split: the shares must add up to 1, {said} add up to {math.fsum(shares):g}")


def parts_by_shares(labels: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Parts examples into training, validation and test examples, with the same mix of classes in all of them.

    Of N examples the test part has `round(share * N)`, the validation part likewise, the training part the others. A
    class has in each part what its share of the part is, give or take one example. Which examples are in the test part
    does not depend on the validation share.

    Args:
        labels: class of each example, integers [N].
        shares: of training, perhaps validation, and test; see `check_shares`.
        seed: 0 or more.

    Returns:
        The positions of each part's examples, ascending, in the order of `shares`.

    Raises:
        ValueError: the shares are none, or leave a part empty.
    """
    check_shares(shares)
    sizes = [round(share * len(labels)) for share in shares[:0:-1]]
    sizes.append(len(labels) - sum(sizes))
    if min(sizes) < 1:
        said = ",".join(f"{share:g}" for share in shares)
        raise ValueError(f"split: {said} of {len(labels)} examples leaves a part empty; give more examples to each")
    ends = np.cumsum(sizes)[:-1]
    return [np.sort(part) for part in np.split(_stratified_order(labels, seed), ends)][::-1]


def _stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order of which every beginning has the classes' own mix, give or take one example of each."""
    ties, ranks, sizes = _shuffled_ranks(labels, seed)
    return np.lexsort((ties, (ranks + 0.5) / sizes))


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
