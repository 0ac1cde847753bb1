"""Classes of unequal size, evened out: the ways by name, and the weights of the classes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Balance = Literal["none", "loss", "sampling"]
BALANCES: tuple[Balance, ...] = get_args(Balance)


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights that give every class the same share of the supervised loss.

    With N examples, K' classes that have any, and n_c of class c: `w_c = N / (K' · n_c)`. The mean of the weights over
    the examples is 1, so the loss keeps its size beside other terms and the learning rate.

    Args:
        labels: class of each example, integers [N], N of 1 or more.
        classes: K, at least the largest label + 1.

    Returns:
        float32 [K]; 0 for a class without examples.
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.divide(len(labels), present * counts, out=np.zeros(classes), where=counts > 0)
    return weights.astype(np.float32)


def require_balance(balance: str) -> None:
    """Refuses what is none of `BALANCES`.

    Raises:
        ValueError: in one line.
    """
    if balance not in BALANCES:
        raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {balance!r}")
