"""The 8x8 handwritten digits that come with scikit-learn: real images, no download."""

from __future__ import annotations

import numpy as np

from tfdistill.data.dataset import DataUnavailable, Split


def load_digits() -> tuple[Split, Split, tuple[str, ...]]:
    """Reads the 1,797 digits, as uint8 0..255 of shape (8, 8, 1).

    The split is fixed, and the same in every run: with the examples in order of class, every fifth is a test
    example, which makes 1,437 for training and 360 for the test with the classes in equal proportions.

    Returns:
        (train, test, class names "0".."9").

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataUnavailable(f"digits needs `pip install scikit-learn`: {error}") from error
    bunch = datasets.load_digits()
    images = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)
    by_class = np.argsort(bunch.target, kind="stable")
    for_test = np.isin(np.arange(len(images)), by_class[::5])
    train = Split.in_memory(images[~for_test], bunch.target[~for_test])
    test = Split.in_memory(images[for_test], bunch.target[for_test])
    return train, test, tuple(str(name) for name in bunch.target_names)
