"""The flags that say which examples trained networks are shown."""

from __future__ import annotations

from tfdistill.bounds import Number, one_of
from tfdistill.commands.flag_kinds import Flags, define


def define_data(values: Flags, *, dataset: str, image_size: str, batch: str) -> None:
    """Defines the group "Data" of a command that looks at networks that are trained.

    Args:
        values: the command's flags.
        dataset: what the data set is if the flag is not given.
        image_size: the same of the images' size.
        batch: what the help says of the batch size.
    """
    group = "Data"
    text = "Data set; train --list names them."
    define(values, "dataset", "", str, text, group=group, unset=dataset, value="NAME")
    unset = "where the data of the training lay, if that is the data set"
    define(values, "data_dir", "", str, "Folder of the data.", group=group, unset=unset, value="FOLDER")
    text = "Part of the data set, as it comes or as --split or --validation_share of the training have made it."
    define(values, "split", "test", str, text, one_of(("test", "validation", "train")), group=group)
    text = "Height and width, in pixels, that images of many sizes are brought to."
    define(values, "image_size", 0, int, text, Number(0, 16_384), group=group, unset=image_size)
    text = "Let TensorFlow Datasets download a data set that is not there."
    define(values, "download", True, bool, text, group=group)
    define(values, "batch_size", 256, int, batch, Number(1, 1_000_000), group=group)
