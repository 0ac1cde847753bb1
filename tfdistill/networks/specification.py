"""What a user writes for a network, resolved: which it is, what it is called, and what its weights start from."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfdistill.bounds import nearest
from tfdistill.networks import by_name
from tfdistill.networks.keras_applications import APPLICATIONS
from tfdistill.networks.names import distinct

IMAGENET = "imagenet"
# Of files with a whole model.
FILE = ".keras"


@dataclass(frozen=True)
class Specification:
    """One of the networks of a run, written as `NAME` or `NAME:SOURCE`.

    Args:
        written: NAME, such as "resnet20", or the path of a `.keras` file, whose model it is.
        source: "imagenet" (Keras' own weights), a path, or "" for weights drawn from `seed`.
        name: what the network is called among its peers, in exports and logs; `written` where no peer has that.
        seed: of its first weights; None draws new ones.
    """

    written: str
    source: str = ""
    name: str = ""
    seed: int | None = None

    @classmethod
    def parse(cls, text: str, name: str = "", seed: int | None = None) -> Specification:
        """Takes it apart at the first colon.

        Raises:
            ValueError: nothing follows the colon.
        """
        written, colon, source = text.partition(":")
        if colon and not source:
            raise ValueError(f"{text!r} names no source; write {written}:imagenet, {written}:PATH, or {written} alone")
        return cls(written, source, name or _plain_name(written), seed)

    @property
    def is_file(self) -> bool:
        """Whether the network is the model in a file, with its weights where there is no other source."""
        return is_file(self.written)

    @property
    def text(self) -> str:
        """As it was written."""
        return f"{self.written}:{self.source}" if self.source else self.written

    @property
    def label(self) -> str:
        """A word for names of runs: no path, but runs that start from different files are called differently."""
        source = self.source.rstrip("/").rpartition("/")[-1]
        for suffix in (".weights.h5", ".keras", ".npz", ".safetensors"):
            source = source.removesuffix(suffix)
        return "-".join(filter(None, [_plain_name(self.written), re.sub(r"[^\w.+-]+", "_", source)]))

    @property
    def architecture(self) -> str:
        """The name of the network that is meant, for `networks.build`.

        "resnet50:imagenet" is keras_resnet50, and "ssd300_resnet50:imagenet" ssd300_keras_resnet50: Keras' ImageNet
        weights fit Keras' architecture alone.

        Raises:
            ValueError: no network may be called so (the message has the nearest name), or Keras has no ImageNet
                weights for it.
        """
        if self.source != IMAGENET:
            if not self.is_file:
                by_name.require_name(self.written)
            return self.written
        if by_name.backbones_of(self.written):
            return by_name.imagenet_detector(self.written)
        imagenets = by_name.imagenet_name(self.written).removeprefix("imagenet_").removeprefix("keras_")
        if f"keras_{imagenets}" not in APPLICATIONS:
            near = nearest(self.written, [one.removeprefix("keras_") for one in APPLICATIONS])
            raise ValueError(
                f"Keras has ImageNet weights for its own networks, none for {self.written!r}; nearest: {near!r}; a "
                ".safetensors file with torchvision's or timm's names loads by its path, such as "
                "imagenet_resnet18:PATH"
            )
        return f"keras_{imagenets}"


def is_file(text: str) -> bool:
    """Whether a text is the path of a file with a whole model."""
    return text.endswith(FILE)


def architecture_mark(path: str | os.PathLike) -> str:
    """SHA-256, in hexadecimal, of the architecture in a `.keras` file, whatever its weights; empty if there is none."""
    try:
        with zipfile.ZipFile(path) as file:
            return hashlib.sha256(file.read("config.json")).hexdigest()
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""


def name_of_file(path: str | os.PathLike) -> str:
    """What a network from a file is called: the file's name without its ending, in letters for folders and logs."""
    return re.sub(r"[^\w.-]+", "_", Path(path).name.removesuffix(FILE)) or "network"


def _plain_name(written: str) -> str:
    return name_of_file(written) if is_file(written) else written


def require_network(text: str) -> None:
    """Refuses what no network can be specified as; builds nothing.

    Raises:
        ValueError: as `Specification.parse` and `Specification.architecture`.
    """
    _ = Specification.parse(text).architecture


def specified(texts: Sequence[str], seeds: Sequence[int] = ()) -> tuple[Specification, ...]:
    """The networks that a user has written side by side, each with a name of its own.

    Args:
        texts: one for each network.
        seeds: of their first weights, in the same order; none if not given.

    Raises:
        ValueError: one of them names no source behind its colon.
    """
    names = distinct([Specification.parse(text).name for text in texts])
    drawn: Sequence[int | None] = seeds or [None] * len(texts)
    return tuple(Specification.parse(*one) for one in zip(texts, names, drawn, strict=True))
