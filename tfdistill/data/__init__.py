"""Data: named datasets, subsets of them, and batches that are pure functions of (seed, step)."""

from tfdistill.data.augmentation import NORMALIZATIONS, Augmentation, Normalization
from tfdistill.data.dataset import Dataset, DataUnavailable, Split
from tfdistill.data.pipeline import evaluation_batches, training_batches
from tfdistill.data.selection import hold_out, take_subset
from tfdistill.data.sources import DATASETS, load

__all__ = [
    "DATASETS",
    "NORMALIZATIONS",
    "Augmentation",
    "DataUnavailable",
    "Dataset",
    "Normalization",
    "Split",
    "evaluation_batches",
    "hold_out",
    "load",
    "take_subset",
    "training_batches",
]
