"""One network that analyses look at, with what is known of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import keras
import numpy as np

from tfdistill.analysis.answers import Taps
from tfdistill.bounds import ArgumentError, shown
from tfdistill.data import Split
from tfdistill.networks.graphs import layers_of
from tfdistill.networks.saved_models import SavedNetwork


@dataclass(frozen=True, eq=False)
class Subject:
    """One network that is looked at.

    Attributes:
        label: what pictures and tables call it.
        network: functional, from the study's images to a dict of taps.
        source: where it comes from, as the user wrote it.
        splits: the examples of its own training by the name of the part, where they are known.
        history: a row for each epoch of its training, as text, see a run's epochs.csv.
        name: what the columns of `history` call it.
        run: the name of its run; empty where it is of none.
        epoch: the epoch that the run has kept and the network is of; None for the last one.
        halves: the channels of "features" that inherit and those that explore, where its training has parted them.
        kept: what loads the network as an epoch of its run has kept it, by the epoch.
        label_noise: the share of wrong labels, 0..1, that its training has put among those of its "train" part.
        argument: the one that names it, for what is refused of it.
    """

    label: str
    network: keras.Model
    source: str = ""
    splits: Mapping[str, Split] = field(default_factory=dict)
    history: Sequence[Mapping[str, str]] = ()
    name: str = ""
    run: str = ""
    epoch: int | None = None
    halves: Mapping[str, Sequence[int]] = field(default_factory=dict)
    kept: Mapping[int, Callable[[], keras.Model]] = field(default_factory=dict)
    label_noise: float = 0.0
    argument: Literal["run", "teacher"] = "run"

    def require_tap(self, tap: str) -> None:
        """Refuses a tap that the network does not have.

        Raises:
            ArgumentError: names those that it has.
        """
        if tap not in self.network.output:
            raise ArgumentError(
                "taps", f"{self.label} has no tap {shown(tap)}; it has {', '.join(self.network.output)}"
            )

    def require_map(self, tap: str) -> None:
        """Refuses a tap that is no feature map `[batch, height, width, channels]`.

        Raises:
            ArgumentError: names the tap and its shape.
        """
        self.require_tap(tap)
        shape = tuple(self.network.output[tap].shape)
        if len(shape) != 4:
            maps = [name for name, one in self.network.output.items() if len(one.shape) == 4]
            has = f"; its maps are {', '.join(maps)}" if maps else "; it has no map"
            raise ArgumentError("taps", f"{shown(tap)} of {self.label} is {shape}, and no feature map{has}")

    def require_gradients(self, what: str) -> None:
        """Refuses a network whose inside is out of reach: a SavedModel answers, and has no gradients or layers.

        Raises:
            ArgumentError: says what does have them.
        """
        if any(isinstance(one, SavedNetwork) for one in layers_of(self.network)):
            said = f"{self.label} is a SavedModel, which has no gradients, and {what} needs them; give its run"
            raise ArgumentError(self.argument, said)

    def require_finite(self, taps: Taps, index: np.ndarray) -> None:
        """Refuses answers that are no numbers.

        Args:
            taps: its answers by the name of the tap, [B, ...].
            index: of the examples, [B].

        Raises:
            ArgumentError: names the network, the tap and the first example.
        """
        for tap, values in taps.items():
            fine = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not fine.all():
                said = f"{self.label} answers example {index[np.argmin(fine)]} with {tap} that are NaN or infinite"
                raise ArgumentError(self.argument, said)
