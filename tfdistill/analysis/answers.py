"""What networks answer to some examples, and who is told how many of them are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Taps = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the networks say of some examples.

    Attributes:
        labels: int32 [B].
        index: positions in the original part, int64 [B].
        images: as the networks see them, float32 [B, H, W, C].
        taps: by the network's label and the tap's name, float32 [B, ...].
    """

    labels: np.ndarray
    index: np.ndarray
    images: np.ndarray
    taps: Mapping[str, Taps]


class Progress(Protocol):
    """Something that is told how much is done."""

    def add(self, done: int, said: str) -> None: ...
    def end(self, said: str) -> None: ...


class Silent:
    """A `Progress` that tells nobody."""

    def add(self, done: int, said: str) -> None:
        """Some more is done."""

    def end(self, said: str) -> None:
        """All of it is done."""
