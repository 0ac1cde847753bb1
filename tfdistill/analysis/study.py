"""What analyses look at: networks side by side, and the examples that all of them are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfdistill.analysis.options import Options
from tfdistill.bounds import ArgumentError, nearest, shown
from tfdistill.data import Normalization, Split, evaluation_batches
from tfdistill.networks.graphs import layers_of
from tfdistill.networks.saved_models import SavedNetwork

Taps = Mapping[str, np.ndarray]


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
            raise ArgumentError(
                "run", f"{self.label} is a SavedModel, which has no gradients, and {what} needs them; give its run"
            )


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


@dataclass(frozen=True, eq=False)
class Study:
    """Networks, the examples that they are shown, and what the user has chosen.

    Attributes:
        subjects: the networks, one or more.
        splits: the parts of the data by name, "test" among them.
        class_names: in the order of the labels.
        normalization: of the images that every network takes.
        split: the name of the part that is looked at.
        dataset: the name of the data.
        options: what the user has chosen.
        teacher: the label of the network that the others are compared with; empty where there is none.
        batch_size: examples that are computed at once.
        progress: makes what is told how far the work is, of so many steps.
        notes: what a reader of the results must know, a line each; analyses add to it.
    """

    subjects: Sequence[Subject]
    splits: Mapping[str, Split]
    class_names: Sequence[str]
    normalization: Normalization
    split: str = "test"
    dataset: str = ""
    options: Options = field(default_factory=Options)
    teacher: str = ""
    batch_size: int = 256
    progress: Callable[[int], Progress] = lambda total: Silent()
    notes: list[str] = field(default_factory=list)
    _answering: dict[Any, Callable[[tf.Tensor], Any]] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> list[str]:
        """What the networks are called."""
        return [one.label for one in self.subjects]

    def note(self, line: str) -> None:
        """Adds a line to what a reader must know, once."""
        if line not in self.notes:
            self.notes.append(line)

    def without_notes(self) -> Study:
        """The same study with no notes yet, for another analysis."""
        return dataclasses.replace(self, notes=[])

    def part(self, subject: Subject, name: str) -> Split | None:
        """A part of the data as the subject's training had it, or else the study's own; None where there is none."""
        return subject.splits[name] if name in subject.splits else self.splits.get(name)

    def chosen(self, most: int = 0, *, split: Split | None = None) -> Split:
        """The examples to look at, in their order: all of the chosen part, or as many as the user or `most` says.

        Args:
            most: how many the analysis takes by itself; 0 for all.
            split: another part than the chosen one.
        """
        whole = self.splits[self.split] if split is None else split
        count = self.options.examples or most
        if not count or count >= len(whole):
            return whole
        # Evenly spaced, because some data sets lie in the order of their classes.
        return whole.take(np.arange(count) * len(whole) // count)

    def require_examples(self, least: int, what: str) -> None:
        """Refuses too few examples.

        Raises:
            ArgumentError: says how many are needed.
        """
        count = len(self.chosen())
        if count < least:
            name = "examples" if self.options.examples else "split"
            raise ArgumentError(name, f"{what} needs {least} examples or more, and there {_are(count)} here")

    def require_classes(self, least: int, what: str) -> None:
        """Refuses too few classes.

        Raises:
            ArgumentError: says how many are needed.
        """
        count = len(self.class_names)
        if count < least:
            raise ArgumentError("dataset", f"{what} needs {least} classes or more, and there {_are(count)} here")

    def class_numbers(self, count: int) -> list[int]:
        """The classes that the user has chosen, by name or number, or the first ones.

        Args:
            count: how many are needed.

        Raises:
            ArgumentError: another number of them, one twice, or one that the data does not have.
        """
        names = list(self.class_names)
        if not self.options.classes:
            return list(range(count))
        if len(self.options.classes) != count:
            raise ArgumentError("classes", f"must be {count} classes, not {len(self.options.classes)}")
        found = []
        for one in self.options.classes:
            if one in names:
                found.append(names.index(one))
            elif one.isascii() and one.isdigit() and int(one) < len(names):
                found.append(int(one))
            else:
                raise ArgumentError("classes", f"the data has no class {shown(one)}; nearest: {nearest(one, names)}")
        if len(set(found)) < count:
            raise ArgumentError("classes", "names a class twice")
        return found

    def answers(
        self,
        split: Split,
        taps: Mapping[str, Sequence[str]],
        what: str,
        *,
        progress: Progress | None = None,
    ) -> Iterator[Answers]:
        """One pass over some examples, in their order, each of them once.

        Args:
            split: the examples.
            taps: what is asked of whom: names of taps by the network's label.
            what: what the work is called where progress is shown.
            progress: of several passes, which goes on; one of this pass alone if not given.

        Raises:
            ArgumentError: a network answers with what is no number; names it and the example.
        """
        asked = {one.label: self._function(one, taps[one.label]) for one in self.subjects if one.label in taps}
        watched = progress or self.progress(len(split))
        batch_size, done = min(self.batch_size, len(split)), 0
        for batch in evaluation_batches(split, batch_size=batch_size, normalization=self.normalization):
            count = int(np.count_nonzero(batch["weight"].numpy()))
            index = batch["index"].numpy()[:count]
            found = {
                label: {tap: value.numpy()[:count] for tap, value in ask(batch["images"]).items()}
                for label, ask in asked.items()
            }
            require_finite(found, index)
            yield Answers(batch["labels"].numpy()[:count], index, batch["images"].numpy()[:count], found)
            done += count
            watched.add(count, f"{what}: example {done:,} of {len(split):,}")
        if progress is None:
            watched.end(f"{what}: {len(split):,} examples")

    def require_sound_answers(self) -> None:
        """Refuses networks whose first answers are no numbers, before anything is looked at.

        Raises:
            ArgumentError: names the network.
        """
        first = self.chosen()
        first = first.take(np.arange(min(len(first), self.batch_size)))
        for _ in self.answers(first, {one.label: ("logits",) for one in self.subjects}, "", progress=Silent()):
            pass

    def _function(self, subject: Subject, taps: Sequence[str]) -> Callable[[tf.Tensor], Any]:
        key = subject.label, tuple(taps)
        if key not in self._answering:
            network = subject.network

            def ask(images: tf.Tensor) -> dict[str, tf.Tensor]:
                found = network(images, training=False)
                return {tap: tf.cast(found[tap], tf.float32) for tap in taps}

            # One trace, whatever the size of a batch; TensorFlow would warn of one network's function after another's.
            images = tf.TensorSpec(network.inputs[0].shape, tf.float32)
            self._answering[key] = tf.function(ask, autograph=False).get_concrete_function(images)
        return self._answering[key]


def require_finite(taps: Mapping[str, Taps], index: np.ndarray) -> None:
    """Refuses what is no number.

    Args:
        taps: by the network's label and the tap's name, [B, ...].
        index: of the examples, [B].

    Raises:
        ArgumentError: names the network, the tap and the first example.
    """
    for label, found in taps.items():
        for tap, values in found.items():
            fine = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not fine.all():
                place = index[np.argmin(fine)]
                raise ArgumentError("run", f"{label} answers example {place} with {tap} that are NaN or infinite")


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"
