"""What a served network has beside its weights: normalization, names of classes, and a way to read image files."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.answers import Answer
from tfdistill.export.encoded import BadImages, check_bad_images, described_reading
from tfdistill.export.kinds import answer_of
from tfdistill.export.saved_model import image_shape_of, precision
from tfdistill.networks.graphs import trainable_parameters


@dataclass(frozen=True)
class Serving:
    """How a network is served; the arguments of `export_network` of the same names.

    Args:
        mean: one value per channel, or one for all, on the scale 0..1.
        std: likewise, positive.
        class_names: one line each, in the order of the classes.
        reading: how image files are brought to the network's size, or the name of a style.
        bad_images: what becomes of a batch with an image that cannot be read.
        answer: what is answered; what goes with the network's taps if not given.
    """

    mean: Sequence[float]
    std: Sequence[float]
    class_names: Sequence[str]
    reading: Reading | str = "auto"
    bad_images: BadImages = "fail"
    answer: Answer | None = None

    def arguments(self) -> dict[str, Any]:
        """Each field by its name."""
        return dict(vars(self))

    def answer_for(self, network: keras.Model) -> Answer:
        """The answer, or the one that goes with the network's taps.

        Raises:
            ValueError: the network takes no images of one size.
        """
        return self.answer or answer_of(network)

    def reading_for(self, network: keras.Model) -> Reading:
        """The reading, chosen by what the network takes and answers where it is "auto"."""
        return self.answer_for(network).reading(self.reading, image_shape_of(network))

    def require_fitting(self, network: keras.Model) -> None:
        """Refuses a network that cannot be served, and what does not fit it.

        Raises:
            ValueError: names the argument.
        """
        answer = self.answer_for(network)
        channels, classes = image_shape_of(network)[2], answer.classes(network)
        answer.require_values(network)
        _check_normalization(self.mean, self.std, channels=channels)
        _check_class_names(self.class_names, classes)
        self.reading_for(network)
        check_bad_images(self.bad_images)

    def facts(self, network: keras.Model, name: str) -> dict[str, object]:
        """What the export itself says in a network's card, before anything is written."""
        image_shape, answer = image_shape_of(network), self.answer_for(network)
        return {
            "network": name,
            "classes": answer.classes(network),
            "class_names": list(self.class_names),
            "input_shape": list(image_shape),
            **answer.facts(),
            "reading": described_reading(self.reading_for(network), image_shape, self.bad_images),
            "normalization": {name: [float(one) for one in getattr(self, name)] for name in ("mean", "std")},
            "parameters": trainable_parameters([network]),
            "precision": precision(network),
        }


def _check_normalization(mean: Sequence[float], std: Sequence[float], *, channels: int) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels) or not all(math.isfinite(value) for value in values):
            raise ValueError(f"{name} must be {channels} finite numbers, one a channel, or one for all; got {values}")
    if min(std) <= 0 or max(abs(value) for value in (*mean, *std)) > 1:
        raise ValueError(f"mean and std must be on the scale 0..1, and std positive; got mean {mean}, std {std}")


def _check_class_names(class_names: Sequence[str], classes: int) -> None:
    if isinstance(class_names, str) or len(class_names) != classes:
        raise ValueError(f"class_names must be {classes} strings, one for each class; got {len(class_names)}")
    for name in class_names:
        # Surrogates (Cs) stand for bytes that are no UTF-8, such as those of a folder's name in Latin-1.
        if not isinstance(name, str) or not name.strip() or any(_unwritable(letter) for letter in name):
            raise ValueError(
                "class_names must each be one line of UTF-8, not blank, without control characters, since they are "
                f"written to a text file; got {name!r}; rename that class"
            )


def _unwritable(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
