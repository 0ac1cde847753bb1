"""What an export refuses, asked before anything is trained or written."""

from __future__ import annotations

import math
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.asides import try_writing
from tfdistill.export.encoded import BadImages, check_bad_images, chosen_reading, described_reading
from tfdistill.export.folders import check_network_folder, check_path, choose_version, first_line
from tfdistill.export.models_config import CONFIG_FILE
from tfdistill.export.saved_model import network_shapes, precision
from tfdistill.export.serving_files import merged_card
from tfdistill.networks.probabilities import require_logits


def check_export(
    networks: Mapping[str, keras.Model],
    run_folder: str | pathlib.Path,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str],
    reading: Reading | str = "auto",
    bad_images: BadImages = "fail",
    card: Mapping[str, object] | None = None,
) -> None:
    """Refuses what `export_network` and `write_models_config` would refuse later, and leaves no trace.

    To be called before a training whose networks are to be exported at its end.

    Args:
        networks: the networks by the names that they are to be served by; their weights do not matter.
        run_folder: the folder that is to hold `<name>/<version>/` and `models.config`.
        mean: as for `export_network`.
        std: likewise.
        class_names: likewise.
        reading: likewise.
        bad_images: likewise.
        card: what is known of the card already.

    Raises:
        ValueError: names what could not be exported or written, in one line.
    """
    run_folder = pathlib.Path(run_folder)
    check_path(run_folder)
    try:
        if (run_folder / CONFIG_FILE).is_dir():
            raise ValueError(f"folder {run_folder / CONFIG_FILE} is where the server's list goes, a file; remove it")
        for name in networks:
            check_network_folder(run_folder / name)
            choose_version(run_folder / name, None)
            try_writing(run_folder / name)
    except OSError as error:
        raise ValueError(f"folder {run_folder} cannot be written: {first_line(error)}") from error
    for name, network in networks.items():
        given: Any = {
            "mean": mean,
            "std": std,
            "class_names": class_names,
            "reading": reading,
            "bad_images": bad_images,
        }
        check_arguments(network, **given)
        merged_card(known_facts(network, name, **given), card or {})


def known_facts(
    network: keras.Model,
    name: str,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str],
    reading: Reading | str,
    bad_images: BadImages,
) -> dict[str, object]:
    """What the export itself says in a network's card, before anything is written."""
    image_shape, classes = network_shapes(network)
    return {
        "network": name,
        "classes": classes,
        "class_names": list(class_names),
        "input_shape": list(image_shape),
        "reading": described_reading(chosen_reading(reading, image_shape), image_shape, bad_images),
        "normalization": {"mean": [float(value) for value in mean], "std": [float(value) for value in std]},
        "parameters": sum(math.prod(variable.shape) for variable in network.trainable_variables),
        "precision": precision(network),
    }


def check_arguments(
    network: keras.Model,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str],
    reading: Reading | str,
    bad_images: BadImages,
) -> None:
    """Refuses a network that cannot be served, and what does not fit it.

    A network whose logits are probabilities already would be served with a softmax of a softmax.

    Raises:
        ValueError: names the argument.
    """
    image_shape, classes = network_shapes(network)
    require_logits(network.inputs[0], network.output["logits"], "network")
    _check_normalisation(mean, std, channels=image_shape[2])
    _check_class_names(class_names, classes)
    chosen_reading(reading, image_shape)
    check_bad_images(bad_images)


def _check_normalisation(mean: Sequence[float], std: Sequence[float], *, channels: int) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels) or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{name} must be {channels} finite numbers, one a channel, or one for all; got {values}")
    if min(std) <= 0 or max(abs(value) for value in (*mean, *std)) > 1:
        raise ValueError(f"mean and std must be on the scale 0..1, and std positive; got mean {mean}, std {std}")


def _check_class_names(class_names: Sequence[str], classes: int) -> None:
    if isinstance(class_names, str) or len(class_names) != classes:
        raise ValueError(f"class_names must be {classes} strings, one for each logit; got {len(class_names)}")
    for name in class_names:
        # Surrogates (Cs) stand for bytes that are no UTF-8, such as those of a folder's name in Latin-1.
        if not isinstance(name, str) or not name.strip() or any(_unwritable(letter) for letter in name):
            raise ValueError(
                "class_names must each be one line of UTF-8, not blank, without control characters, since they are "
                f"written to a text file; got {name!r}; rename that class"
            )


def _unwritable(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
