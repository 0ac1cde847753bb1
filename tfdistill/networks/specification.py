"""What a user writes for a network: its name, and where its first weights come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

IMAGENET = "imagenet"


@dataclass(frozen=True)
class Specification:
    """`NAME` or `NAME:SOURCE`.

    Args:
        name: the network's name, which peers, exports and logs go by.
        source: "imagenet" (Keras' own weights), a path, or "" for weights drawn from the run's seed.
    """

    name: str
    source: str = ""

    @classmethod
    def parse(cls, text: str) -> Specification:
        """Takes it apart at the first colon.

        Raises:
            ValueError: nothing follows the colon.
        """
        name, colon, source = text.partition(":")
        if colon and not source:
            raise ValueError(f"{text!r} names no source; write {name}:imagenet, {name}:PATH, or {name} alone")
        return cls(name, source)

    @property
    def label(self) -> str:
        """A word for names of runs: no path, but runs that start from different files are called differently."""
        source = self.source.rstrip("/").rpartition("/")[-1]
        for suffix in (".weights.h5", ".keras", ".npz", ".safetensors"):
            source = source.removesuffix(suffix)
        return "-".join(filter(None, [self.name, re.sub(r"[^\w.+-]+", "_", source)]))
