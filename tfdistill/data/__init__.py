"""Data: named datasets, subsets of them, and batches that are pure functions of (seed, step)."""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.data.balance import BALANCES, Balance, class_weights
    from tfdistill.data.checking import describe_unreadable
    from tfdistill.data.dataset import Dataset, DataUnavailable, Split, TaskName
    from tfdistill.data.pipeline import Along, evaluation_batches, training_batches, view_batches
    from tfdistill.data.ready import ReadyData, load_data
    from tfdistill.data.selection import hold_out, take_subset
    from tfdistill.data.sets.unlabelled_folder import load_unlabelled_folder
    from tfdistill.data.sources import DATASETS, TFDS_PATTERN, TFDS_SUMMARY, load, require_split, source_of
    from tfdistill.data.transforms.augmentation import (
        AUGMENTATIONS,
        NORMALIZATIONS,
        Augmentation,
        BoxAugmentation,
        Normalization,
    )
    from tfdistill.data.transforms.labels import corrupt_labels, smooth_labels
    from tfdistill.data.transforms.mixing import Cutout, Mixing
    from tfdistill.data.transforms.randaugment import RandAugment
    from tfdistill.data.transforms.readings import MAX_PIXELS, READINGS, Reading
    from tfdistill.data.unlabelled import Unlabelled, with_unlabelled, without_labels
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "AUGMENTATIONS",
    "BALANCES",
    "DATASETS",
    "MAX_PIXELS",
    "NORMALIZATIONS",
    "READINGS",
    "TFDS_PATTERN",
    "TFDS_SUMMARY",
    "Along",
    "Augmentation",
    "Balance",
    "BoxAugmentation",
    "Cutout",
    "DataUnavailable",
    "Dataset",
    "Mixing",
    "Normalization",
    "RandAugment",
    "Reading",
    "ReadyData",
    "Split",
    "TaskName",
    "Unlabelled",
    "class_weights",
    "corrupt_labels",
    "describe_unreadable",
    "evaluation_batches",
    "hold_out",
    "load",
    "load_data",
    "load_unlabelled_folder",
    "require_split",
    "smooth_labels",
    "source_of",
    "take_subset",
    "training_batches",
    "view_batches",
    "with_unlabelled",
    "without_labels",
]
